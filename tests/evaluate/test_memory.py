"""Main memory is that of a process of its own."""

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.evaluate import peak_memory
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
