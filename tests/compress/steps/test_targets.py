"""Students learn the right thing of each row: its label, its teacher's word, or both."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot.compress.steps._targets import (
    aligned,
    distillation_loss,
    softened,
    training_targets,
)
from surefoot.core.errors import ModelError
from surefoot.core.seen import rows_counted
from surefoot.models import open_model


def targets(task, model, teacher=None, weight=0.25, outputs=None):
    return training_targets(
        task, model, teacher or model, "test", label_weight=weight, outputs=outputs
    )


def stored(path, data, scores):
    lines = [f"{i},{p[1]},{p[0]}" for i, p in zip(data.ids.tolist(), scores.tolist(), strict=True)]
    path.write_text("\n".join(["id,positive,negative", *lines]) + "\n")
    return path


@pytest.fixture
def more(text_task):
    """The task with 100 unlabelled rows."""
    rows = replace(text_task.selection, name="more", classes=("text",), labels=np.full(100, 7))
    return replace(text_task, unlabelled=rows)


def test_the_loss_is_that_of_hinton_vinyals_and_dean():
    import torch

    logits, gold = np.array([[1.0, -2.0, 0.5], [0.0, 0.3, 4.0]]), np.array([2, 0])
    teacher = np.array([[0.2, 0.1, 0.7], [0.5, 0.25, 0.25]])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    soft = softmax(np.log(teacher) / 3)
    hard = -np.log(softmax(logits)[[0, 1], gold])
    distance = (soft * np.log(soft / softmax(logits / 3))).sum(axis=1)
    weight = np.array([0.25, 0.0])
    arrays = (logits, gold, softened(teacher, 3.0).astype(np.float64), weight)
    found = distillation_loss(*map(torch.from_numpy, arrays), 3.0)
    wanted = (weight * hard + (1 - weight) * 9 * distance).mean()
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_softening_is_that_of_the_logits():
    logits = np.array([[3.0, -1.0, 0.0]])
    probabilities = np.exp(logits) / np.exp(logits).sum()
    wanted = np.exp(logits / 4) / np.exp(logits / 4).sum()
    np.testing.assert_allclose(softened(probabilities, 4.0), wanted, rtol=1e-6)


def test_the_teacher_is_asked_in_its_own_runtime(text_task, encoder, exported):
    found = targets(text_task, encoder, teacher=exported)
    with open_model(exported) as predict:
        np.testing.assert_array_equal(found.soft, predict(text_task.train.inputs))
    assert (found.label_weight == 0.25).all()
    assert found.labelled == len(found) == 300


def test_unlabelled_rows_have_the_teacher_alone(more, encoder):
    found = targets(more, encoder)
    assert (len(found), found.labelled) == (400, 300)
    assert found.label_weight.tolist() == [0.25] * 300 + [0.0] * 100
    assert found.data.inputs[300:].tolist() == more.unlabelled.inputs.tolist()
    assert (found.data.labels[:300] == more.train.labels).all()
    alone = targets(replace(more, train=None), encoder)
    assert (len(alone), alone.labelled) == (100, 0)
    np.testing.assert_allclose(alone.soft, found.soft[300:], atol=1e-6)
    assert alone.data.classes == encoder.signature.classes


def test_columns_go_by_the_name_of_the_class(text_task, encoder):
    turned = replace(encoder.signature, classes=encoder.signature.classes[::-1])
    teacher = replace(encoder, signature=turned)
    assert aligned(teacher, encoder, "test") == [1, 0]
    found = targets(text_task, encoder, teacher=teacher).soft
    np.testing.assert_array_equal(found, targets(text_task, encoder).soft[:, ::-1])


def test_other_classes_are_named(text_task, encoder):
    other = replace(encoder.signature, classes=("negative", "mixed"))
    with pytest.raises(ModelError) as error:
        targets(text_task, encoder, teacher=replace(encoder, signature=other))
    said = "the teacher alone has mixed; the student alone has positive"
    assert said in str(error.value)


def test_stored_outputs_stand_for_the_teacher(more, encoder, tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1], 300)
    file = stored(tmp_path / "scores.csv", more.train, scores)
    found = targets(replace(more, unlabelled=None), encoder, outputs=file)
    np.testing.assert_allclose(found.soft, scores, atol=1e-6)
    with pytest.raises(ModelError, match=r"no scores for 100 of 400 rows, .* id 'selection-0'"):
        targets(more, encoder, outputs=file)


def test_answers_to_unlabelled_rows_leave_the_labels_to_the_others(more, encoder, tmp_path):
    file = stored(tmp_path / "scores.csv", more.unlabelled, np.full((100, 2), [0.3, 0.7]))
    found = targets(more, encoder, outputs=file)
    assert found.label_weight.tolist() == [1.0] * 300 + [0.0] * 100
    np.testing.assert_allclose(found.soft[300:], np.full((100, 2), [0.3, 0.7]), atol=1e-6)
    few = replace(more, train=more.train.rows(np.arange(10)))
    some = stored(tmp_path / "some.csv", few.train.rows(np.arange(5)), np.full((5, 2), 0.5))
    with pytest.raises(
        ModelError, match="no scores for 105 of 110 rows, the first is id 'train-5'"
    ):
        targets(few, encoder, outputs=some)


def test_rows_that_do_not_go_together_are_named(text_task, encoder):
    numbers = replace(text_task.train, name="more", inputs=np.zeros((300, 4), np.float32))
    with pytest.raises(ModelError, match=r"unlabelled rows are \(4,\) float32, training rows"):
        targets(replace(text_task, unlabelled=numbers), encoder)
    with pytest.raises(ModelError, match="'test' learns from training rows and there are none"):
        targets(replace(text_task, train=None), encoder)


def test_labelled_and_unlabelled_rows_are_counted_once(more, encoder, tmp_path):
    file = stored(tmp_path / "scores.csv", more.unlabelled, np.full((100, 2), 0.5))
    for task, count in ((more, 400), (replace(more, train=None), 100)):
        with rows_counted() as rows:
            targets(task, encoder, outputs=file)
        assert rows() == count


def test_the_teacher_takes_the_threads_that_the_step_was_given(text_task, exported, monkeypatch):
    """Others would wait for processors that the steps beside it have."""
    import torch

    from surefoot.compress.steps import _targets

    asked = []

    def opened(model, **options):
        asked.append(options["threads"])
        return open_model(model, **options)

    monkeypatch.setattr(_targets, "open_model", opened)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        few = replace(text_task, train=text_task.train.rows(np.arange(5)))
        assert len(targets(few, exported)) == 5
    finally:
        torch.set_num_threads(before)
    assert asked == [1]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 100.0])
def test_softening_keeps_the_order_and_goes_towards_even_shares(temperature):
    shares = np.random.default_rng(0).dirichlet([0.3] * 4, 50)
    shares[0] = [1, 0, 0, 0]
    found = softened(shares, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found > 0).all() or temperature < 1
    certain = shares.max(axis=1)
    if temperature == 1:
        np.testing.assert_allclose(found, shares, atol=1e-6)
    elif temperature > 1:
        assert (found.max(axis=1) <= certain + 1e-6).all()
    else:
        assert (found.max(axis=1) >= certain - 1e-6).all()
    clear = np.abs(np.diff(np.sort(shares, axis=1)[:, -2:], axis=1))[:, 0] > 1e-3
    assert (found.argmax(axis=1) == shares.argmax(axis=1))[clear].all()


def test_the_loss_is_least_where_the_student_says_what_its_teacher_does():
    import torch

    soft = np.random.default_rng(1).dirichlet([1, 1, 1], 20)
    gold, none = torch.zeros(20, dtype=torch.int64), torch.zeros(20)

    def loss(logits):
        wanted = torch.from_numpy(softened(soft, 2.0))
        return float(distillation_loss(logits, gold, wanted, none, 2.0))

    right = torch.from_numpy(np.log(soft)).float()
    assert loss(right) == pytest.approx(0, abs=1e-6)
    assert loss(right + 5) == pytest.approx(0, abs=1e-6)  # logits may be moved
    assert loss(1.5 * right) > 0.001
    assert loss(right.roll(1, dims=1)) > 0.1
