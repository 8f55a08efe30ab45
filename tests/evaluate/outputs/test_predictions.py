import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.errors import DataError
from surefoot.evaluate.outputs.predictions import compare_files

BASE = "id,label,predicted\n007,a,a\n008,a,b\n009,b,b\n010,b,c\n"
CANDIDATE = "id,predicted\n010,d\n007,b\n009,b\n008,a\n"


def write(path: Path, text: str) -> Path:
    """CSV text as the file that its suffix says."""
    if path.suffix == ".csv":
        path.write_text(text)
        return path
    csv = path.with_suffix(".source")
    csv.write_text(text)
    format_ = "parquet" if path.suffix == ".parquet" else "json"
    reader = f"read_csv('{csv}', header = true, all_varchar = true)"
    duckdb.sql(f"COPY (SELECT * FROM {reader}) TO '{path}' (FORMAT {format_})")
    return path


def compared(folder: Path, base=BASE, candidate=CANDIDATE, kinds=(".csv", ".csv"), **options):
    return compare_files(
        write(folder / f"base{kinds[0]}", base),
        write(folder / f"candidate{kinds[1]}", candidate),
        **options,
    )


@pytest.mark.parametrize(
    "kinds", [(".csv", ".parquet"), (".parquet", ".jsonl"), (".ndjson", ".csv")]
)
def test_files_of_any_kind_pair_by_id_as_text(tmp_path, kinds):
    (paired,) = compared(tmp_path, kinds=kinds).paired
    assert (paired.n, paired.lost, paired.won, paired.other) == (4, 1, 1, 1)
    assert (paired.baseline, paired.value) == (0.5, 0.5)
    assert (paired.candidate, paired.dataset) == ("candidate", "base")


answers = st.lists(st.tuples(*[st.sampled_from(["a", "b", "d'e"])] * 3), min_size=1)


@settings(max_examples=25, deadline=None)
@given(answers, st.randoms())
def test_counts_are_those_of_a_loop(tmp_path_factory, answers, random):
    folder = tmp_path_factory.mktemp("pairs")
    lines = [f"{i},{old},{new}" for i, (_, old, new) in enumerate(answers)]
    random.shuffle(lines)
    base = "\n".join(f"{i},{label},{old}" for i, (label, old, _) in enumerate(answers))
    new = "\n".join(",".join(line.split(",")[::2]) for line in lines)
    (p,) = compared(folder, f"id,label,predicted\n{base}\n", f"id,predicted\n{new}\n").paired
    assert p.lost == sum(a == b != c for a, b, c in answers)
    assert p.won == sum(a == c != b for a, b, c in answers)
    assert p.other == sum(a not in (b, c) and b != c for a, b, c in answers)


def test_slices_by_value_by_truth_and_by_category(tmp_path):
    base = tmp_path / "base.parquet"
    duckdb.sql(
        "COPY (SELECT range AS id, 'a' AS label, 'a' AS predicted, range < 3 AS early,"
        " ['es', 'de'][range % 2 + 1]::ENUM('es', 'de') AS lang, range // 5 AS part,"
        " CASE WHEN range > 7 THEN 'late' END AS maybe"
        f" FROM range(10)) TO '{base}' (FORMAT parquet)"
    )
    text = "id,predicted\n" + "".join(f"{i},{'b' if i < 3 else 'a'}\n" for i in range(10))
    candidate = write(tmp_path / "candidate.csv", text)
    evidence = compare_files(base, candidate, slices=["early", "lang", "part", "maybe"])
    found = {p.slice: (p.n, p.lost) for p in evidence.paired}
    assert found == {
        None: (10, 3), "early": (3, 3), "lang=de": (5, 1), "lang=es": (5, 2), "part=0": (5, 3),
        "part=1": (5, 0), "maybe=late": (2, 0),
    }  # fmt: skip


def test_pandas_writes_booleans_with_a_capital(tmp_path):
    base = "id,label,predicted,short\n1,a,a,True\n2,a,a,False\n"
    evidence = compared(tmp_path, base, "id,predicted\n1,b\n2,a\n", slices=["short"])
    assert [(p.slice, p.n, p.lost) for p in evidence.paired] == [(None, 2, 1), ("short", 1, 1)]


def test_groups_come_row_by_row(tmp_path):
    base = "id,label,predicted,user\n1,a,a,x\n2,a,b,y\n3,a,a,x\n4,a,b,z\n"
    candidate = "id,predicted\n1,b\n2,a\n3,a\n4,c\n"
    (paired,) = compared(tmp_path, base, candidate, group="user").paired
    rows = zip(paired.groups, paired.difference, paired.values, paired.change, strict=True)
    assert sorted(rows) == [
        (1, -1, 0, 1), (1, 0, 1, 0), (2, 1, 1, 2), (3, 0, 0, 3),
    ]  # fmt: skip


def test_a_header_of_words_over_words_and_a_name_with_signs(tmp_path):
    base = write(tmp_path / "it's [1]*.csv", "id,label,predicted\nx,cat,dog\n")
    (paired,) = compare_files(base, write(tmp_path / "b.csv", "id,predicted\nx,cat\n")).paired
    assert (paired.n, paired.won) == (1, 1)


@pytest.mark.parametrize(
    ("base", "candidate", "options", "said"),
    [
        ("id,label,predicted\n", CANDIDATE, {}, "base.csv: no rows"),
        ("", CANDIDATE, {}, "base.csv: "),
        (BASE + "007,a,a\n", CANDIDATE, {}, "base.csv: id '007' is given 2 times"),
        (BASE, CANDIDATE + "007,a\n", {}, "candidate.csv: id '007' is given 2 times"),
        (BASE + "011,a,a\n", CANDIDATE, {}, "1 ids are not in .*candidate.csv, the first is '011'"),
        (BASE, CANDIDATE + "7,a\n", {}, "candidate.csv: 1 ids are not in .* the first is '7'"),
        (
            BASE,
            CANDIDATE.replace("predicted", "predictd"),
            {},
            "no column 'predicted'; did you mean",
        ),
        (BASE.replace("label", "lable"), CANDIDATE, {}, "no column 'label'; did you mean 'lable'"),
        (BASE, CANDIDATE, {"slices": ["labl"]}, "no column 'labl'; did you mean 'label'"),
        (BASE, CANDIDATE, {"group": "labl"}, "no column 'labl'; did you mean 'label'"),
        (BASE, CANDIDATE.replace("007,b", "007,"), {}, "1 rows have no predicted, .* id '007'"),
        (BASE.replace("007", ""), CANDIDATE, {}, "1 rows have no id"),
        (BASE, "id,label,predicted\n007,b,a\n008,a,a\n009,b,b\n010,b,b\n", {}, "1 labels differ"),
        ("id,label,predicted\n1,1,1\n", "id,predicted\n1,1.0\n", {}, "'1.0' for '1'; write"),
        ("id,label,predicted\n1,yes,yes\n", "id,predicted\n1,Yes\n", {}, "'Yes' for 'yes'"),
        ("id,label,predicted\n1,a,a\n", "id,predicted\n1,a \n", {}, "'a ' for 'a'; write"),
        ("id,label,predicted\n1,a ,a \n", "id,predicted\n1,\ta\n", {}, "for 'a '; write"),
        ("id,label,predicted\n1,A,a\n", "id,predicted\n1,A\n", {}, "base.csv: 1 pred.*'a' for 'A'"),
        (
            "id,label,predicted\n1,True,True\n",
            "id,label,predicted\n1,true,true\n",
            {},
            "1 labels are labels of base.csv written differently.*'true' for 'True'",
        ),
        (BASE.replace("ed\n", "ed,predicted\n"), CANDIDATE, {}, "both 'predicted' and 'predicted'"),
        (BASE, "id,label,predicted,Label\n", {}, "both 'label' and 'Label'"),
        (
            "id,label,predicted,s\n1,a,a,false\n",
            "id,predicted\n1,a\n",
            {"slices": ["s"]},
            "is empty",
        ),
        ("id,label,predicted,g\n1,a,a,\n", "id,predicted\n1,a\n", {"group": "g"}, "have no g"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, base, candidate, options, said):
    with pytest.raises(DataError, match=said) as caught:
        compared(tmp_path, base, candidate, **options)
    assert "\n" not in str(caught.value)


def json_lines(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_ids_of_json_lines_stay_as_they_are_written(tmp_path):
    days = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T01:02:03Z"]
    rows = [{"id": day, "label": "a", "predicted": "a"} for day in days]
    csv = "id,predicted\n" + "".join(f"{day},a\n" for day in days)
    base = json_lines(tmp_path, "base", rows)
    (paired,) = compare_files(base, write(tmp_path / "candidate.csv", csv)).paired
    assert (paired.n, paired.value) == (3, 1)


def test_truth_in_json_is_not_the_truth_of_pandas(tmp_path):
    base = write(tmp_path / "base.csv", "id,label,predicted\n1,True,True\n2,False,True\n")
    rows = [{"id": i, "label": i == 1, "predicted": True} for i in (1, 2)]
    with pytest.raises(DataError, match=r"2 labels .* written differently, .*'true' for 'True'"):
        compare_files(base, json_lines(tmp_path, "candidate", rows))


def test_a_key_that_first_stands_far_down_is_a_column(tmp_path):
    rows = [{"id": i, "label": "a", "predicted": "a"} for i in range(30_000)]
    rows[-1]["late"] = True
    base = json_lines(tmp_path, "base", rows)
    found = compare_files(base, base, slices=["late"]).paired
    assert [(p.slice, p.n) for p in found] == [(None, 30_000), ("late", 1)]


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_what_a_folder_is_called_is_no_column(tmp_path, kind):
    written = write(tmp_path / f"base{kind}", BASE)
    for folder in ("predicted=b", "label=zzz"):
        (tmp_path / folder).mkdir()
        shutil.copy(written, tmp_path / folder)
    base, moved = (tmp_path / folder / written.name for folder in ("label=zzz", "predicted=b"))
    (paired,) = compare_files(base, moved).paired
    assert (paired.lost, paired.won, paired.baseline) == (0, 0, 0.5)


def test_labels_that_are_spelt_alike_in_two_ways_stay_two_labels(tmp_path):
    base = "id,label,predicted\n1,IT,IT\n2,it,it\n"
    (paired,) = compared(tmp_path, base, "id,predicted\n1,it\n2,it\n").paired
    assert paired.lost == 1


def test_too_many_values_for_slices(tmp_path):
    base = "id,label,predicted\n" + "".join(f"{i},a,a\n" for i in range(101))
    candidate = "id,predicted\n" + "".join(f"{i},a\n" for i in range(101))
    with pytest.raises(DataError, match="'id' has more than 100 values"):
        compared(tmp_path, base, candidate, slices=["id"])


def test_files_that_cannot_be_read(tmp_path):
    good = write(tmp_path / "base.csv", BASE)
    broken = write(tmp_path / "broken.parquet", BASE)
    broken.write_bytes(broken.read_bytes()[:50])
    for path, said in [
        (tmp_path / "bse.csv", "no such file; did you mean 'base.csv'"),
        (tmp_path / "no" / "base.csv", "no such file; known: none"),
        (tmp_path, "is a folder"),
        (
            write(tmp_path / "b.csv", BASE).rename(tmp_path / "b.txt"),
            "cannot read '.txt' files",
        ),
        (broken, "cannot be read: "),
    ]:
        with pytest.raises(DataError, match=said) as caught:
            compare_files(path, good)
        assert "\n" not in str(caught.value)


def test_a_hundred_thousand_rows_stay_out_of_python(tmp_path):
    for name in ("base", "candidate"):
        classes = 7 if name == "base" else 11
        duckdb.sql(
            f"COPY (SELECT 'row-' || range AS id, range % 7 AS label, range % {classes}"
            f" AS predicted FROM range(100000)) TO '{tmp_path / name}.parquet' (FORMAT parquet)"
        )
    (paired,) = compare_files(tmp_path / "base.parquet", tmp_path / "candidate.parquet").paired
    rows = np.arange(100000)
    assert paired.lost == int((rows % 7 != rows % 11).sum())


def test_predictions_of_other_classes_altogether_are_refused(tmp_path):
    base = "id,label,predicted\n" + "".join(f"{i},{i % 3},{i % 3}\n" for i in range(40))
    foreign = "id,predicted\n" + "".join(f"{i},c{i % 3}\n" for i in range(40))
    with pytest.raises(DataError, match="the first is 'c0'"):
        compared(tmp_path, base, foreign)
