"""Each epoch shows every row once, the step size falls in a line, and the loss is the known one."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.compress.steps._fit import _steps
from surefoot.compress.steps._rounded_training import Lesson, _loss, _order, train_rounded
from surefoot.compress.steps._targets import distillation_loss, softened
from surefoot.core.errors import ModelError
from surefoot.core.seen import rows_counted

RNG = np.random.default_rng(0)


def lesson(n=130, classes=3, **changes):
    rows = torch.from_numpy(RNG.normal(0, 1, (n, 4)).astype(np.float32))
    given = {
        "tensors": lambda places: (rows[places],),
        "labels": rows[:, :classes].argmax(1).numpy(),
        "taught": RNG.dirichlet(np.ones(classes), n).astype(np.float32),
        "epochs": 2,
        "learning_rate": 0.05,
        "temperature": 2.0,
        "label_weight": 0.5,
        "seed": 0,
        "output": "logits",
    }
    return Lesson(**{**given, **changes})


def network(classes=3):
    torch.manual_seed(0)
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, classes)))


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_every_epoch_shows_every_row_once(n):
    found = list(_order(n, lesson(n, epochs=3)))
    for epoch in range(3):
        rows = [rows for at, _, _, rows in found if at == epoch]
        assert sorted(np.concatenate(rows).tolist()) == list(range(n))
        assert all(len(each) == 64 for each in rows[:-1])
        assert [batch for at, batch, _, _ in found if at == epoch] == list(range(len(rows)))
    left = [share for _, _, share, _ in found]
    assert left[0] == 1
    np.testing.assert_allclose(np.diff(left), -1 / len(found), atol=1e-12)


def test_the_order_is_that_of_the_seed_and_changes_with_every_epoch():
    one, again, other = (
        [rows.tolist() for *_, rows in _order(70, lesson(70, seed=seed))] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert one[:2] != one[2:]


@pytest.mark.parametrize(("epochs", "told"), [(0, 0), (1, 0), (3, 260)])
def test_rows_that_are_seen_again_are_counted_again(epochs, told):
    """The first time was counted by whoever asked for the rows."""
    with rows_counted() as rows:
        train_rounded(network(), lesson(epochs=epochs), torch.device("cpu"))
    assert rows() == told


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("label_weight", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_the_other_students(output, label_weight):
    taught = lesson(output=output, label_weight=label_weight)
    logits, rows = torch.randn(20, 3), np.arange(20)
    given = logits.softmax(1) if output == "probabilities" else logits
    wanted = distillation_loss(
        logits,
        torch.from_numpy(taught.labels[rows]),
        torch.from_numpy(softened(taught.taught[rows], 2.0)),
        torch.full((20,), label_weight),
        2.0,
    )
    found = _loss(given, rows, taught, torch.device("cpu"))
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("label_weight", [0.0, 1.0])
def test_it_learns_from_whom_it_is_told_to(label_weight):
    base = lesson(epochs=20, label_weight=label_weight)
    mind = np.eye(3, dtype=np.float32)[(base.labels + 1) % 3]  # a teacher of another mind
    taught = lesson(
        epochs=20, label_weight=label_weight, tensors=base.tensors, labels=base.labels,
        taught=mind * 0.98 + 0.02 / 3,
    )  # fmt: skip
    module = network()
    train_rounded(module, taught, torch.device("cpu"))
    answers = module(*base.tensors(np.arange(130))).argmax(1).numpy()
    wanted = base.labels if label_weight else mind.argmax(1)
    assert (answers == wanted).mean() > 0.85


def test_scales_are_trained_at_a_rate_of_their_own():
    """A step of Adam is as long as its rate: those of scales stay small."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.a_scale = nn.Linear(4, 3), nn.Parameter(torch.zeros(3))

        def forward(self, rows):
            return self.layer(rows) * self.a_scale.exp()

    torch.manual_seed(0)
    module = torch.fx.symbolic_trace(Scaled())
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    train_rounded(module, lesson(n=64, epochs=1, learning_rate=0.1), torch.device("cpu"))
    moved = {k: (v - before[k]).abs().max().item() for k, v in module.named_parameters()}
    assert 0 < moved["a_scale"] <= 1.01e-3
    assert moved["layer.weight"] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(("bad", "epoch", "batch"), [(0, 1, r"\d"), (129, 1, r"\d")])
def test_a_loss_that_is_no_number_ends_it(bad, epoch, batch):
    base = lesson()

    def spoilt(places):
        (rows,) = base.tensors(places)
        return (torch.where(torch.from_numpy(places == bad)[:, None], torch.nan, rows),)

    message = rf"the loss is nan in epoch {epoch}, batch {batch}; take a smaller learning_rate"
    with pytest.raises(ModelError, match=message):
        train_rounded(network(), lesson(tensors=spoilt), torch.device("cpu"))


@pytest.mark.parametrize(
    ("rows", "batch", "steps"),
    [(1, 8, 1), (8, 8, 1), (9, 8, 1), (10, 8, 2), (16, 8, 2), (17, 8, 2), (18, 8, 3), (0, 8, 1)],
)
def test_a_last_batch_of_one_row_is_no_step(rows, batch, steps):
    assert _steps(rows, batch) == steps
