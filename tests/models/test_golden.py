from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import (
    add_golden,
    golden_broken,
    open_model,
    read_golden,
    read_model,
    seal,
)
from surefoot.models.golden import MARGIN, TOLERANCE, check_golden


@pytest.fixture
def lexicon(adopted: Callable[..., Model], tiny_onnx_text: Path) -> Model:
    return adopted(tiny_onnx_text, classes=["negative", "positive"])


def reseal(model: Model) -> Model:
    return seal(
        model.path,
        name=model.name,
        format=model.format,
        file=model.file,
        signature=model.signature,
    )


def test_at_most_eight_rows_are_kept_as_they_came(lexicon: Model, texts: np.ndarray) -> None:
    add_golden(lexicon, None, texts)
    with np.load(lexicon.path / "golden.npz", allow_pickle=False) as stored:
        assert stored["inputs"].tolist() == texts[:8].tolist()
        assert stored["probabilities"].shape == (8, 2)
    assert read_model(lexicon.path) == lexicon


def test_another_tokenizer_is_found_out(lexicon: Model, texts: np.ndarray) -> None:
    add_golden(lexicon, None, texts)
    path = lexicon.path / "tokenizer.json"
    path.write_text(path.read_text().replace('"lovely"', '"dull_"').replace('"dull"', '"lovely"'))
    with (
        pytest.raises(ModelError, match=r"golden.npz: golden row \d+ differs by 0\.\d+"),
        open_model(reseal(lexicon)),
    ):
        pass


def test_a_model_without_golden_vectors_opens(lexicon: Model) -> None:
    (lexicon.path / "golden.npz").unlink()
    with open_model(lexicon) as predict:
        assert len(predict(np.array(["lovely"], np.dtypes.StringDType()))) == 1


def test_a_broken_golden_file_is_named(lexicon: Model) -> None:
    (lexicon.path / "golden.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ModelError, match=r"golden.npz: cannot be read"), open_model(lexicon):
        pass


def test_more_classes_than_once_are_an_error(lexicon: Model) -> None:
    with pytest.raises(ModelError, match=r"gives \(5, 3\) outputs, once \(5, 2\)"):
        check_golden(lexicon, lambda inputs: np.full((len(inputs), 3), 1 / 3))


def stored(model: Model, probabilities: list[float]) -> np.ndarray:
    from surefoot.models.golden import write_golden

    expected = np.array([probabilities], np.float32)
    write_golden(model, np.array(["x"], np.dtypes.StringDType()), expected)
    return expected


def test_rounding_passes_and_a_moved_probability_does_not(lexicon: Model) -> None:
    expected = stored(lexicon, [0.3, 0.7])
    shift = np.array([[1, -1]])
    check_golden(lexicon, lambda _: expected + shift * (TOLERANCE - 1e-4))
    with pytest.raises(ModelError, match=r"row 0 differs by 0\.0501"):
        check_golden(lexicon, lambda _: expected + shift * (TOLERANCE + 1e-4))


def test_an_answer_may_change_only_where_two_classes_were_level(lexicon: Model) -> None:
    level = stored(lexicon, [0.5 + MARGIN / 4, 0.5 - MARGIN / 4])
    check_golden(lexicon, lambda _: level[:, ::-1])
    apart = stored(lexicon, [0.5 + MARGIN, 0.5 - MARGIN])
    with pytest.raises(ModelError, match="row 0 differs"):
        check_golden(lexicon, lambda _: apart[:, ::-1])


def test_a_check_may_open_what_no_longer_holds_and_count_its_rows(lexicon: Model) -> None:
    stored(lexicon, [0.999, 0.001])
    with pytest.raises(ModelError, match="golden row 0"), open_model(lexicon):
        pass
    inputs, expected = read_golden(lexicon)
    with open_model(lexicon, golden=False) as predict:
        assert golden_broken(predict.run_batch(inputs), expected).tolist() == [True]
    assert golden_broken(expected, expected).tolist() == [False]
    assert golden_broken(np.full_like(expected, np.nan), expected).tolist() == [True]
    (lexicon.path / "golden.npz").unlink()
    assert read_golden(lexicon) is None
