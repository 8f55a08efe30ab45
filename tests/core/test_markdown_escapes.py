"""Markdown of hostile texts, as a property of every character and of tables."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.markdown import escaped, markdown_table
from surefoot.core.printable import printable

markdown_it = pytest.importorskip("markdown_it")
READER = markdown_it.MarkdownIt("gfm-like", {"linkify": False, "html": True})
ANY = st.text(max_size=30)
HOSTILE = [
    "<script>alert(1)</script>",
    "<!-- hidden -->",
    "&lt;b&gt; &#x3c;b&#x3e;",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/?q)",
    "[x]: http://evil.example",
    "<http://evil.example>",
    "a | b | c",
    "| --- |",
    "`code` ``more``",
    "**bold** __bold__ ~~gone~~ *it*",
    "a\n\n# heading\n\n- item",
    "\u202egnp.exe\u2066",
    "\x1b[2J\x00\x9b",
    "=HYPERLINK(1)",
    "@everyone #1 GH-1",
    "\\`\\[\\|\\",
    "$\\frac{1}{2}$",
    "two\u2028lines\u2029and\x85more",
]


def texts(lines):
    """What a reader sees in each cell, and all kinds of tokens."""
    tokens = READER.parse("\n".join(lines))
    kinds = {token.type for token in tokens}
    cells = []
    for token in tokens:
        if token.type == "inline":
            kinds |= {child.type for child in token.children}
            cells.append("".join(child.content for child in token.children))
    return cells, kinds


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_and_does_nothing(text):
    cells, kinds = texts(markdown_table(("name", text), [[text, "b"], ["c", text]]))
    seen = printable(text).strip()
    assert cells == ["name", seen, seen, "b", "c", seen]
    assert not kinds & {"link_open", "image", "html_inline", "html_block", "code_inline", "em_open"}
    assert not kinds & {"heading_open", "strong_open", "s_open", "bullet_list_open", "fence"}


@settings(deadline=None)
@given(st.lists(st.tuples(ANY, ANY, ANY), min_size=1, max_size=4))
def test_a_table_has_as_many_cells_as_it_was_given(rows):
    lines = markdown_table(("a", "b", "c"), rows)
    cells, _ = texts(lines)
    assert cells[:3] == ["a", "b", "c"]
    assert len(cells) == 3 * (len(rows) + 1)
    assert len(lines) == len(rows) + 3
    assert lines[-1] == ""


@settings(deadline=None)
@given(ANY)
def test_an_escaped_text_is_one_line_without_anything_hidden(text):
    safe = escaped(text)
    assert len(safe.splitlines()) <= 1
    assert printable(safe) == safe
    assert not set(safe) & set("<>@")


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "Zs"])))
def test_letters_digits_and_blanks_stay_as_they_are(text):
    assert escaped(text) == text


@settings(deadline=None)
@given(ANY)
def test_escaping_is_character_by_character_on_one_line(text):
    """Nothing that can be seen is lost: without the escapes the text is there again."""
    bare = READER.renderInline(escaped("x" + text + "x"))
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        bare = bare.replace(entity, sign)
    assert bare.split() == ("x" + printable(text) + "x").split()


@settings(deadline=None)
@given(st.characters())
def test_printable_is_one_character_or_its_escape(character):
    shown = printable(character)
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if hidden and character not in "\u200c\u200d":
        assert shown.startswith("\\")
        assert shown.isascii()
        assert shown.encode().decode("unicode_escape") == character
    else:
        assert shown == character


@settings(deadline=None)
@given(ANY)
def test_printable_of_printable_changes_nothing(text):
    assert printable(printable(text)) == printable(text)


@settings(deadline=None)
@given(ANY, ANY)
def test_printable_goes_part_by_part(one, other):
    assert printable(one + other) == printable(one) + printable(other)
