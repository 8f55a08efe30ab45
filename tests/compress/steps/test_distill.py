"""Students come closer to their teacher, whatever it is, and say how they were trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps import _fit, _hidden, distill
from surefoot.compress.steps._augment import augmented
from surefoot.compress.steps._modules import open_module
from surefoot.compress.steps._targets import training_targets
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature
from surefoot.core.seen import rows_counted

QUICK = {"epochs": 3, "learning_rate": 2e-3}


def record(made):
    return json.loads((made.path / "distillation.json").read_text())


def disagreement(model, teacher, inputs):
    """The mean difference of probabilities."""
    with models.open_model(model) as one, models.open_model(teacher) as other:
        return float(np.abs(one(inputs) - other(inputs)).mean())


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors this small lose by threads, and a busy machine loses most."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def worn(encoder, tmp_path_factory):
    """The encoder with weights that were disturbed: a student with something to learn."""
    import torch

    from surefoot.models.formats.huggingface import huggingface, save

    folder = tmp_path_factory.mktemp("worn")
    module = huggingface(encoder.path)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.15)
    save(module, folder)
    models.copy_preprocessing(encoder, folder)
    return models.seal(
        folder, name="worn", format="huggingface", file=".", signature=encoder.signature
    )


@pytest.mark.parametrize("hidden", ["none", "states", "relations"])
def test_comes_closer_to_its_teacher(step, worn, encoder, texts, accuracy, hidden):
    made = step("distill", worn, teacher=encoder, hidden=hidden, **QUICK)
    before, after = (disagreement(model, encoder, texts) for model in (worn, made))
    assert after < before / 2
    assert accuracy(made) > 0.9
    assert made.parent == worn.fingerprint
    found = record(made)
    assert found["teacher"] == encoder.fingerprint
    assert (found["rows"], found["labelled"], found["held_out"]) == (300, 300, 30)
    assert min(found["losses"]) == found["losses"][found["kept"]] < found["losses"][0]


def test_the_teacher_may_be_of_another_format(step, worn, exported, encoder, texts):
    made = step("distill", worn, teacher=exported, **QUICK)
    assert disagreement(made, encoder, texts) < disagreement(worn, encoder, texts) / 2
    with pytest.raises(ModelError, match=r"hidden states of a onnx model cannot be read"):
        step("distill", worn, teacher=exported, hidden="states", **QUICK)


def test_follows_the_teacher_or_the_labels(step, worn, encoder, text_task, accuracy):
    wrong = replace(text_task.train, labels=1 - text_task.train.labels)
    task = replace(text_task, train=wrong)
    options = {"on": task, "teacher": encoder, "epochs": 8, "learning_rate": 3e-3}
    made = [step("distill", worn, alpha=alpha, **options) for alpha in (0.0, 1.0)]
    assert accuracy(made[0]) > 0.9
    assert accuracy(made[1]) < 0.1


def test_unlabelled_rows_do(step, worn, encoder, text_task, texts):
    task = replace(text_task, train=None, unlabelled=text_task.train)
    made = step("distill", worn, on=task, teacher=encoder, **QUICK)
    assert disagreement(made, encoder, texts) < disagreement(worn, encoder, texts) / 2
    assert record(made)["labelled"] == 0


def test_stored_answers_of_any_model_do(step, worn, encoder, text_task, accuracy, tmp_path):
    rows = text_task.train
    names = np.array(text_task.classes)[1 - rows.labels]  # a teacher of its own mind
    lines = [f"{i},{name}" for i, name in zip(rows.ids, names, strict=True)]
    (tmp_path / "answers.csv").write_text("\n".join(["id,predicted", *lines]) + "\n")
    file = tmp_path / "answers.csv"
    options = {"epochs": 8, "learning_rate": 3e-3}
    made = step("distill", worn, teacher=encoder, outputs=file, alpha=0.0, **options)
    assert accuracy(made) < 0.1
    assert record(made)["teacher"] != encoder.fingerprint
    static = step("distill_static", encoder, outputs=file, label_weight=0.0, epochs=12, dim=16)
    assert accuracy(static) < 0.15


def test_the_seed_decides(step, worn, encoder):
    options = {"teacher": encoder, "epochs": 1}
    made = step("distill", worn, seed=3, **options)
    assert step("distill", worn, seed=3, **options).fingerprint == made.fingerprint
    assert step("distill", worn, seed=4, **options).fingerprint != made.fingerprint


def test_the_best_epoch_is_kept_and_the_rest_left_out(step, encoder, text_task):
    """A learning rate that does harm: early epochs are the better ones."""
    options = {"alpha": 0.0, "epochs": 12, "learning_rate": 0.1}
    made = step("distill", encoder, teacher=encoder, **options)
    losses, kept = record(made)["losses"], record(made)["kept"]
    assert kept == 1 + int(np.argmin(losses[1:]))
    assert len(losses) - 1 == min(12, max(kept, 3) + _fit.PATIENCE)  # in 3 of 12 the rate rises
    # The weights in the file are those that had this loss on the rows held out.
    targets = training_targets(text_task, encoder, encoder, "test", label_weight=0.0, outputs=None)
    schedule = _fit.Schedule(
        step="test", epochs=12, learning_rate=0.1, batch=32, temperature=2.0, seed=0
    )
    held = np.random.default_rng(0).permutation(300)[:30]
    run = _fit._Run(open_module(made), targets, schedule, torch_cpu(), None)
    assert run.loss_on(held) == pytest.approx(losses[kept], rel=1e-4)


def torch_cpu():
    import torch

    return torch.device("cpu")


def test_a_loss_that_is_no_number_names_epoch_and_batch(step, encoder, worn):
    with pytest.raises(
        ModelError, match=r"loss is (nan|inf) in epoch 1, batch \d+; give a smaller"
    ):
        step("distill", worn, teacher=encoder, learning_rate=1e30)


@pytest.fixture
def small(encoder, text_task, tmp_path):
    """A student of one layer, half as wide as its teacher."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=160,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=48,
        id2label=dict(enumerate(text_task.classes)),
    )
    folder = tmp_path / "small"
    BertForSequenceClassification(config).save_pretrained(folder)
    models.copy_preprocessing(encoder, folder)
    return models.seal(
        folder, name="s", format="huggingface", file=".", signature=encoder.signature
    )


def states(rows, length, width, seed):
    import torch

    return torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["states", "relations"])
def test_hidden_states_of_other_widths_are_compared(step, small, encoder, kind):
    import torch

    hidden = _hidden.open_hidden(kind, open_module(small), encoder, "distill")
    assert [p.weight.shape for p in hidden.projections] == ([(32, 16)] if kind == "states" else [])
    assert hidden.heads == 2
    last = open_module(encoder).module.encoder.encoder.layer[-1]
    assert hidden.theirs[0].state_dict().keys() == last.state_dict().keys()
    assert all(torch.equal(w, last.state_dict()[k]) for k, w in hidden.theirs[0].named_parameters())
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    own, other = states(2, 4, 16, 0), states(2, 4, 32, 1)
    loss = _hidden.hidden_loss(hidden, [own], [other], mask)
    padded = [torch.where(mask[..., None] == 1, s, 9.0) for s in (own, other)]
    assert loss.item() > 0.01
    assert torch.allclose(_hidden.hidden_loss(hidden, padded[:1], padded[1:], mask), loss)
    made = [step("distill", small, teacher=encoder, hidden=kind, epochs=1) for _ in range(2)]
    assert made[0].fingerprint == made[1].fingerprint


@pytest.mark.parametrize("kind", ["states", "relations"])
def test_a_hidden_loss_is_nothing_where_states_are_alike(encoder, kind):
    import torch

    hidden = _hidden.open_hidden(kind, open_module(encoder), encoder, "distill")
    assert len(hidden.ours) == (2 if kind == "states" else 1)
    own = [states(2, 4, 32, seed) for seed in range(len(hidden.ours))]
    mask = torch.ones(2, 4, dtype=torch.int64)
    assert _hidden.hidden_loss(hidden, own, own, mask).item() == pytest.approx(0, abs=1e-6)
    turned = [state.flip(2) for state in own]
    assert _hidden.hidden_loss(hidden, turned, own, mask).item() > 0.1


def test_teacher_and_student_must_read_the_same_tokens(step, worn, encoder):
    shorter = replace(encoder, signature=replace(encoder.signature, max_length=20))
    with pytest.raises(ModelError, match="read other tokens"):
        step("distill", worn, teacher=shorter, hidden="states", epochs=1)


def image_program(folder, signature, seed):
    """A small network with a batch norm, as an exported program."""
    import torch

    folder.mkdir()
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 2),
    ).eval()
    rows = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(module, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=rows)
    torch.export.save(program, folder / "model.pt2")
    return models.seal(folder, name="p", format="pt2", file="model.pt2", signature=signature)


@pytest.fixture
def images(tmp_path):
    """A task on images, a teacher and a student."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (201, 8, 8), np.uint8)  # the last batch has one row
    inputs[:100, :4] //= 4
    train = Dataset(
        name="train",
        ids=np.array([f"row-{i}" for i in range(201)], np.dtypes.StringDType()),
        inputs=inputs,
        labels=np.repeat([0, 1], [100, 101]),
        classes=("dark", "light"),
    )
    task = Task(
        name="images",
        kind="image-classification",
        classes=train.classes,
        train=train,
        selection=None,
        calibration=None,
        test={},
        metric="accuracy",
    )
    signature = Signature(input="image", classes=train.classes, tensors=("pixels",), shape=(8, 8))
    programs = [image_program(tmp_path / f"p{i}", signature, i) for i in (1, 2)]
    return task, *programs


@pytest.mark.parametrize("augment", [False, True])
def test_programs_on_images_are_trained(step, images, augment):
    task, teacher, student = images
    made = step(
        "distill",
        student,
        on=task,
        teacher=teacher,
        augment=augment,
        alpha=0.0,
        batch=20,
        epochs=4,
        learning_rate=2e-2,
    )
    assert made.format == "pt2"
    before, after = (disagreement(m, teacher, task.train.inputs) for m in (student, made))
    assert after < before / 2


def test_images_are_mirrored_and_moved():
    images = np.zeros((400, 16, 24, 3), np.uint8)
    images[:, 8, 6] = (1, 2, 3)
    found = augmented(images, np.random.default_rng(0))
    assert (found.dtype, found.shape) == (images.dtype, images.shape)
    rows, columns = np.nonzero(found[..., 2] == 3)[1:]
    assert len(rows) == 400
    assert set(rows) == set(range(6, 11))
    mirrored = columns > 12
    assert 150 < mirrored.sum() < 250
    assert set(columns[~mirrored]) == set(range(3, 10))
    assert set(columns[mirrored]) == set(range(14, 21))
    np.testing.assert_array_equal(found, augmented(images, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0, must be at least 1"),
        ({"batch": 1}, "batch is 1, must be at least 2"),
        ({"alpha": 1.5}, "alpha 1.5; the first two must be above 0"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"augment": True}, "augment changes images, and this model takes text"),
    ],
)
def test_options_out_of_range_are_named(step, encoder, options, message):
    with pytest.raises(ModelError, match=message):
        step("distill", encoder, teacher=encoder, **options)


def test_augmented_images_have_no_stored_scores(images, step):
    task, teacher, student = images
    with pytest.raises(ModelError, match="augment asks the teacher about changed images"):
        step("distill", student, on=task, teacher=teacher, augment=True, outputs="scores.csv")


def test_the_classes_must_be_the_teachers(step, worn, encoder):
    other = replace(encoder.signature, classes=("negative", "mixed"))
    with pytest.raises(ModelError, match="the teacher alone has mixed"):
        step("distill", worn, teacher=replace(encoder, signature=other))


def test_says_what_it_takes():
    assert distill.NEEDS == ("huggingface", "pt2")


def test_every_pass_over_the_rows_is_counted(step, images):
    """A tenth is held out: it is counted with the rest once, and not again."""
    task, teacher, student = images
    with rows_counted() as rows:
        step("distill", student, on=task, teacher=teacher, epochs=3)
    assert rows() == 201 + 2 * 181


@pytest.mark.parametrize("shape", [(5, 7), (8, 8), (16, 9), (9, 16, 1), (12, 12, 3)])
def test_changed_images_hold_no_colour_that_was_not_there(shape):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
    before = images.copy()
    found = augmented(images, np.random.default_rng(1))
    np.testing.assert_array_equal(images, before)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    for one, other in zip(images, found, strict=True):
        assert set(np.unique(other)) <= set(np.unique(one))
    if max(shape[:2]) < 8:  # too small to be moved: it is the image or its mirror
        same = (found == images).all(axis=(1, 2))
        turned = (found == images[:, :, ::-1]).all(axis=(1, 2))
        assert (same | turned).all()
        assert 8 <= same.sum() <= 32
