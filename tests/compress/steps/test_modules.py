"""Programs and transformers open as modules of layers that answer, train and are written alike."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps._modules import module_outputs, open_module, save_module
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature

CLASSES = tuple("abcde")


class Block(nn.Module):
    """Two convolutions with batch norms and a residual sum."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.c1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.b1, self.b2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.c2 = nn.Conv2d(after, after, 3, padding="same")
        self.down = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, x):
        return torch.relu(self.b2(self.c2(torch.relu_(self.b1(self.c1(x))))) + self.down(x))


class Residual(nn.Module):
    """A ResNet of two blocks, pooled over its pixels."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d(1)
        )
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(16, 5)

    def forward(self, image):
        x = self.body(image)
        return self.head(self.drop(x.view(x.size(0), -1)))


class Squeezed(nn.Module):
    """Channels weighted by their means, with sizes written into views."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, image):
        x = self.conv(image)
        gate = torch.sigmoid(self.gate(x.mean((2, 3)))).view(-1, 8, 1, 1)
        return self.head((x * gate).mean((2, 3)))


def plain():
    conv, pool = nn.Conv2d(1, 6, 3), nn.MaxPool2d(2)
    return nn.Sequential(conv, nn.ReLU(), pool, nn.Flatten(), nn.Linear(6 * 25, 5))


def perceptron():
    norms = nn.BatchNorm1d(7), nn.LayerNorm(6)
    return nn.Sequential(nn.Linear(4, 7), norms[0], nn.GELU(), nn.Linear(7, 6), norms[1],
                         nn.Linear(6, 5))  # fmt: skip


NETWORKS = {"residual": Residual, "squeezed": Squeezed, "plain": plain, "perceptron": perceptron}


@pytest.fixture
def program(tmp_path):
    """Seals a module as an exported program, with batch norms that have seen something."""

    def make(network, *, decomposed=False, train=False):
        torch.manual_seed(0)
        module, numeric = network(), network is perceptron
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2)
        shape = (2, 4) if numeric else (2, 1, 12, 12)
        free = ({0: torch.export.Dim("rows")},)
        made = torch.export.export(module.train(train), (torch.rand(shape),), dynamic_shapes=free)
        made = made.run_decompositions() if decomposed else made
        folder = tmp_path / f"program-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        torch.export.save(made, folder / "model.pt2")
        signature = Signature(
            input="numeric" if numeric else "image",
            classes=CLASSES,
            tensors=made.graph_signature.user_inputs,
            width=4 if numeric else None,
            shape=() if numeric else (12, 12),
        )
        return models.seal(folder, name="p", format="pt2", file="model.pt2", signature=signature)

    return make


def rows_for(model):
    rng = np.random.default_rng(0)
    if model.signature.input == "numeric":
        return rng.standard_normal((9, 4)).astype(np.float32)
    return rng.integers(0, 256, (9, 12, 12), dtype=np.uint8)


def probabilities(model, inputs):
    with models.open_model(model) as predict:
        return predict(inputs)


def layers(module):
    """The kinds of layers that have weights."""
    return sorted(type(m).__name__ for m in module.modules() if list(m.parameters(recurse=False)))


def softmax(logits):
    return torch.softmax(torch.from_numpy(logits), 1).numpy()


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_programs_are_layers_again(program, tmp_path, name, decomposed):
    model = program(NETWORKS[name], decomposed=decomposed)
    inputs, lifted = rows_for(model), open_module(model)
    wanted = probabilities(program(NETWORKS[name]), inputs)
    np.testing.assert_allclose(softmax(module_outputs(lifted, inputs)), wanted, atol=1e-5)
    assert not lifted.left
    assert not lifted.fixed
    kinds = sorted(
        type(m).__name__ for m in NETWORKS[name]().modules() if list(m.parameters(False))
    )
    found = sorted(type(m).__name__ for m in lifted.module.modules() if list(m.parameters(False)))
    assert found == kinds
    (tmp_path / "again").mkdir()
    again = save_module(lifted, tmp_path / "again", name="same", inputs=inputs)
    np.testing.assert_allclose(probabilities(again, inputs), wanted, atol=1e-5)
    assert probabilities(again, inputs[:1]).shape == (1, 5)
    assert again.parent == model.fingerprint


def test_the_names_of_layers_stay(program):
    found = dict(open_module(program(Residual)).module.named_modules())
    assert isinstance(found["body.2.b1"], nn.BatchNorm2d)
    assert isinstance(found["head"], nn.Linear)


def test_writes_the_same_file_every_time(program, tmp_path):
    model, prints = program(Residual), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        inputs = rows_for(model)
        prints.append(save_module(open_module(model), tmp_path / name, name="s", inputs=inputs))
    assert prints[0].fingerprint == prints[1].fingerprint


@pytest.mark.parametrize("name", NETWORKS)
def test_programs_train(program, name):
    """Every weight has a gradient, batch norms follow what they see, and the loss falls."""
    model = program(NETWORKS[name])
    lifted, inputs = open_module(model), rows_for(model)
    tensor = torch.from_numpy(np.float32(inputs) / (1 if inputs.ndim == 2 else 255))
    tensor = tensor if inputs.ndim == 2 else tensor[:, None]
    module, labels = lifted.module.train(), torch.arange(len(inputs)) % 5
    optimiser, losses = torch.optim.Adam(module.parameters(), lr=1e-2), []
    before = {key: value.clone() for key, value in module.named_buffers() if "running" in key}
    for _ in range(30):
        loss = nn.functional.cross_entropy(module(tensor), labels)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in module.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = dict(module.named_buffers())
    assert all(not torch.equal(after[key], value) for key, value in before.items())
    assert bool(before) == (name in ("residual", "perceptron"))


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_transformers_open_train_and_are_written(request, tmp_path, text_task, kind):
    model, inputs = request.getfixturevalue(kind), text_task.train.inputs[:20]
    lifted, wanted = open_module(model), probabilities(model, inputs)
    np.testing.assert_allclose(softmax(module_outputs(lifted, inputs)), wanted, atol=1e-5)
    lifted.module(
        torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.long)
    ).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in lifted.module.parameters())
    (tmp_path / "again").mkdir()
    again = save_module(lifted, tmp_path / "again", name="same", inputs=inputs)
    np.testing.assert_allclose(probabilities(again, inputs), wanted, atol=1e-5)


class Shared(nn.Module):
    """One layer that is called twice, and a bare weight."""

    def __init__(self):
        super().__init__()
        self.once, self.scale = nn.Linear(4, 4), nn.Parameter(torch.full((4,), 0.5))
        self.head = nn.Linear(4, 5)

    def forward(self, features):
        return self.head(self.once(torch.relu(self.once(features))) * self.scale)


def test_a_layer_that_is_called_twice_is_one_layer_and_bare_weights_are_named(tmp_path):
    torch.manual_seed(0)
    free = ({0: torch.export.Dim.DYNAMIC},)
    made = torch.export.export(Shared().eval(), (torch.rand(2, 4),), dynamic_shapes=free)
    torch.export.save(made, tmp_path / "model.pt2")
    signature = Signature(input="numeric", classes=CLASSES, tensors=("features",), width=4)
    model = models.seal(tmp_path, name="p", format="pt2", file="model.pt2", signature=signature)
    lifted = open_module(model)
    assert lifted.left == ("aten.mul.Tensor",)
    assert sum(isinstance(m, nn.Linear) for m in lifted.module.modules()) == 2
    assert "scale" in dict(lifted.module.named_parameters())


def test_a_program_in_training_mode_is_refused(program):
    model = program(perceptron, train=True)
    with pytest.raises(ModelError, match=r"aten.batch_norm.default; export a float model in eval"):
        open_module(model)


class Branching(nn.Module):
    """Chooses between two layers by what it reads."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, features):
        return torch.cond(features.sum() > 0, self.a.forward, self.b.forward, (features,))


def test_control_flow_is_refused_by_name(tmp_path):
    free = {"features": {0: torch.export.Dim.DYNAMIC}}
    made = torch.export.export(Branching().eval(), (torch.rand(2, 4),), dynamic_shapes=free)
    torch.export.save(made, tmp_path / "model.pt2")
    signature = Signature(input="numeric", classes=CLASSES, tensors=("features",), width=4)
    model = models.seal(tmp_path, name="p", format="pt2", file="model.pt2", signature=signature)
    with pytest.raises(ModelError, match="cannot be made layers again: cond"):
        open_module(model)


def test_other_formats_are_refused(exported):
    with pytest.raises(ModelError, match=r"onnx model cannot be opened.*able: huggingface, pt2"):
        open_module(exported)


def test_a_model_that_gives_no_numbers_is_not_written(program, tmp_path):
    model = program(plain)
    lifted, inputs = open_module(model), rows_for(model)
    with torch.no_grad():
        lifted.module.get_submodule("4").bias[1] = torch.nan
    with pytest.raises(ModelError, match="step 'broken': the model gives nan"):
        save_module(lifted, tmp_path, name="broken", inputs=inputs)
