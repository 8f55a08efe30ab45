from __future__ import annotations

import numpy as np
import pytest
import torch

from surefoot.core.errors import ModelError
from surefoot.models import open_model
from surefoot.models.formats.torchscript import save, torchscript

# torch deprecates TorchScript as a whole.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Scale(torch.nn.Module):
    """Twice its input."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * 2


def test_a_trusted_file_runs_with_the_width_of_the_sample(adopted, tmp_path) -> None:
    save(torch.jit.script(Scale()), tmp_path / "scale.pt")
    sample = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    options = {"classes": ["a", "b", "c"], "trust": True, "sample": sample}
    model = adopted(tmp_path / "scale.pt", "numeric", **options)
    assert (model.signature.tensors, model.signature.width) == (("features",), 3)
    with open_model(model) as predict:
        expected = torch.softmax(torch.from_numpy(sample) * 2, 1).numpy()
        np.testing.assert_allclose(predict(sample), expected, atol=1e-6)


def test_plain_weights_are_no_torchscript(tmp_path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="not a readable TorchScript file"):
        torchscript(tmp_path / "weights.pt")
