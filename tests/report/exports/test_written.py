"""YAML, JSON and names that any reader takes as they were meant."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.printable import printable
from surefoot.report.exports._written import json_text, slug, yaml_text

yaml = pytest.importorskip("yaml")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SINGLES = st.one_of(
    TEXTS,
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
VALUES = st.recursive(
    SINGLES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_yaml_reads_back(value):
    text = yaml_text(value)
    assert yaml.safe_load(text) == value
    assert all(printable(line) == line for line in text.split("\n"))


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_json_reads_back_and_hides_nothing(value):
    for indent in (1, None):
        text = json_text(value, indent=indent)
        assert json.loads(text) == value
        assert all(printable(line) == line for line in text.split("\n"))


@pytest.mark.parametrize("word", ["yes", "No", "null", "1e3", "0x1f", "~", "- a", "a: b", "1_000"])
def test_words_that_yaml_takes_for_others_stay_texts(word):
    assert yaml.safe_load(yaml_text({word: word})) == {word: word}


def test_a_number_that_is_none_is_refused():
    for write in (yaml_text, json_text):
        with pytest.raises(ValueError, match=r"finite|JSON compliant"):
            write({"a": float("nan")})


def test_half_a_character_does_not_end_the_program():
    assert json.loads(json_text({"a": "\ud800"})) == {"a": "\ud800"}
    assert yaml.safe_load(yaml_text({"a": "\ud800"})) == {"a": "?"}


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_names_are_plain_and_two_never_become_one(one, other):
    for text in (one, other):
        assert set(slug(text)) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
        )
        assert 0 < len(slug(text)) <= 70
        assert slug(text)[0] not in ".-"
    assert (slug(one) == slug(other)) == (one == other)
