"""Text of others in Markdown, read by a CommonMark parser with GitHub's tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.markdown import escaped, markdown_table
from surefoot.core.printable import printable

markdown_it = pytest.importorskip("markdown_it")
READER = markdown_it.MarkdownIt("gfm-like", {"linkify": False, "html": True})
MARKUP = st.text(st.sampled_from("ab \\`*_{}[]()#+-!|~$<>&@:/.\u202e\x1b\n\"'^=%1"), min_size=1)


def shown(tokens):
    """The text that a reader sees, and the kinds of markup beside it."""
    texts, kinds = [], set()
    for token in tokens:
        for inner in token.children or ():
            kinds.add(inner.type)
            if inner.type == "text":
                texts.append(inner.content)
    return "".join(texts), kinds


@settings(deadline=None)
@given(MARKUP)
def test_a_cell_shows_its_text_and_nothing_else(text):
    tokens = READER.parse("\n".join(markdown_table(("name",), [[text]])))
    found, kinds = shown(tokens)
    assert kinds <= {"text", "text_special"}
    assert found == "name" + printable(text).strip()
    assert sum(token.type == "td_open" for token in tokens) == 1


@settings(deadline=None)
@given(MARKUP)
def test_a_sentence_shows_its_text_and_nothing_else(text):
    found, kinds = shown(READER.parse(f"before {escaped(text)} behind"))
    assert kinds <= {"text", "text_special"}
    assert " ".join(found.split()) == " ".join(f"before {printable(text)} behind".split())


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("log_loss", "log_loss"),
        ("_x_", "\\_x\\_"),
        ("<b>", "&lt;b&gt;"),
        ("see http://evil.example", "see http&#58;//evil.example"),
        ("www.evil.example", "www&#46;evil.example"),
        ("@everyone #1", "&#64;everyone \\#1"),
        ("a\nb", "a\\\\nb"),
    ],
)
def test_what_github_makes_of_a_text_by_itself_is_prevented(text, written):
    assert escaped(text) == written


def test_a_table_of_no_rows_is_no_table():
    assert markdown_table(("a", "b"), []) == []
    assert markdown_table(("a", "b"), [["1", "2"]]) == [
        "| a | b |",
        "| --- | --- |",
        "| 1 | 2 |",
        "",
    ]
