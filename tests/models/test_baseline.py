from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.core.plan import ModelPlan
from surefoot.models import adopt_baseline, open_model
from surefoot.store import Store


def test_the_baseline_is_adopted_once_and_again_when_it_changes(
    tiny_onnx_text: Path, text_task, tmp_path: Path
) -> None:
    shutil.copytree(tiny_onnx_text.parent, tmp_path / "mine")
    path = tmp_path / "mine" / tiny_onnx_text.name
    options = ModelPlan(path=str(path), classes=["negative", "positive"])
    store = Store(tmp_path / "store")
    first = adopt_baseline(options, text_task, store)
    assert (first.name, first.runtime, first.recipe.steps) == ("baseline", "onnxruntime", ())
    sealed = (first.model.path / "signature.json").stat().st_mtime_ns
    again = adopt_baseline(options, text_task, store)
    assert again == first
    assert (again.model.path / "signature.json").stat().st_mtime_ns == sealed

    shorter = adopt_baseline(replace(options, max_length=5), text_task, store)
    assert shorter.model.fingerprint != first.model.fingerprint
    tokenizer = path.parent / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lovely"', '"lovelier"'))
    renamed = adopt_baseline(options, text_task, store)
    assert renamed.model.fingerprint not in (first.model.fingerprint, shorter.model.fingerprint)

    tokenizer.unlink()
    with pytest.raises(ModelError, match="takes tokens, and there is no tokenizer"):
        adopt_baseline(options, text_task, store)
    path.unlink()
    with pytest.raises(ModelError, match="no such model"):
        adopt_baseline(options, text_task, store)
    assert not list((tmp_path / "store").rglob("*.part"))


def test_its_golden_vectors_are_rows_of_the_task(tiny_bert, text_task, tmp_path) -> None:
    made = adopt_baseline(ModelPlan(path=str(tiny_bert)), text_task, Store(tmp_path / "store"))
    with np.load(made.model.path / "golden.npz") as stored:
        assert stored["inputs"].tolist() == text_task.train.inputs[:8].tolist()
    with open_model(made.model) as predict:
        accuracy = (predict(text_task.train.inputs).argmax(1) == text_task.train.labels).mean()
    assert accuracy > 0.9
