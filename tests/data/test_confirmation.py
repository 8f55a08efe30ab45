"""Test sets that are split by a column, and slices of classes."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from surefoot.core.errors import DataError
from surefoot.data import confirmation_sets, fingerprint, leaks, read_task, read_tests, sketch
from surefoot.ledger import planned_use, record_use
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "text-classification"
{train}
test.flights = {{ use = "csv", path = "flights.csv", text = "text", label = "late"{by} }}
test.trains = {{ use = "csv", path = "trains.csv", text = "text", label = "late" }}
[model]
path = "model.onnx"
[evaluate]
slices = {{ early = "hour < 9" }}
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""
BY = ', by = "month"'


class Notes:
    """Progress that keeps what it was told."""

    def __init__(self):
        self.lines, self.units = [], 0

    def start(self, title, total):
        self.total = total

    def advance(self, units=1):
        self.units += units

    def note(self, line):
        self.lines.append(line)


def write(folder: Path, name: str, months: list[str]) -> None:
    """Labels and hours change every 12 rows."""
    rows = (
        f'"{name} {i}",{"ny"[i // 12 % 2]},{month},{i // 12 % 24}' for i, month in enumerate(months)
    )
    (folder / f"{name}.csv").write_text("\n".join(["text,late,month,hour", *rows, ""]))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "flights", [str(1 + i % 12) for i in range(240)])
    write(tmp_path, "trains", ["1"] * 40)
    (tmp_path / "model.onnx").touch()
    return tmp_path


def plan_of(folder, *overrides, by=BY, train=""):
    (folder / "p.toml").write_text(PLAN.format(by=by, train=train))
    return read_plan(folder / "p.toml", overrides)


def load(folder, *overrides, **options):
    watch = Notes()
    return read_task(plan_of(folder, *overrides, **options), watch), watch


def test_one_source_becomes_a_test_set_a_value_in_order(folder):
    task, watch = load(folder)
    names = list(task.test)
    assert names == [*(f"flights month={i}" for i in range(1, 13)), "trains"]
    assert watch.units == watch.total == 2  # the file is read once
    for i in range(1, 13):
        part = task.test[f"flights month={i}"]
        assert part.name == f"flights month={i}"
        assert part.inputs.tolist() == [f"flights {j}" for j in range(i - 1, 240, 12)]
        assert part.fingerprint == fingerprint(part)
        assert part.parts is None
    assert len({d.fingerprint for d in task.test.values()}) == 13


def test_the_ids_of_rows_do_not_depend_on_the_split(folder):
    parts, _ = load(folder)
    whole, _ = load(folder, by="")
    split = [id_ for name, d in parts.test.items() if "=" in name for id_ in d.ids.tolist()]
    assert sorted(split) == sorted(whole.test["flights"].ids.tolist())


@pytest.mark.parametrize("use", ["jsonl", "parquet", "npz"])
def test_other_sources_split_alike(folder, use):
    expected, _ = load(folder)
    table = duckdb.sql(f"SELECT * FROM read_csv('{folder}/flights.csv', all_varchar = true)")
    target = folder / f"flights.{use}"
    more = ""
    if use == "npz":
        np.savez(target, **{k: v.astype(str) for k, v in table.fetchnumpy().items()})
        more = 'inputs = "text", '
    else:
        form = {"jsonl": "json", "parquet": "parquet"}[use]
        duckdb.sql(f"COPY ({table.sql_query()}) TO '{target}' (FORMAT {form})")
        more = 'text = "text", '
    source = f'{{ use = "{use}", path = "flights.{use}", {more}label = "late", by = "month" }}'
    task, _ = load(folder, f"task.test.flights={source}", "evaluate.slices={}")
    assert list(task.test) == list(expected.test)
    for name in task.test:
        assert task.test[name].inputs.tolist() == expected.test[name].inputs.tolist()


def test_rows_with_an_empty_value_are_counted_and_left_out(folder):
    write(folder, "flights", ["1", "", "2", ""] * 50)
    task, watch = load(folder)
    assert [len(d) for d in task.test.values()] == [50, 50, 40]
    assert watch.lines == list(task.notes)
    assert "100 of 200 rows of test.flights have nothing in column 'month'" in task.notes[0]


def test_a_slice_without_rows_in_a_part_is_none_of_its_slices(folder):
    months = [str(1 + (i // 12 % 24 >= 12)) for i in range(240)]
    write(folder, "flights", months)
    task, _ = load(folder)
    assert "early" in task.test["flights month=1"].slices
    assert "early" not in task.test["flights month=2"].slices
    assert "slice 'early' has no rows in 1 of the 2 parts of test.flights" in task.notes[0]


def test_a_part_may_have_one_class(folder):
    write(folder, "flights", [str(i // 12 % 2) for i in range(200)])
    task, _ = load(folder, "evaluate.class_slices=true")
    assert list(task.test["flights month=0"].slices) == ["early", "class=n"]
    assert list(task.test["trains"].slices) == ["early", "class=n", "class=y"]


def test_class_slices_hold_the_rows_of_each_class_and_leave_cells_as_they_are(folder):
    plain, _ = load(folder, by="")
    sliced, _ = load(folder, "evaluate.class_slices=true", by="")
    for name, dataset in sliced.test.items():
        assert dataset.fingerprint == plain.test[name].fingerprint
        masks = [dataset.slices[f"class={c}"] for c in ("n", "y")]
        assert (masks[0] ^ masks[1]).all()
        assert (np.array(dataset.classes)[dataset.labels[masks[0]]] == "n").all()


def test_a_class_of_odd_characters_gives_a_name_that_can_be_shown(folder):
    text = (folder / "trains.csv").read_text().replace(",y,", ",\x1b[31mé,")
    (folder / "trains.csv").write_text(text)
    task, _ = load(folder, "evaluate.class_slices=true")
    assert "class=\\x1b[31mé" in task.test["trains"].slices


@pytest.mark.parametrize(
    ("months", "said"),
    [
        ([str(i % 61) for i in range(122)], "has 61 values, and at most 60"),
        (["a/b", "c"] * 20, "1 values of column 'month' make no file name, the first is 'a/b'"),
        (["x" * 90, "y"] * 20, "100 characters at most"),
        ([""] * 40, "is empty in every row"),
    ],
)
def test_values_that_make_no_test_sets_are_one_clear_error(folder, months, said):
    write(folder, "flights", months)
    with pytest.raises(DataError, match=r"task\.test\.flights\.by") as error:
        load(folder)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_column_names_the_nearest(folder):
    with pytest.raises(DataError, match=r"no column 'mont'; did you mean 'month'\?"):
        load(folder, by=', by = "mont"')


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["budget[0].dataset='flights month=13'"],
            r"budget\[0\].dataset: no part 'flights month=13'; did you mean 'flights month=",
        ),
        (
            ["evaluate.class_slices=true", "budget[0].slice='class=m'"],
            r"budget\[0\].slice: no row is in slice 'class=m'; did you mean 'class=",
        ),
        (
            [
                "evaluate.class_slices=true",
                "budget[0].slice='class=m'",
                "budget[0].dataset='trains'",
            ],
            "no row in 'trains' is in slice 'class=m'",
        ),
    ],
)
def test_budgets_on_what_the_data_lack_are_refused_before_anything_runs(folder, overrides, said):
    with pytest.raises(DataError, match=said):
        load(folder, *overrides)


def test_budgets_on_parts_and_classes_are_taken(folder):
    task, _ = load(
        folder,
        "evaluate.class_slices=true",
        "budget[0].dataset='flights month=12'",
        "budget[0].slice='class=n'",
    )
    assert "flights month=12" in task.test


def test_leaks_are_told_by_part(folder):
    write(folder, "train", ["1"] * 30)
    text = (folder / "train.csv").read_text().replace("train ", "flights ")
    (folder / "train.csv").write_text(text)
    train = 'train = { use = "csv", path = "train.csv", text = "text", label = "late" }'
    task, _ = load(folder, train=train)
    assert "3 of 20 rows of test.flights month=1 also stand in task.train" in leaks(task)


def test_the_ledger_knows_parts_of_what_was_used_whole(folder):
    whole, _ = load(folder, by="")
    parts, _ = load(folder)
    ledger = folder / "ledger.jsonl"
    record_use(ledger, "whole", {k: sketch(d.inputs) for k, d in whole.test.items()})
    one = {"flights month=3": sketch(parts.test["flights month=3"].inputs)}
    assert planned_use(ledger, one).count == 2


def test_power_counts_every_part_and_class(folder, cli):
    plan_of(folder)
    said = cli("power", "p.toml", "--json", "--set", "evaluate.class_slices=true")
    assert said.code == 3, said.err
    assert [p["n"] for p in json.loads(said.out)["prospects"]] == [20] * 12 + [40]
    said = cli(
        "power", "p.toml", "--json", "--set", "evaluate.class_slices=true",
        "--set", 'budget[0].slice="*"', "--set", 'budget[0].dataset="flights"',
    )  # fmt: skip
    subjects = [p["subject"] for p in json.loads(said.out)["prospects"]]
    assert "accuracy on flights month=2 [class=y]" in subjects
    assert not any("trains" in subject for subject in subjects)


def test_the_parts_of_two_sources_of_which_one_is_not_split(folder):
    plan = plan_of(folder)
    whole = read_tests(plan, Notes())
    assert list(whole) == ["flights", "trains"]
    assert whole["flights"].parts is not None
    sets, notes = confirmation_sets(plan, whole)
    assert sum(map(len, sets.values())) == 280
    assert notes == ()
