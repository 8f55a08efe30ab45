"""Columns to files and back, and what DuckDB says of files with awkward names."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import DataError
from surefoot.data.columns import (
    BLOCK,
    TEXT,
    describe,
    distinct,
    read_parquet,
    write_parquet,
)
from surefoot.data.tables import literal, literal_path, quoted

AWKWARD = ("it's.parquet", "a*b?.parquet", "[x].parquet", "{table}.parquet", "é 漢.parquet")


def test_every_type_comes_back_as_it_was(tmp_path):
    columns = {
        "text": np.array(["", "é 漢 😀", "a\nb", "'quoted'"], TEXT),
        "objects": np.array(["w", "x", "y", "z"], dtype=object),
        "label": np.array([3, -1, 0, 2**40]),
        "right": np.array([True, False, True, False]),
        "score": np.array([0.1, 0, -1.5, 3e38], np.float32),
        "value": np.array([1e-300, np.inf, 0.1, -0.0]),
        "answer": np.array([0, 1, 2, 3], np.int8),
        'odd "name" {x}': np.arange(4),
    }
    write_parquet(tmp_path / "c.parquet", columns)
    found = read_parquet(tmp_path / "c.parquet")
    assert [*found] == [*columns]
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert found[name].dtype == (TEXT if values.dtype == object else values.dtype)


def test_rows_keep_their_order_over_many_blocks(tmp_path):
    rows = 2 * BLOCK + 3
    names = np.arange(rows).astype(TEXT)
    write_parquet(tmp_path / "c.parquet", {"name": names, "at": np.arange(rows)})
    found = read_parquet(tmp_path / "c.parquet")
    assert (found["at"] == np.arange(rows)).all()
    assert (found["name"] == names).all()


@pytest.mark.parametrize("type_", [np.float32, np.float64])
def test_not_a_number_stays_not_a_number(tmp_path, type_):
    values = np.array([1.5, np.nan, -0.0, np.inf], type_)
    write_parquet(tmp_path / "c.parquet", {"x": values})
    found = read_parquet(tmp_path / "c.parquet")["x"]
    np.testing.assert_array_equal(found, values)
    assert type(found) is np.ndarray
    assert found.dtype == type_


@pytest.mark.parametrize("kind", ["INTEGER", "BOOLEAN", "VARCHAR"])
def test_a_missing_value_is_not_read_as_another(tmp_path, kind):
    file = tmp_path / "c.parquet"
    duckdb.sql(f"COPY (SELECT unnest([1, NULL])::{kind} AS n) TO '{file}' (FORMAT parquet)")
    with pytest.raises(DataError, match=r"c\.parquet: column 'n' lacks values"):
        read_parquet(file)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_and_one(tmp_path, rows):
    columns = {"text": np.array(["x"] * rows, TEXT), "n": np.zeros(rows, np.int64)}
    write_parquet(tmp_path / "c.parquet", columns)
    found = read_parquet(tmp_path / "c.parquet")
    assert {name: len(values) for name, values in found.items()} == {"text": rows, "n": rows}
    assert found["text"].dtype == TEXT


def test_a_file_that_lies_there_is_replaced(tmp_path):
    for n in (5, 2):
        write_parquet(tmp_path / "c.parquet", {"n": np.arange(n)})
    assert read_parquet(tmp_path / "c.parquet")["n"].tolist() == [0, 1]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_that_sql_or_a_pattern_would_take_otherwise(tmp_path, name):
    """Of the neighbours, one matches every pattern among the names."""
    write_parquet(tmp_path / "x.parquet", {"n": np.array([9])})
    write_parquet(tmp_path / "a1b2.parquet", {"n": np.array([9])})
    write_parquet(tmp_path / name, {"n": np.array([1, 2])})
    assert read_parquet(tmp_path / name)["n"].tolist() == [1, 2]
    assert distinct(tmp_path / name, "n") == ["1", "2"]
    assert describe(tmp_path / name) == {"n": ("BIGINT", 2, 1.0)}


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        write_parquet(tmp_path / "nowhere" / "c.parquet", {"n": np.arange(3)})
    assert caught.value.filename == str(tmp_path / "nowhere" / "c.parquet")


def test_a_full_disk_has_the_number_of_the_system(tmp_path):
    """The limit stands in for a full disk: every write beyond it fails as one."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from surefoot.data.columns import write_parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_parquet(Path(sys.argv[1]), {"x": np.random.default_rng(0).random(5000)})
except OSError as error:
    print(error.errno, error.filename)
"""
    file = str(tmp_path / "c.parquet")
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert done.stdout == f"{errno.EFBIG} {file}\n", done.stderr


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_is_a_literal_and_a_name(text):
    with duckdb.connect() as connection:
        cursor = connection.execute(f"SELECT {literal(text)} AS {quoted(text or 'x')}")
        assert cursor.description[0][0] == (text or "x")
        assert cursor.fetchall() == [(text,)]


def test_only_what_is_a_pattern_is_escaped(tmp_path):
    assert literal_path(tmp_path / "plain.csv") == f"'{tmp_path}/plain.csv'"
    assert literal_path(tmp_path / "a*[b]?.csv").endswith("/a[*][[]b][?].csv'")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_types_distinct_values_and_lengths_of_every_kind_of_table(table_file, form):
    """The rows of `conftest.ROWS`: three greetings of 5, 4 and 5 letters."""
    found = describe(Path(table_file(form)))
    assert [*found] == ["text", "label", "lang", "x"]
    assert found["text"] == ("VARCHAR", 3, pytest.approx(14 / 3))
    assert found["label"][:2] == ("VARCHAR", 2)
    assert found["x"][0] == "DOUBLE"
    assert distinct(Path(table_file(form)), "label") == ["a", "b"]


def test_columns_with_gaps_and_odd_names(tmp_path):
    (tmp_path / "t.csv").write_text('a,"say ""hi""",{id}\n1,x,p\n2,y,p\n,z,p\n')
    found = describe(tmp_path / "t.csv")
    assert [*found] == ["a", 'say "hi"', "{id}"]
    assert distinct(tmp_path / "t.csv", 'say "hi"') == ["x", "y", "z"]
    assert distinct(tmp_path / "t.csv", "{id}") == ["p"]


def test_the_first_line_of_a_csv_file_is_its_header_whatever_it_looks_like(tmp_path):
    (tmp_path / "t.csv").write_text("1,2\n3,4\n5,4\n")
    assert {name: kind for name, (kind, *_) in describe(tmp_path / "t.csv").items()} == {
        "1": "BIGINT",
        "2": "BIGINT",
    }
    assert distinct(tmp_path / "t.csv", "2") == ["4"]
    (tmp_path / "w.csv").write_text("x,y\na,b\nc,d\n")
    assert distinct(tmp_path / "w.csv", "x") == ["a", "c"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_what_a_folder_is_called_is_no_column(table_file, tmp_path, form):
    file = Path(table_file(form))
    (tmp_path / "label=zzz").mkdir()
    moved = file.rename(tmp_path / "label=zzz" / file.name)
    assert [*describe(moved)] == ["text", "label", "lang", "x"]
    assert distinct(moved, "label") == ["a", "b"]
    write_parquet(tmp_path / "label=zzz" / "c.parquet", {"label": np.arange(2)})
    assert read_parquet(tmp_path / "label=zzz" / "c.parquet")["label"].tolist() == [0, 1]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_values_are_those_that_a_source_reads(tmp_path, form):
    rows = {"csv": "a\n007\n1.50\nTrue\n", "jsonl": '{"a":"007"}\n{"a":"1.50"}\n{"a":"True"}\n'}
    (tmp_path / f"t.{form}").write_text(rows[form])
    assert distinct(tmp_path / f"t.{form}", "a") == ["007", "1.50", "True"]


def test_empty_cells_are_no_value(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\nx,1\n,2\ny,\n")
    assert distinct(tmp_path / "t.csv", "a") == ["x", "y"]
    assert distinct(tmp_path / "t.csv", "b") == ["1", "2"]


def test_the_case_of_a_suffix_does_not_matter(tmp_path):
    (tmp_path / "T.CSV").write_text("a\n1\n")
    assert describe(tmp_path / "T.CSV")["a"][0] == "BIGINT"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", b"a\n1\n", r"t\.txt: cannot read '\.txt' files; known: \.csv, \.jsonl"),
        ("t", b"a\n1\n", r"t: cannot read '' files"),
        ("t.parquet", b"PAR1 but no more", r"t\.parquet: cannot be read: "),
        ("t.jsonl", b"{no json", r"t\.jsonl: cannot be read: "),
        ("t.csv", None, r"t\.csv: cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (describe, lambda path: distinct(path, "a")):
        with pytest.raises(DataError, match=said) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
