"""JSON of others is read as it is, and never ends the process."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.nested import BLOCK, DEEPEST, from_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_said_is_what_json_says(value):
    text = json.dumps(value)
    assert from_json(text) == from_json(text.encode()) == value


@pytest.mark.parametrize("text", ["", "{", "[1,", "nan?"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match="Expecting"):
        from_json(text)


def test_many_brackets_beside_each_other_are_no_depth():
    rows = [[1.0, 2.0]] * 5000
    assert from_json(json.dumps(rows)) == rows
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert from_json(deep) == json.loads(deep)


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_a_process_outlives_any_depth_whatever_the_recursion_limit(bracket):
    """As after an import of a library that raises the limit: Python's own reader is killed."""
    code = (
        "import sys; sys.setrecursionlimit(10**9)\n"
        "from surefoot.core.nested import from_json\n"
        f"text = {bracket!r} * 300_000\n"
        "try:\n    from_json(text)\nexcept RecursionError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "JSON is nested more than 500 deep")


@pytest.mark.parametrize("before", [0, BLOCK - 300, BLOCK, 3 * BLOCK + 7])
def test_depth_is_counted_across_blocks(before):
    deep = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    with pytest.raises(RecursionError):
        from_json(" " * before + deep)
    assert from_json(" " * before + deep[1:-1])
