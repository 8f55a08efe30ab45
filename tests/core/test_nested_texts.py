"""Depth that texts try to hide, and the encodings that JSON may come in."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.nested import DEEPEST, from_json

TEXTS = st.text(st.sampled_from('[]{}"\\\u225d\u2222é☃\n'), max_size=20)
DEEP = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)


def nested(depth, texts):
    """JSON of that depth, with a text beside each bracket."""
    value = []
    for i in range(depth - 1):
        value = [texts[i % len(texts)], value, texts[-1]]
    return json.dumps(value, ensure_ascii=False)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_no_text_hides_depth_or_adds_to_it(texts):
    assert from_json(nested(DEEPEST, texts)) == json.loads(nested(DEEPEST, texts))
    with pytest.raises(RecursionError, match="nested more than 500 deep"):
        from_json(nested(DEEPEST + 1, texts))


@pytest.mark.parametrize(
    "hidden",
    ['"' + "]" * 5000 + '"', '"\\"' + "}" * 5000 + '"', '"\\\\", "' + "]" * 5000 + '"'],
    ids=["closing", "behind a quote", "behind a backslash"],
)
def test_closing_brackets_in_a_text_close_nothing(hidden):
    with pytest.raises(RecursionError):
        from_json(f"[{hidden}, {DEEP}]")
    shallow = f"[{hidden}, [{'[], ' * DEEPEST}[]]]"
    assert from_json(shallow) == json.loads(shallow)


def test_a_text_beside_each_bracket_hides_none():
    with pytest.raises(RecursionError):
        from_json('["]",' * (DEEPEST + 1) + "0" + "]" * (DEEPEST + 1))
    with pytest.raises(RecursionError):
        from_json('{"}":' * (DEEPEST + 1) + "0" + "}" * (DEEPEST + 1))


@pytest.mark.parametrize("opening", ["[", "{"])
def test_opening_brackets_in_a_text_are_no_depth(opening):
    value = [opening * 5000, {opening: opening * 5000}]
    assert from_json(json.dumps(value)) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_bytes_of_any_encoding_that_json_knows(encoding):
    value = {"\u225d\u5d5d": ["\u2222", "]"]}
    text = json.dumps(value, ensure_ascii=False)
    assert from_json(text.encode(encoding)) == value
    deep = f'["\u5d5d{"]" * 5000}\u2222", {DEEP}]'
    with pytest.raises(RecursionError):
        from_json(deep.encode(encoding))


def test_half_a_character_is_read_as_python_reads_it():
    assert from_json('["\ud800"]') == ["\ud800"]
    assert from_json(b'["\xed\xa0\x80"]') == ["\ud800"]


@pytest.mark.parametrize("raw", [b"\xff\xff", b'["\x80"]', b'{"a": "\xe9"}'])
def test_bytes_that_are_no_text_are_a_value_error(raw):
    with pytest.raises(ValueError, match=r"decode|codec"):
        from_json(raw)


@pytest.mark.parametrize("end", ['"', '"\\', '"\\"', '"a\\\\'])
def test_a_text_without_an_end_is_no_json(end):
    with pytest.raises(ValueError, match=r"Unterminated|Invalid"):
        from_json(f"[{'[], ' * DEEPEST}{end}")


@pytest.mark.parametrize("unit", ['\\"', "\\\\", '"', '","'])
def test_quotes_without_end_take_no_more_than_linear_time(unit):
    """Four times the text in well under sixteen times the time."""
    took = []
    for size in (100_000, 400_000):
        text = "[" * (DEEPEST + 1) + '"' + unit * size
        start = time.process_time()
        with pytest.raises((RecursionError, ValueError)):
            from_json(text)
        took.append(time.process_time() - start)
    assert took[1] < 10 * took[0] + 0.05
