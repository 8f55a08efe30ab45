from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot.core.errors import ModelError
from surefoot.models import open_model
from surefoot.models.formats.pt2 import pt2, save

# torch.export's own code still calls what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Bag(torch.nn.Module):
    """The mean of token scores."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = torch.nn.Embedding(tokens, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1).float()
        return (self.scores(input_ids) * mask).sum(1) / mask.sum(1)


@pytest.fixture(scope="module")
def bag(tokenizer_json: Path) -> Bag:
    from tokenizers import Tokenizer

    return Bag(Tokenizer.from_file(str(tokenizer_json)).get_vocab_size()).eval()


def exported(module: torch.nn.Module, path: Path, *, by_name: bool, dynamic: bool = True) -> Path:
    ids = torch.ones(3, 5, dtype=torch.int64)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} if dynamic else None
    # Not the same tensor twice: torch.export would take the two inputs for one.
    named = {"input_ids": ids, "attention_mask": ids.clone()}
    program = torch.export.export(
        module,
        () if by_name else tuple(named.values()),
        named if by_name else None,
        dynamic_shapes=dict.fromkeys(named, axes),
    )
    save(program, path)
    return path


@pytest.mark.parametrize("by_name", [True, False])
def test_programs_run_however_their_inputs_were_given(
    adopted, bag, tokenizer_json, texts, by_name
) -> None:
    path = exported(bag, adopted.root / "bag.pt2", by_name=by_name)
    model = adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json), max_length=40)
    assert model.signature.tensors == ("input_ids", "attention_mask")
    with open_model(model) as predict:
        found = predict(texts, batch=16)
        tensors = predict._preprocessor.tensors(
            predict._preprocessor.rows(texts), np.arange(len(texts))
        )
    with torch.no_grad():
        logits = bag(**{name: torch.from_numpy(array) for name, array in tensors.items()})
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), atol=1e-6)


def test_a_program_of_one_batch_size_is_refused(adopted, bag, tokenizer_json, tmp_path) -> None:
    path = exported(bag, tmp_path / "fixed.pt2", by_name=False, dynamic=False)
    with pytest.raises(ModelError, match="'input_ids' takes exactly 3 rows a call"):
        adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json))


def test_a_smaller_embedding_than_the_tokenizer(adopted, tokenizer_json, tmp_path) -> None:
    path = exported(Bag(20), tmp_path / "small.pt2", by_name=True)
    with pytest.raises(
        ModelError, match=r"the tokenizer has \d+ tokens, more than the model knows"
    ):
        adopted(path, classes=["a", "b"], tokenizer=str(tokenizer_json))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_program(bag, tmp_path, share) -> None:
    content = exported(bag, tmp_path / "whole.pt2", by_name=False).read_bytes()
    (tmp_path / "cut.pt2").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut.pt2: not a readable exported program"):
        pt2(tmp_path / "cut.pt2")


@pytest.mark.parametrize("member", ["data/aotinductor/model/run.so", "data/constants/custom_obj_0"])
def test_programs_that_hold_code_are_refused(bag, tmp_path, member) -> None:
    path = exported(bag, tmp_path / "code.pt2", by_name=False)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"code/{member}", b"x")
    with pytest.raises(
        ModelError, match=f"holds code or pickled objects, the first is 'code/{member}"
    ):
        pt2(path)


def test_a_pickle_inside_a_program_is_not_loaded(bag, tmp_path) -> None:
    """The example inputs of a program are loaded by torch.load, which could unpickle anything."""

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    source = exported(bag, tmp_path / "good.pt2", by_name=False)
    bomb = tmp_path / "bomb.bin"
    torch.save((Bomb(),), bomb)
    replaced = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as new:
        for item in old.infolist():
            hit = "sample_inputs" in item.filename
            replaced += hit
            new.writestr(item.filename, bomb.read_bytes() if hit else old.read(item))
    assert replaced == 1
    with pytest.raises(ModelError, match="holds pickled objects other than tensors"):
        pt2(tmp_path / "evil.pt2")
    assert not (tmp_path / "exploded").exists()
