"""What csv, jsonl and parquet have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import DataError
from surefoot.data import fingerprint, read

SOURCES = ("csv", "jsonl", "parquet")


def load(source, path, *, slices=None, **options):
    return read(source, {"path": path, "label": "label", **options}, name="d", slices=slices or {})


@pytest.mark.parametrize("source", SOURCES)
def test_texts_labels_slices_and_ids(source, table_file):
    slices = {"es": "lang = 'es'", "b": "label = 'b'", "big": "x > 1.9 -- a comment"}
    d = load(source, table_file(source), text="text", slices=slices)
    assert d.inputs.tolist() == ["hello", "hola", "hallo"]
    assert d.inputs.dtype == d.ids.dtype == np.dtypes.StringDType()
    assert d.classes == ("a", "b")
    assert d.labels.tolist() == [1, 0, 1]
    assert d.labels.dtype == np.int64
    assert {k: v.tolist() for k, v in d.slices.items()} == {
        "es": [False, True, False],
        "b": [True, False, True],
        "big": [False, True, True],
    }
    assert len({*d.ids.tolist()}) == 3
    assert all(len(i) == 16 for i in d.ids)
    assert d.fingerprint == fingerprint(d)


def test_one_content_has_one_fingerprint_in_every_format(table_file):
    assert len({load(s, table_file(s), text="text").fingerprint for s in SOURCES}) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_numbers_are_float32(source, table_file):
    rows = "a,b,flag,label\n1,2.5,true,x\n-3,4,false,y\n"
    d = load(source, table_file(source, rows), columns=["b", "a", "flag"])
    assert d.inputs.dtype == np.float32
    assert d.inputs.tolist() == [[2.5, 1, 1], [4, -3, 0]]


@pytest.mark.parametrize("source", SOURCES)
def test_ids_and_groups_from_columns(source, table_file):
    rows = "text,label,key,who\na,x,7,u1\nb,y,8,u1\n"
    d = load(source, table_file(source, rows), text="text", id="key", group="who")
    assert d.ids.tolist() == ["7", "8"]
    assert d.groups.tolist() == ["u1", "u1"]


def test_duplicate_rows_get_endings_in_order(write):
    d = load("csv", write("text,label\na,x\nb,y\na,x\na,y\na,x\n"), text="text")
    first = d.ids[0]
    assert d.ids[2] == f"{first}-1"
    assert d.ids[4] == f"{first}-2"
    assert len({*d.ids.tolist()}) == 5


def test_a_row_keeps_its_id_wherever_it_stands(write):
    one = load("csv", write("text,label\na,x\nb,y\n"), text="text")
    other = load("csv", write("text,label\nc,x\nb,y\na,x\n", "more.csv"), text="text")
    assert one.ids[0] == other.ids[2]
    assert one.ids[1] == other.ids[1]


def test_null_in_a_slice_is_false(write):
    d = load("csv", write("text,label,n\na,x,1\nb,y,\n"), text="text", slices={"s": "n > 0"})
    assert d.slices["s"].tolist() == [True, False]


def test_a_role_is_read_as_written_and_sliced_by_its_type(write):
    path = write("text,label,key\n1.50,True,00\n2.00,False,10\n")
    slices = {"high": "text > 1.8", "true": "label", "odd": "label = false"}
    d = load("csv", path, text="text", id="key", slices=slices)
    assert d.inputs.tolist() == ["1.50", "2.00"]
    assert d.classes == ("False", "True")
    assert d.ids.tolist() == ["00", "10"]
    assert d.slices["high"].tolist() == [False, True]
    assert d.slices["true"].tolist() == [True, False]
    assert d.slices["odd"].tolist() == [False, True]


def test_order_holds_over_many_blocks(write):
    rows = 150_000
    path = write("text,label,k\n" + "".join(f"row {i},c{i % 3},{i}\n" for i in range(rows)))
    d = load("csv", path, text="text", slices={"even": "k % 2 = 0"})
    assert d.inputs[rows - 1] == f"row {rows - 1}"
    assert (d.inputs == np.array([f"row {i}" for i in range(rows)], dtype="T")).all()
    assert (d.labels == np.arange(rows) % 3).all()
    assert (d.slices["even"] == (np.arange(rows) % 2 == 0)).all()


@pytest.mark.parametrize("source", SOURCES)
def test_a_late_surprise_names_row_column_and_value(source, tmp_path, write):
    rows = ["1"] * 30_000
    rows[25_000] = "abc"
    if source == "jsonl":
        lines = [f'{{"x": {r if r == "1" else chr(34) + r + chr(34)}, "label": "a"}}' for r in rows]
        path = write("\n".join(lines), "rows.jsonl")
    else:
        path = write("x,label\n" + "".join(f"{r},a\n" for r in rows))
    if source == "parquet":
        import duckdb

        target = tmp_path / "rows.parquet"
        duckdb.execute(f"COPY (FROM read_csv('{path}', all_varchar = true)) TO '{target}'")
        path = str(target)
    with pytest.raises(DataError, match=r"row 25001, column 'x': .*abc.*, not a finite number"):
        load(source, path, columns=["x"])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("nan", "'nan'"), ("inf", "'inf'"), ("-inf", "'-inf'"), ("", "empty"), ("1e300", "'1e")],
)
def test_non_finite_numbers(write, cell, shown):
    with pytest.raises(DataError) as caught:
        load("csv", write(f"x,y,label\n1,2,a\n3,{cell},b\n4,{cell},b\n"), columns=["x", "y"])
    line = str(caught.value)
    assert f"row 2, column 'y': {shown}" in line
    assert "2 such cells in all" in line
    assert "rows.csv" in line


@pytest.mark.parametrize("source", SOURCES)
def test_missing_file_names_the_nearest(source, tmp_path):
    (tmp_path / f"train.{source}").write_text("")
    with pytest.raises(DataError, match=rf"trian.*no such file; did you mean 'train\.{source}'"):
        load(source, str(tmp_path / f"trian.{source}"), text="text")


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"no such file; '.*/no' is no folder either"):
        load("csv", str(tmp_path / "no" / "a.csv"), text="text")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        load("csv", str(tmp_path), text="text")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("role", ["text", "label", "id", "group", "columns"])
def test_missing_column_names_the_nearest(source, role, table_file):
    asked = {"text": "text"} if role != "columns" else {}
    asked[role] = ["lnag"] if role == "columns" else "lnag"
    with pytest.raises(DataError, match="no column 'lnag'; did you mean 'lang'"):
        load(source, table_file(source), **asked)


@pytest.mark.parametrize("column", ["label", "text", "key"])
def test_nothing_in_a_cell(write, column):
    rows = {"text": ["a", "b", "c"], "label": ["x", "y", "x"], "key": ["1", "2", "3"]}
    rows[column][1] = rows[column][2] = ""
    lines = "".join(f"{','.join(cells)}\n" for cells in zip(*rows.values(), strict=True))
    options = {"text": "text", "id": "key"}
    with pytest.raises(DataError, match=rf"row 2 has nothing in column '{column}' \(2 such rows"):
        load("csv", write(f"text,label,key\n{lines}"), **options)


def test_duplicate_given_ids(write):
    path = write("text,label,key\na,x,7\nb,y,8\nc,x,7\nd,x,7\ne,x,8\n")
    with pytest.raises(DataError, match="id '7' stands on 3 rows; 1 more ids") as caught:
        load("csv", path, text="text", id="key")
    assert "make column 'key' unique" in str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
def test_no_rows(source, write, table_file):
    with pytest.raises(DataError, match="is an empty file"):
        load(source, write("", f"empty.{source}"), text="text")
    if source != "jsonl":
        with pytest.raises(DataError, match="has no rows"):
            load(source, table_file(source, "text,label\n"), text="text")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("lenght(text) < 3", 'lenght does not exist! Did you mean "length"'),
        ("foo = 1", '"foo" not found'),
        ("length(text", "syntax error"),
        ("length(text)", "gives BIGINT, not true or false"),
        ("count(*) > 1", "GROUP BY"),
        ("cast(lang AS INTEGER) = 1", "Could not convert string 'en' to INT32"),
        ("columns(*) = 'en'", "columns, not true or false"),
        ("true; SELECT true", "is more than one statement"),
        ("true) FROM typed WHERE (true", "syntax error"),
        ("", "correct the SQL expression"),
    ],
)
def test_broken_slice(table_file, expression, reason):
    slices = {"fine": "lang = 'es'", "broken": expression}
    with pytest.raises(DataError) as caught:
        load("csv", table_file("csv"), text="text", slices=slices)
    line = str(caught.value)
    assert "slice 'broken': " in line
    assert reason in line
    assert "\n" not in line
    assert "LINE 1" not in line


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "expression",
    [
        "true) FROM typed; COPY (SELECT 'owned') TO '{out}'; SELECT (true",
        "EXISTS (FROM read_text('{secret}'))",
        "EXISTS (FROM read_text('{beside}/*'))",
        "EXISTS (FROM '{secret}')",
        "EXISTS (FROM read_csv('https://localhost/a.csv'))",
        "true; SET enable_external_access = true",
    ],
)
def test_a_slice_reaches_nothing_but_its_rows(source, expression, table_file, tmp_path):
    path, out, secret = table_file(source), tmp_path / "owned", tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    slices = {"s": expression.format(out=out, secret=secret, beside=tmp_path)}
    with pytest.raises(DataError, match="slice 's': "):
        load(source, path, text="text", slices=slices)
    assert not out.exists()


def test_the_folder_for_temporary_files_is_out_of_reach_too(table_file, tmp_path, monkeypatch):
    """DuckDB lets SQL read and write wherever it may spill to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "secret.csv").write_text("a\n1\n")
    slices = {"s": f"EXISTS (FROM read_text('{tmp_path}/secret.csv'))"}
    with pytest.raises(DataError, match="Cannot access file"):
        load("csv", table_file("csv"), text="text", slices=slices)
    assert not list(tmp_path.glob("surefoot-*"))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("way", ["relative", "dots", "link"])
def test_a_path_may_lead_anywhere(source, way, table_file, tmp_path, monkeypatch):
    path = Path(table_file(source))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / path.name).symlink_to(path)
    given = {"relative": path.name, "dots": f"deep/../{path.name}", "link": f"deep/{path.name}"}
    assert load(source, given[way], text="text").inputs.tolist() == ["hello", "hola", "hallo"]


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_folder_is_called_is_no_column(source, table_file, tmp_path):
    path = Path(table_file(source))
    folder = tmp_path / "label=zzz" / "more=1"
    folder.mkdir(parents=True)
    moved = path.rename(folder / path.name)
    d = load(source, str(moved), text="text", slices={"b": "label = 'b'"})
    assert d.classes == ("a", "b")
    assert d.slices["b"].tolist() == [True, False, True]
    with pytest.raises(DataError, match="no column 'more'"):
        load(source, str(moved), text="text", group="more")


def test_text_and_columns_are_not_given_together(table_file):
    with pytest.raises(DataError, match="both 'text' and 'columns'"):
        load("csv", table_file("csv"), text="text", columns=["x"])


def test_neither_text_nor_columns(table_file):
    with pytest.raises(DataError, match="neither 'text' nor 'columns'"):
        load("csv", table_file("csv"))


def test_a_nested_column_is_no_input(write):
    path = write('{"text": {"a": 1}, "v": [1, 2], "label": "x"}\n', "rows.jsonl")
    with pytest.raises(DataError, match=r"column 'text' holds STRUCT\(.*not text"):
        load("jsonl", path, text="text")
    with pytest.raises(DataError, match=r"column 'v' holds BIGINT\[\], not numbers"):
        load("jsonl", path, columns=["v"])


def test_a_name_with_a_pattern_means_one_file(write):
    path = write("text,label\na,x\nb,y\n", "rows[1]*?.csv")
    write("text,label\nc,x\n", "rows1yz.csv")
    assert load("csv", path, text="text").inputs.tolist() == ["a", "b"]


def test_quotes_in_names_values_and_paths(write):
    path = write('te"xt,la\'bel\nit\'s,a\'b\n"say ""hi""",c\n', "it's.csv")
    d = read("csv", {"path": path, "text": 'te"xt', "label": "la'bel"}, name="d", slices={})
    assert d.inputs.tolist() == ["it's", 'say "hi"']
    assert d.classes == ("a'b", "c")


def test_reading_needs_no_pandas(table_file):
    script = (
        "import sys; sys.modules['pandas'] = None; sys.modules['pyarrow'] = None\n"
        "from surefoot.data import read\n"
        "d = read('csv', {'path': sys.argv[1], 'text': 'text', 'label': 'label'}, name='d', "
        "slices={'es': \"lang = 'es'\"})\n"
        "assert len(d) == 3\n"
    )
    subprocess.run([sys.executable, "-c", script, table_file("csv")], check=True)
