"""Stored scores are read by row id and class name, and what is wrong with a file is named."""

import json

import numpy as np
import pytest

from surefoot.core.errors import DataError
from surefoot.data.columns import write_parquet
from surefoot.data.scores import read_scores

CLASSES = ("no", "yes", "maybe")
TEXT = np.dtypes.StringDType()
ROWS = [("007", 0.5, 0.25, 0.25), ("b", 0.0, 1.0, 0.0), ("c d", 0.1, 0.1, 0.8)]


def csv(path, rows=ROWS, header="id,yes,note,maybe,no"):
    lines = [f"{i},{yes},x,{maybe},{no}" for i, no, yes, maybe in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def jsonl(path):
    lines = [json.dumps({"id": i, "maybe": m, "no": n, "yes": y}) for i, n, y, m in ROWS]
    path.write_text("\n".join(lines) + "\n")
    return path


def parquet(path):
    columns = dict(zip(("id", "no", "yes", "maybe"), zip(*ROWS, strict=True), strict=True))
    arrays = {k: np.array(v, TEXT if k == "id" else np.float64) for k, v in columns.items()}
    write_parquet(path, arrays)
    return path


@pytest.mark.parametrize("write", [csv, jsonl, parquet])
def test_columns_go_by_name_and_rows_by_id(write, tmp_path):
    scores = read_scores(write(tmp_path / f"scores.{write.__name__}"), CLASSES)
    found = scores.of(np.array(["c d", "007"], TEXT))
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.8], [0.5, 0.25, 0.25]], atol=1e-7)
    assert scores.known(np.array(["7", "b"], TEXT)).tolist() == [False, True]


def test_answers_alone_are_certain(tmp_path):
    file = tmp_path / "answers.csv"
    file.write_text("predicted,id\nmaybe,1\nno,2\n")
    found = read_scores(file, CLASSES).of(np.array(["1", "2"], TEXT))
    assert found.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_rounding_is_forgiven(tmp_path):
    file = csv(tmp_path / "s.csv", [("a", 0.33, 0.33, 0.33)])
    np.testing.assert_allclose(read_scores(file, CLASSES).values, 1 / 3, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ids,no,yes,maybe\na,1,0,0\n", r"no column 'id'; did you mean 'ids'\?"),
        ("id,no,yes,mabe\na,1,0,0\n", r"no column 'maybe'; did you mean 'mabe'\?"),
        ("id,no,yes,maybe\n", "has no rows"),
        ("id,no,yes,maybe\n,1,0,0\n", "row 1 has no id"),
        ("id,no,yes,maybe\na,1,0,0\nb,1,0,0\na,1,0,0\n", "id 'a' is given twice"),
        ("id,no,yes,maybe\na,1,0,0\nb,1,,0\n", "id 'b' has no finite score for class 'yes'"),
        ("id,no,yes,maybe\na,1,nan,0\n", "id 'a' has no finite score for class 'yes'"),
        ("id,no,yes,maybe\na,1,ok,0\n", "id 'a' has no finite score for class 'yes'"),
        ("id,no,yes,maybe\na,1,0,0\nb,3,-2,0\n", "1 rows are no probabilities: those of id 'b'"),
        ("id,no,yes,maybe\na,.5,.2,.1\n", r"sum to 0\.8; write the softmax of logits"),
        (
            "id,predicted\na,no\nb,yess\n",
            r"id 'b' is answered 'yess', no class; did you mean 'yes'",
        ),
        ("id,predicted\na,no\nb,\n", "id 'b' has no answer"),
        ("id,text\na,x\n", "no column 'no'"),
    ],
)
def test_what_is_wrong_is_named(text, message, tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_scores(file, CLASSES)
    assert str(file) in str(error.value)


def test_missing_files_and_ids_are_named(tmp_path):
    file = csv(tmp_path / "scores.csv")
    with pytest.raises(DataError, match=r"no such file; did you mean 'scores\.csv'"):
        read_scores(tmp_path / "score.csv", CLASSES)
    with pytest.raises(DataError, match=r"cannot read '\.txt' files"):
        read_scores(file.rename(tmp_path / "scores.txt"), CLASSES)
    scores = read_scores(csv(file), CLASSES)
    with pytest.raises(DataError, match="no scores for 2 of 3 rows, the first is id 'x'"):
        scores.of(np.array(["b", "x", "y"], TEXT))


def test_every_order_of_columns_and_rows_says_the_same(tmp_path):
    rng = np.random.default_rng(0)
    wanted = rng.dirichlet([1, 1, 1], 50)
    names = np.array([f"row, {i}" for i in range(50)], TEXT)
    for turn in range(3):
        columns = [*np.roll(np.arange(3), turn)]
        order = rng.permutation(50)
        lines = [",".join(["id", *(CLASSES[k] for k in columns)])]
        lines += [
            ",".join([f'"{names[i]}"', *(repr(float(wanted[i, k])) for k in columns)])
            for i in order
        ]
        file = tmp_path / f"s{turn}.csv"
        file.write_text("\n".join(lines))
        scores = read_scores(file, CLASSES)
        assert scores.values.dtype == np.float32
        np.testing.assert_allclose(scores.of(names), wanted, atol=1e-6)
        assert scores.known(names).all()


@pytest.mark.parametrize(
    ("row", "allowed"),
    [
        ((0.5, 0.25, 0.29), True),  # rounded, within the slack
        ((0.5, 0.25, 0.31), False),
        ((0.3, 0.3, 0.36), True),
        ((0.3, 0.3, 0.34), False),
        ((1.0, 0.001, -0.001), False),  # the sum is right and one is below 0
        ((0.0, 0.0, 0.0), False),
        ((2.0, -1.0, 0.0), False),  # logits
    ],
)
def test_what_passes_for_probabilities(row, allowed, tmp_path):
    file = csv(tmp_path / "s.csv", [("a", *row), ("b", 0, 1, 0)])
    if allowed:
        values = read_scores(file, CLASSES).values
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(values[0], np.array(row) / sum(row), atol=1e-6)
    else:
        with pytest.raises(DataError, match=r"scores of 1 rows are no probabilities.*id 'a'"):
            read_scores(file, CLASSES)


def test_scores_go_before_answers_where_a_file_has_both(tmp_path):
    file = tmp_path / "both.csv"
    file.write_text("id,predicted,no,yes,maybe\na,maybe,0.75,0.25,0\n")
    assert read_scores(file, CLASSES).values.tolist() == [[0.75, 0.25, 0]]


def test_a_class_may_be_called_as_the_column_of_answers(tmp_path):
    file = tmp_path / "s.csv"
    file.write_text("id,predicted,other\na,0.25,0.75\n")
    assert read_scores(file, ("other", "predicted")).values.tolist() == [[0.75, 0.25]]


def test_answers_that_are_numbers_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "s.csv"
    file.write_text("id,predicted\na,01\nb,1\n")
    assert read_scores(file, ("1", "01")).values.tolist() == [[0, 1], [1, 0]]


def test_no_rows_are_asked_for(tmp_path):
    scores = read_scores(csv(tmp_path / "s.csv"), CLASSES)
    assert scores.of(np.array([], TEXT)).shape == (0, 3)
    assert scores.known(np.array([], TEXT)).shape == (0,)


def test_a_row_may_be_asked_for_twice(tmp_path):
    scores = read_scores(csv(tmp_path / "s.csv"), CLASSES)
    found = scores.of(np.array(["b", "007", "b"], TEXT))
    np.testing.assert_allclose(found[0], found[2])
    assert found[1].argmax() == 0
