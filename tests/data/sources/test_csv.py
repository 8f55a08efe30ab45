from __future__ import annotations

import pytest

from surefoot.core.errors import DataError
from surefoot.data.sources.csv import csv


def texts(path):
    return csv(path=path, text="text", label="label").inputs.tolist()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_of_the_header(write, delimiter):
    path = write(f'text{delimiter}label\n"a, b; c|"{delimiter}x\n')
    assert texts(path) == ["a, b; c|"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(write, end):
    assert texts(write(end.join(["text,label", '"two\nlines",x', "b,y", ""]))) == [
        "two\nlines",
        "b",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftext,label\na,x\n",
        b"text, label \na,x\n",
        b"text,label\na,x\n\n\n",
        b"text,label\na,x",
        b"text,,label\na,1,x\n",
    ],
    ids=["byte order mark", "spaces in the header", "blank lines", "no last end", "nameless"],
)
def test_forms_of_a_file(write, content):
    assert texts(write(content)) == ["a"]


def test_text_is_kept_as_it_is(write):
    odd = ["NA", "null", "nan", "'tis", " padded ", "# no comment", "naïve 日本 🙂", "nul\0nul"]
    path = write("text,label\n" + "".join(f"{text},x\n" for text in odd))
    assert texts(path) == odd


def test_a_line_of_three_megabytes(write):
    (text,) = texts(write(f"text,label\n{'x' * 3_000_000},a\n"))
    assert len(text) == 3_000_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,label\na,x\nb,y,z\n", "Line: 3 Expected Number of Columns: 2 Found: 3"),
        ("text,label\na,x\nb\n", "Line: 3 Expected Number of Columns: 2 Found: 1"),
        ("text,label\r\na,x\nb,y\r\n", "one kind of line end"),
        ('text,label\n"a"b,x\n', "quotes in a quoted cell doubled"),
        ('text,label\n"abc,x\nd,y\n', "quote"),
        ("text,label\ncafé,x\n".encode("latin-1"), "UTF-8"),
        ("text,label\ncafé,x\n".encode("utf-16"), "UTF-8"),
        (b"text,label\n" + b"fine,x\n" * 30_000 + b"caf\xe9,x\n", "UTF-8"),
        ("x" * 200_000, "the first line is no header"),
        ("text,Text,label\na,b,x\n", "the header has both 'text' and 'Text'"),
    ],
)
def test_a_broken_file_is_one_clear_line(write, content, reason):
    path = write(content)
    with pytest.raises(DataError) as caught:
        csv(path=path, text="text", label="label")
    line = str(caught.value)
    assert line.startswith(path)
    assert reason in line
    assert "\n" not in line
    assert len(line) < 600
