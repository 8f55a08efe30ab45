"""Programs and transformers open as modules of layers that answer, train and are written alike."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps._modules import module_outputs, open_module, save_module
from surefoot.core.errors import ModelError

NAMES = ["residual", "squeezed", "plain", "perceptron"]


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
@pytest.mark.parametrize("name", NAMES)
def test_programs_are_layers_again(program, network, tmp_path, name, decomposed):
    model = program(name, decomposed=decomposed)
    inputs, lifted = rows_for(model), open_module(model)
    wanted = probabilities(program(name), inputs)
    np.testing.assert_allclose(softmax(module_outputs(lifted, inputs)), wanted, atol=1e-5)
    assert not lifted.left
    assert not lifted.fixed
    assert layers(lifted.module) == layers(network(name))
    (tmp_path / "again").mkdir()
    again = save_module(lifted, tmp_path / "again", name="same", inputs=inputs)
    np.testing.assert_allclose(probabilities(again, inputs), wanted, atol=1e-5)
    assert probabilities(again, inputs[:1]).shape == (1, 5)
    assert again.parent == model.fingerprint


def test_layers_that_are_seldom_seen(program, tmp_path):
    model = program("rare")
    inputs, lifted = rows_for(model), open_module(model)
    wanted = probabilities(model, inputs)
    np.testing.assert_allclose(softmax(module_outputs(lifted, inputs)), wanted, atol=1e-5)
    found = dict(lifted.module.named_modules())
    assert found["grouped"].padding == "same"
    assert found["grouped"].dilation == (2, 2)
    assert (found["pairs"].groups, found["pairs"].stride) == (4, (2, 1))
    assert isinstance(found["norm"], nn.GroupNorm)
    assert isinstance(found["line"], nn.Conv1d)
    assert found["bare"].bias is None
    assert lifted.left == ("aten.prelu.default",)
    (tmp_path / "again").mkdir()
    again = save_module(lifted, tmp_path / "again", name="same", inputs=inputs)
    np.testing.assert_allclose(probabilities(again, inputs), wanted, atol=1e-5)


@pytest.fixture
def text_program(encoder, tmp_path):
    """The tiny encoder as an exported program with free numbers of rows and tokens."""
    module = open_module(encoder).module
    tokens = torch.ones(2, 6, dtype=torch.long)
    free = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},) * 2
    made = torch.export.export(module, (tokens, tokens), dynamic_shapes=free)
    folder = tmp_path / "text-program"
    folder.mkdir()
    torch.export.save(made, folder / "model.pt2")
    models.copy_preprocessing(encoder, folder)
    return models.seal(
        folder, name="p", format="pt2", file="model.pt2", signature=encoder.signature
    )


def test_a_transformer_as_a_program(text_program, text_task, tmp_path):
    inputs, lifted = text_task.train.inputs[:20], open_module(text_program)
    wanted = probabilities(text_program, inputs)
    np.testing.assert_allclose(softmax(module_outputs(lifted, inputs)), wanted, atol=1e-5)
    assert lifted.free == ((0, 1), (0, 1))
    kinds = layers(lifted.module)
    assert kinds.count("Embedding") == 3
    assert kinds.count("LayerNorm") == 5
    assert kinds.count("Linear") == 13
    (tmp_path / "again").mkdir()
    again = save_module(lifted, tmp_path / "again", name="same", inputs=inputs)
    assert open_module(again).free == lifted.free
    np.testing.assert_allclose(probabilities(again, inputs), wanted, atol=1e-5)


def test_an_input_that_the_module_cannot_take(program):
    lifted = open_module(program("perceptron"))
    lifted.module.set_submodule("0", nn.Linear(3, 7))
    with pytest.raises(ModelError, match="fails on its inputs"):
        module_outputs(lifted, np.zeros((2, 4), np.float32))


def test_a_file_that_answers_otherwise_is_refused(program, tmp_path, monkeypatch):
    """A module whose weights change while it is written."""
    lifted, inputs = open_module(program("plain")), rows_for(program("plain"))
    write = torch.export.save

    def spoil(made, path):
        with torch.no_grad():
            next(iter(made.state_dict.values())).mul_(2)
        write(made, path)

    monkeypatch.setattr(torch.export, "save", spoil)
    with pytest.raises(ModelError, match="gives outputs that differ by up to"):
        save_module(lifted, tmp_path, name="spoilt", inputs=inputs)


def test_the_names_of_layers_stay(program):
    found = dict(open_module(program("residual")).module.named_modules())
    assert isinstance(found["body.2.b1"], nn.BatchNorm2d)
    assert isinstance(found["head"], nn.Linear)


def test_writes_the_same_file_every_time(program, tmp_path):
    model, prints = program("residual"), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        inputs = rows_for(model)
        prints.append(save_module(open_module(model), tmp_path / name, name="s", inputs=inputs))
    assert prints[0].fingerprint == prints[1].fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_programs_train(program, name):
    """Every weight has a gradient, batch norms follow what they see, and the loss falls."""
    model = program(name)
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


def test_a_layer_that_is_called_twice_is_one_layer_and_bare_weights_are_named(program):
    lifted = open_module(program(Shared()))
    assert lifted.left == ("aten.mul.Tensor",)
    assert sum(isinstance(m, nn.Linear) for m in lifted.module.modules()) == 2
    assert "scale" in dict(lifted.module.named_parameters())


def test_sizes_that_are_written_into_a_program_are_named(program):
    lifted = open_module(program("written"))
    assert lifted.fixed == ("aten.view.default to [-1, 3, 4]",)


def test_a_program_in_training_mode_is_refused(program):
    model = program("perceptron", train=True)
    with pytest.raises(ModelError, match=r"aten.batch_norm.default; export a float model in eval"):
        open_module(model)


class Branching(nn.Module):
    """Chooses between two layers by what it reads."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, features):
        return torch.cond(features.sum() > 0, self.a.forward, self.b.forward, (features,))


def test_control_flow_is_refused_by_name(program):
    with pytest.raises(ModelError, match="cannot be made layers again: cond"):
        open_module(program(Branching()))


def test_other_formats_are_refused(exported):
    with pytest.raises(ModelError, match=r"onnx model cannot be opened.*able: huggingface, pt2"):
        open_module(exported)


def test_a_model_that_gives_no_numbers_is_not_written(program, tmp_path):
    model = program("plain")
    lifted, inputs = open_module(model), rows_for(model)
    with torch.no_grad():
        lifted.module.get_submodule("4").bias[1] = torch.nan
    with pytest.raises(ModelError, match="step 'broken': the model gives nan"):
        save_module(lifted, tmp_path, name="broken", inputs=inputs)
