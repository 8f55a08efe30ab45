"""The data sets of a plan: shared out, sliced, counted into the classes of a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from surefoot.core.dataset import Task
from surefoot.core.errors import DataError
from surefoot.core.progress import Silent
from surefoot.data import for_classes, leaks, read_task
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "text-classification"
name = "greetings"
{sets}
test.main = {{ use = "csv", path = "main.csv", text = "text", label = "label", id = "id" }}
test.more = {{ use = "csv", path = "more.csv", text = "text", label = "label", id = "id" }}
[model]
path = "model.onnx"
[evaluate]
slices = {{ long = "length(text) > 8" }}
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


def source(name: str, **more: str) -> str:
    options = {"text": "text", "label": "label", "id": "id"} | more
    pairs = ", ".join(f'{key} = "{value}"' for key, value in options.items())
    return f'{name} = {{ use = "csv", path = "{name}.csv", {pairs} }}'


def write(folder: Path, name: str, rows: int, labels: str = "ba") -> None:
    lines = [
        f"{name}-{i},{name} text {i},{labels[i % len(labels)]},{i // 10}\n" for i in range(rows)
    ]
    (folder / f"{name}.csv").write_text("".join(["id,text,label,doc\n", *lines]))


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, rows in {"train": 1000, "selection": 30, "calibration": 20}.items():
        write(tmp_path, name, rows)
    write(tmp_path, "main", 12)
    write(tmp_path, "more", 6, labels="ca")
    (tmp_path / "model.onnx").touch()
    return tmp_path


def load(folder: Path, *sets: str, overrides: tuple[str, ...] = (), **options) -> Task:
    (folder / "p.toml").write_text(PLAN.format(sets="\n".join(sets)))
    return read_task(read_plan(folder / "p.toml", overrides), **options)


def sizes(task: Task) -> list[int | None]:
    own = (task.train, task.selection, task.calibration)
    return [None if dataset is None else len(dataset) for dataset in own]


def test_a_task_has_the_words_of_the_plan_and_all_classes_sorted(folder):
    task = load(folder)
    assert (task.name, task.kind, task.metric) == ("greetings", "text-classification", "accuracy")
    assert task.classes == ("a", "b", "c")
    assert {name: d.classes for name, d in task.test.items()} == {
        "main": task.classes,
        "more": task.classes,
    }
    assert [task.classes[i] for i in task.test["more"].labels] == list("cacaca")
    assert sizes(task) == [None, None, None]


def test_train_is_shared_out_whole_and_without_overlap(folder):
    task = load(folder, source("train"))
    parts = [set(d.ids.tolist()) for d in (task.train, task.selection, task.calibration)]
    assert set.union(*parts) == {f"train-{i}" for i in range(1000)}
    assert sum(map(len, parts)) == 1000
    # A binomial count of 1,000 lies within 5 deviations (63 and 47) of its mean.
    assert abs(len(parts[0]) - 800) < 63
    assert abs(len(parts[1]) - 100) < 47
    assert [d.name for d in (task.train, task.selection)] == ["train", "selection"]


@pytest.mark.parametrize("named", ["selection", "calibration"])
def test_a_set_that_the_plan_names_is_not_taken_from_train(folder, named):
    task = load(folder, source("train"), source(named))
    rows = {"selection": task.selection, "calibration": task.calibration}
    assert all(key.startswith(f"{named}-") for key in rows.pop(named).ids)
    ((_, other),) = rows.items()
    assert all(key.startswith("train-") for key in other.ids)
    # Eight parts and one: a ninth of the rows, within 5 deviations (50).
    assert abs(len(other) - 1000 / 9) < 50
    assert len(task.train) + len(other) == 1000


def test_nothing_is_taken_from_train_where_the_plan_names_all(folder):
    task = load(folder, source("train"), source("selection"), source("calibration"))
    assert sizes(task) == [1000, 30, 20]


def test_sets_without_train_stay_what_they_are(folder):
    assert sizes(load(folder, source("selection"))) == [None, 30, None]


def test_rows_of_one_group_stay_together(folder):
    task = load(folder, source("train", group="doc"))
    parts = [set(d.groups.tolist()) for d in (task.train, task.selection, task.calibration)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert sum(map(len, parts)) == 100


def test_the_seed_of_the_task_decides_who_goes_where(folder):
    one, two, again = (
        load(folder, source("train"), overrides=(f"task.seed={seed}",)) for seed in (0, 1, 0)
    )
    assert one.train.fingerprint == again.train.fingerprint
    assert one.train.fingerprint != two.train.fingerprint


def test_slices_are_those_of_test_sets(folder):
    """Slices are over the columns of test files; training data may lack those columns."""
    task = load(folder, source("train"))
    assert task.train.slices == {}
    # "main text 0" is the shortest, of 11 letters: all are longer than 8.
    assert task.test["main"].slices["long"].tolist() == [True] * 12
    ones = load(folder, overrides=("evaluate.slices.ones=\"id LIKE '%-1%'\"",))
    assert ones.test["main"].slices["ones"].nonzero()[0].tolist() == [1, 10, 11]
    assert ones.test["more"].slices["ones"].nonzero()[0].tolist() == [1]


def test_progress_is_told_of_every_set(folder):
    class Told(Silent):
        lines: list[str]

        def __init__(self) -> None:
            self.lines = []

        def start(self, title: str, total: int) -> None:
            self.lines.append(f"{title} {total}")

        def advance(self, units: int = 1) -> None:
            self.lines.append("advance")

    told = Told()
    load(folder, source("train"), progress=told)
    assert told.lines[0].startswith("reading data ")
    assert told.lines.count("advance") == int(told.lines[0].removeprefix("reading data "))


@pytest.mark.parametrize(
    ("labels", "said"),
    [("a", r"task\.test\.more: only one class 'a' in the 6 rows"), ("", r"more\.csv: has no rows")],
)
def test_a_test_set_on_which_nothing_can_be_judged(folder, labels, said):
    write(folder, "more", 6 if labels else 0, labels or "a")
    with pytest.raises(DataError, match=said):
        load(folder)


def test_labels_are_counted_into_the_order_of_the_model(folder):
    task = load(folder, source("train"))
    fitted = for_classes(task, ["c", "b", "d", "a"])
    assert fitted.classes == ("c", "b", "d", "a")
    assert [fitted.classes[i] for i in fitted.test["more"].labels] == list("cacaca")
    assert fitted.test["more"].labels.tolist() == [0, 3, 0, 3, 0, 3]
    assert fitted.train.classes == fitted.selection.classes == fitted.classes
    assert task.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["a", "b"], r"task\.test\.more: label 'c' \(3 rows\) is unknown"),
        (["a", "c"], r"(train|selection|calibration): label 'b' \(\d+ rows\) is unknown"),
    ],
)
def test_a_label_that_the_model_does_not_know(folder, classes, said):
    task = load(folder, source("train"))
    with pytest.raises(DataError, match=said):
        for_classes(task, classes)


def test_rows_that_stand_in_train_too_are_counted_set_by_set(folder):
    task = load(folder, source("train"), source("selection"), source("calibration"))
    assert leaks(task) == ()
    with (folder / "main.csv").open("a") as stream:
        stream.write("new-1,train text 5,a,0\nnew-2,train text 6,b,0\n")
    task = load(folder, source("train"), source("selection"), source("calibration"))
    assert leaks(task) == ("2 of 14 rows of test.main also stand in task.train",)
    assert leaks(load(folder)) == ()


ALL = [source("train"), source("selection"), source("calibration")]


def append(folder: Path, name: str, lines: list[str]) -> None:
    with (folder / name).open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("own", "named"),
    [("train", []), ("train", ALL[1:]), ("selection", ALL[1:]), ("calibration", ALL[1:])],
    ids=["train, shared out", "train", "selection", "calibration"],
)
def test_a_test_row_that_was_seen_in_training_is_refused_with_its_id(folder, own, named):
    append(folder, "main.csv", [f"{own}-{i},{own} text {i},a,0" for i in (9, 3, 5, 7, 1, 2)])
    with pytest.raises(DataError) as caught:
        load(folder, ALL[0], *named)
    assert str(caught.value).startswith(
        f"task.test.main: 6 rows also stand in task.{own}, with the same id and input: "
        + ", ".join(f"{own}-{i}" for i in (9, 3, 5, 7, 1))
        + ", …; take them out"
    )


def test_one_row_of_two_test_sets_is_refused_too(folder):
    append(folder, "more.csv", ["train-3,train text 3,a,0"])
    with pytest.raises(DataError, match=r"task\.test\.more: 1 rows also .*: train-3; take"):
        load(folder, *ALL)


@pytest.mark.parametrize(
    "line",
    ["train-3,another text,a,0", "new-3,train text 3,a,0"],
    ids=["the same id alone", "the same input alone"],
)
def test_an_id_or_an_input_alone_is_not_the_same_row(folder, line):
    append(folder, "main.csv", [line])
    assert len(load(folder, *ALL).test["main"]) == 13


def test_rows_without_ids_of_the_plan_are_a_warning_alone(folder):
    append(folder, "main.csv", ["train-3,train text 3,a,0"])
    anonymous = ALL[0].replace(', id = "id"', "")
    assert 'id = "' not in anonymous
    task = load(folder, anonymous, *ALL[1:])
    assert leaks(task) == ("1 of 13 rows of test.main also stand in task.train",)


def test_rows_that_the_split_put_aside_count_as_seen_all_the_same(folder):
    """The model was trained on the whole file, whatever is split off it here."""
    train = (folder / "train.csv").read_text().splitlines()
    texts = [line.split(",")[1] for line in train[1:201]]
    rows = [f"new-{i},{text},{'ab'[i % 2]},0\n" for i, text in enumerate(texts)]
    (folder / "main.csv").write_text("".join(["id,text,label,doc\n", *rows]))
    task = load(folder, source("train"))
    assert len(task.train) < 1000
    assert leaks(task) == ("200 of 200 rows of test.main also stand in task.train",)


@pytest.mark.parametrize("own", ["train", "selection", "calibration", "unlabelled"])
def test_a_test_set_that_is_one_of_our_own_over_again_is_refused(folder, own):
    """Whatever it is called, and without ids: steps would be calibrated on what judges them."""
    shutil.copy(folder / "main.csv", folder / "copy.csv")
    call = '{ use = "csv", path = "copy.csv", text = "text", label = "label" }'
    others = [] if own == "train" else [ALL[0]]
    with pytest.raises(DataError, match=rf"task\.test\.main: has the very rows of task\.{own}"):
        load(folder, *others, f"{own} = {call}")


OUTSIDE = 'out_of_scope = { use = "csv", path = "strange.csv", text = "text", id = "id" }'


def strange(folder: Path, rows: list[str]) -> None:
    lines = [f"{name},{text}" for name, text in (row.split("|") for row in rows)]
    (folder / "strange.csv").write_text("\n".join(["id,text", *lines, ""]))


def test_out_of_scope_rows_need_no_label_and_bring_no_class(folder):
    strange(folder, ["s1|what is love", "s2|what is love", "s3|seven"])
    task = load(folder, source("train"), OUTSIDE)
    assert task.out_of_scope is not None
    assert task.out_of_scope.inputs.tolist() == ["what is love", "what is love", "seven"]
    assert task.classes == ("a", "b", "c")
    fitted = for_classes(task, ("c", "b", "a"))
    assert fitted.out_of_scope is task.out_of_scope
    assert leaks(task) == ()


def test_numbers_out_of_scope_need_no_label(folder):
    (folder / "strange.csv").write_text("x,y\n1.5,2\n-3,4\n")
    call = 'out_of_scope = { use = "csv", path = "strange.csv", columns = ["x", "y"] }'
    task = load(folder, source("train"), call)
    assert task.out_of_scope is not None
    assert task.out_of_scope.inputs.tolist() == [[1.5, 2], [-3, 4]]


def test_a_label_of_out_of_scope_rows_is_not_looked_at(folder):
    (folder / "strange.csv").write_text("id,text,label\ns1,hm,zebra\ns2,oh,zebra\n")
    task = load(folder, source("train"), OUTSIDE.replace("id =", 'label = "label", id ='))
    assert "zebra" not in task.classes


@pytest.mark.parametrize(("origin", "id_"), [("train", "train-7"), ("main", "main-3")])
def test_an_out_of_scope_row_that_is_one_of_the_task_is_refused(folder, origin, id_):
    text = f"{origin} text {id_.partition('-')[2]}"
    strange(folder, ["s1|hm", f"{id_}|{text}"])
    with pytest.raises(DataError) as error:
        load(folder, source("train"), OUTSIDE)
    where = "task.out_of_scope" if origin == "train" else "task.test.main"
    other = "task.train" if origin == "train" else "task.out_of_scope"
    assert f"{where}: 1 rows also stand in {other}" in str(error.value)


def test_out_of_scope_rows_that_read_like_others_are_counted(folder):
    strange(folder, ["s1|train text 4", "s2|main text 3", "s3|hm"])
    assert leaks(load(folder, source("train"), OUTSIDE)) == (
        "1 of 3 rows of out_of_scope also stand in task.train",
        "1 of 3 rows of out_of_scope also stand in task.test",
    )
