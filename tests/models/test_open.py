from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import Predictor, default_runtime, open_model, runtimes_for
from surefoot.models import open as open_module

NAMES = ["negative", "positive"]


@pytest.fixture
def lexicon(adopted: Callable[..., Model], tiny_onnx_text: Path) -> Model:
    return adopted(tiny_onnx_text, classes=NAMES)


@pytest.fixture
def linear(adopted: Callable[..., Model], tiny_onnx_numeric: Path) -> Model:
    return adopted(tiny_onnx_numeric, "numeric", "linear", classes=["a", "b", "c"])


class Counted:
    """A runtime's function that remembers the shapes it was called with."""

    def __init__(self, run: Callable[[dict[str, np.ndarray]], np.ndarray]) -> None:
        self.run, self.shapes = run, []

    def __call__(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        self.shapes.append(tensors["input_ids"].shape)
        return self.run(tensors)


class Watch:
    """Progress that adds up."""

    def __init__(self) -> None:
        self.units: list[int] = []

    def start(self, title: str, total: int) -> None:
        raise AssertionError(f"the caller starts the work, not we: {title} of {total}")

    def advance(self, units: int = 1) -> None:
        self.units.append(units)

    def note(self, line: str) -> None:
        raise AssertionError(line)


@pytest.mark.parametrize("batch", [1, 7, 32, 1000])
def test_every_row_gets_its_own_answer_whatever_the_batch(lexicon, texts, batch) -> None:
    with open_model(lexicon) as predict:
        alone = np.concatenate([predict.run_batch(texts[i : i + 1]) for i in range(len(texts))])
        together = predict(texts, batch=batch)
    assert together.dtype == np.float32
    assert together.shape == (len(texts), 2)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-6)
    assert len(np.unique(together[:, 0])) > 4


def test_windows_of_rows_change_nothing(lexicon, texts, monkeypatch) -> None:
    with open_model(lexicon) as predict:
        whole = predict(texts)
        monkeypatch.setattr(open_module, "WINDOW", 40)
        np.testing.assert_allclose(predict(texts), whole, atol=1e-6)


def test_batches_hold_rows_of_similar_length_and_are_reported(lexicon, texts) -> None:
    with open_model(lexicon) as predict:
        counted = predict._run = Counted(predict._run)
        watch = Watch()
        predict(texts, batch=32, progress=watch)
    lengths = [length for _, length in counted.shapes]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]
    assert watch.units == [32, 32, 32, 32, 22]


def test_run_batch_is_one_call(lexicon, texts) -> None:
    with open_model(lexicon) as predict:
        counted = predict._run = Counted(predict._run)
        predict.run_batch(texts)
        assert [rows for rows, _ in counted.shapes] == [len(texts)]


@pytest.mark.parametrize("ask", [Predictor.__call__, Predictor.run_batch])
def test_no_rows_give_no_probabilities(lexicon, linear, texts, ask) -> None:
    with open_model(lexicon) as predict:
        assert ask(predict, texts[:0]).shape == (0, 2)
    with open_model(linear) as predict:
        assert ask(predict, np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_outputs_that_are_not_finite_name_the_first_row(linear) -> None:
    inputs = np.ones((50, 4), np.float32)
    inputs[[17, 33], 2] = np.nan
    with open_model(linear) as predict:
        with pytest.raises(ModelError, match=r"2 rows that are not finite, the first is row 17"):
            predict(inputs, batch=8)
        with pytest.raises(ModelError, match="row 17"):
            predict.run_batch(inputs)
        found = predict.run_batch(inputs, finite=False)
        assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == [17, 33]
        np.testing.assert_array_equal(found[:17], predict.run_batch(inputs[:17]))


def test_large_logits_do_not_overflow(linear) -> None:
    with open_model(linear) as predict:
        out = predict(np.full((2, 4), 1e6, np.float32))
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out.sum(1), 1)


def test_probabilities_are_handed_on_as_they_are(adopted, tiny_sklearn) -> None:
    import skops.io

    inputs = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    with open_model(adopted(tiny_sklearn, "numeric")) as predict:
        expected = skops.io.load(tiny_sklearn).predict_proba(inputs)
        np.testing.assert_allclose(predict(inputs), expected, atol=1e-6)


def test_a_runtime_that_cannot_read_the_format_names_those_that_can(linear) -> None:
    with (
        pytest.raises(ModelError, match=r"'sklearn' does not read .*'onnx'.*onnxruntime, openvino"),
        open_model(linear, runtime="sklearn"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("onnx", "onnxruntime"),
        ("huggingface", "torch"),
        ("pt2", "torch"),
        ("torchscript", "torch"),
        ("skops", "sklearn"),
        ("pickle", "sklearn"),
    ],
)
def test_every_format_has_its_runtime(name, runtime) -> None:
    assert default_runtime(name) == runtime
    assert runtimes_for(name)[0] == runtime


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="no runtime reads the format 'onxx'; did you mean 'onnx'"):
        default_runtime("onxx")


def test_answers_are_the_same_in_a_fresh_process_without_torch(lexicon, texts, tmp_path) -> None:
    with open_model(lexicon) as predict:
        np.save(tmp_path / "expected.npy", predict(texts))
    (tmp_path / "texts.txt").write_text("\n".join(texts.tolist()))
    code = f"""
import sys, numpy as np
from pathlib import Path
sys.modules["torch"] = sys.modules["sklearn"] = sys.modules["pandas"] = sys.modules["onnx"] = None
from surefoot.models import open_model, read_model
folder = Path({str(tmp_path)!r})
rows = np.array((folder / "texts.txt").read_text().split("\\n"), np.dtypes.StringDType())
with open_model(read_model(Path({str(lexicon.path)!r}))) as predict:
    assert np.array_equal(predict(rows), np.load(folder / "expected.npy"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
