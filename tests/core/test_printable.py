"""Text of others, made safe to show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.printable import printable


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain, ünïcode 日本", "plain, ünïcode 日本"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("nul\x00", "nul\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("two\u2028lines", "two\\u2028lines"),
        ("\x9b31m", "\\x9b31m"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_what_is_acted_upon_is_written_out(text, safe):
    assert printable(text) == safe


@given(st.text())
def test_nothing_hidden_is_left_and_nothing_seen_is_lost(text):
    safe = printable(text)
    assert len(safe.splitlines()) <= 1
    hidden = {c for c in safe if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
    assert hidden <= set("\u200c\u200d")
    assert all(c in safe for c in text if c.isalnum())
