"""Main memory is that of a process of its own."""

import time

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.evaluate import memory, peak_memory
from surefoot.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


@pytest.fixture
def lean(candidate):
    return candidate()


@pytest.fixture
def numbers(tree_set):
    return tree_set()


def test_the_process_that_asks_does_not_count(numbers, lean, store):
    ballast = np.ones(200_000_000, np.uint8)  # in this process, and touched
    found = peak_memory(lean, numbers, store)
    assert ballast.any()
    assert 20e6 < found < 190e6


def test_it_is_measured_once(numbers, lean, store):
    assert peak_memory(lean, numbers, store) == peak_memory(lean, numbers, store)
    assert len(list((store.root / "memory").iterdir())) == 1


def test_a_model_that_cannot_be_opened_alone_is_said(numbers, lean, store):
    weights = lean.model.path / lean.model.file
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(ModelError, match="cannot be run in a process of its own"):
        peak_memory(lean, numbers, store)


def test_what_a_library_prints_is_not_taken_for_the_answer(
    numbers, lean, store, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text("print('welcome')\nprint('[1, 2]')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert 20e6 < peak_memory(lean, numbers, store) < 1e9


def test_a_process_that_hangs_is_given_up(numbers, lean, store, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep(20)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(memory, "TIMEOUT_S", 0.2)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer 4 batches within 0\.2 s in a process"):
        peak_memory(lean, numbers, store)
    assert time.monotonic() - began < 10
