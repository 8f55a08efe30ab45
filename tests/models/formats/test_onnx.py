from __future__ import annotations

from pathlib import Path

import pytest

from surefoot.core.errors import ModelError
from surefoot.models.formats import onnx as module
from surefoot.models.formats.onnx import onnx, save


def test_what_is_saved_is_loaded(tiny_onnx_text: Path, tmp_path: Path) -> None:
    save(onnx(tiny_onnx_text), tmp_path / "again.onnx")
    assert onnx(tmp_path / "again.onnx") == onnx(tiny_onnx_text)


def test_a_broken_file_is_named(tiny_onnx_text: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(tiny_onnx_text.read_bytes()[:300])
    with pytest.raises(ModelError, match=r"cut.onnx: not a readable ONNX file"):
        onnx(path)


def test_weights_that_protobuf_cannot_hold_lie_outside(linear, tmp_path, monkeypatch) -> None:
    proto = onnx(linear(tmp_path / "wide.onnx", width=400))
    monkeypatch.setattr(module, "_PROTOBUF_LIMIT", 1000)
    save(proto, tmp_path / "split.onnx")
    assert (tmp_path / "split.onnx.data").stat().st_size >= 400 * 3 * 4
    assert (tmp_path / "split.onnx").stat().st_size < 1000
