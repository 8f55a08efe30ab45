import json
import shutil
import zipfile
from pathlib import Path

import pytest

from surefoot.core.errors import DataError
from surefoot.evaluate.logs import _zip
from surefoot.evaluate.logs.inspect_ai import inspect_ai, recognises

WRITTEN = Path(__file__).parent / "written"


def inspect_log(values, *, epochs=1, status="success", **config):
    """A log as Inspect 0.3.285 writes it, as far as it is read."""
    n = len(values) // epochs
    samples = [
        {
            "id": i % n + 1,
            "epoch": i // n + 1,
            "input": f"question {i % n}",
            "target": "yes",
            "metadata": {"level": "easy" if i % 2 else "hard", "tags": ["a"]},
            "scores": {"match": {"value": value, "answer": f"answer {value}"}},
        }
        for i, value in enumerate(values)
    ]
    return {
        "version": 2,
        "status": status,
        "eval": {
            "task": "sums",
            "task_version": 0,
            "task_args": {},
            "model": "openai/small",
            "dataset": {"name": "sums", "samples": n},
            "config": {"epochs": epochs, **config},
        },
        "plan": {"steps": [{"solver": "generate", "params": {}}], "config": {}},
        "results": {"scores": [{"name": "match", "scorer": "match"}]},
        "samples": samples,
    }


@pytest.mark.parametrize(("name", "epochs"), [("base", 1), ("two_epochs", 2)])
@pytest.mark.parametrize("metric", ["match", "f1"])
def test_the_mean_is_what_inspect_reported(name, epochs, metric):
    file = WRITTEN / f"{name}.eval"
    log = inspect_ai(file, metric, ["level", "task"])
    header = json.loads(_zip.member(file, "header.json"))
    scores = {score["name"]: score["metrics"] for score in header["results"]["scores"]}
    theirs = scores[metric]["accuracy" if metric == "match" else "mean"]["value"]
    assert log.values.mean() == pytest.approx(theirs, abs=1e-12)
    assert (len(log.ids), len(set(log.ids.tolist()))) == (12 * epochs, 12)
    assert set(log.columns["level"].tolist()) == {"easy", "hard"}
    assert (log.task, log.model) == ("small", "mockllm/model")


def test_the_headline_is_the_default():
    assert inspect_ai(WRITTEN / "base.eval", None, []).metric == "match"


@pytest.mark.parametrize("name", ["log.json", "log.eval"])
def test_json_and_zip_say_the_same(write, name):
    file = write(name, inspect_log(["C", "I", "P", "N"]))
    assert recognises(file)
    log = inspect_ai(file, None, ["level"])
    assert log.values.tolist() == [1, 0, 0.5, 0]
    assert log.answers.tolist() == ["answer C", "answer I", "answer P", "answer N"]
    assert log.ids.tolist() == ["1", "2", "3", "4"]
    assert log.columns["level"].tolist() == ["hard", "easy"] * 2


def test_numbers_truth_and_tables_of_scores(write):
    content = inspect_log([True, "yes", 0.25, "0.75"])
    for sample in content["samples"]:
        sample["scores"]["grader"] = {"value": {"style": 3, "fact": 7}, "answer": "x"}
    file = write("a.json", content)
    assert inspect_ai(file, None, []).values.tolist() == [1, 1, 0.25, 0.75]
    assert inspect_ai(file, "grader/fact", []).values.tolist() == [7] * 4
    with pytest.raises(DataError, match="this log has match, grader/style, grader/fact"):
        inspect_ai(file, "grader", [])


def test_another_reducer_than_the_mean_is_said(write):
    content = inspect_log(["C", "I"] * 2, epochs=2, epochs_reducer=["mode"])
    (note,) = inspect_ai(write("a.json", content), None, []).notes
    assert note == "the log reduces epochs by mode; here the mean of 'match' counts"


def without(key):
    content = inspect_log(["C", "I"])
    del content["samples"][1][key]
    return content


def repeated():
    content = inspect_log(["C", "I"])
    content["samples"].append(content["samples"][0])
    return content


def limited():
    content = inspect_log(["C", "I"], limit=2)
    content["eval"]["dataset"]["samples"] = 40
    return content


def failed():
    error = {"message": "ConnectionError: gone\nmore", "traceback": ""}
    return inspect_log(["C", "I"], status="error") | {"error": error}


@pytest.mark.parametrize(
    ("content", "metric", "said"),
    [
        (failed(), None, "status 'error': ConnectionError: gone; run it to its end"),
        (inspect_log(["C"], status="cancelled"), None, "status 'cancelled'"),
        (inspect_log(["C"]) | {"invalidated": True}, None, "marked as invalid"),
        (limited(), None, "a run with limit 2: 2 of 40 samples"),
        (repeated(), None, "sample '1' is given twice in epoch 1"),
        (without("scores"), None, "1 of 2 samples have no number for 'match', the first is '2'"),
        (inspect_log(["C", "A"]), None, "1 of 2 samples have no number"),
        (inspect_log(["C"]), "mtch", "no metric 'mtch'; did you mean 'match'"),
        (inspect_log([["C"]]), None, "no metric"),
        (inspect_log([]), None, "no metric|no samples"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "eval"])
def test_bad_logs_are_one_clear_line(write, content, metric, said, kind):
    with pytest.raises(DataError, match=said) as caught:
        inspect_ai(write(f"log.{kind}", content), metric, [])
    assert "\n" not in str(caught.value)


def test_an_unfinished_zip_and_json_that_was_cut_off(write, tmp_path):
    with zipfile.ZipFile(tmp_path / "open.eval", "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    assert recognises(tmp_path / "open.eval")
    with pytest.raises(DataError, match=r"was not finished: it holds no header\.json"):
        inspect_ai(tmp_path / "open.eval", None, [])
    file = write("log.json", inspect_log(["C", "I"]))
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DataError, match=r"is no JSON: .*cut off"):
        inspect_ai(file, None, [])


def test_a_member_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(_zip, "LARGEST", 100)
    with pytest.raises(DataError, match=r"header\.json: unpacks to \d,\d+ bytes"):
        inspect_ai(WRITTEN / "base.eval", None, [])


@pytest.mark.parametrize("claimed", [10, 10_000])
@pytest.mark.parametrize("source", ["zstd", "deflate"])
def test_a_member_that_is_not_of_the_size_it_says_is_refused(write, tmp_path, source, claimed):
    file = tmp_path / "forged.eval"
    if source == "zstd":
        shutil.copy(WRITTEN / "base.eval", file)
    else:
        shutil.copy(write("plain.eval", inspect_log(["C"] * 300)), file)
    with zipfile.ZipFile(file) as archive:
        true = archive.getinfo("header.json").file_size
    content, sizes = file.read_bytes(), true.to_bytes(4, "little")
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"header.json"))
    forged = content[start:].replace(sizes, claimed.to_bytes(4, "little"), 1)
    file.write_bytes(content[:start] + forged)
    with pytest.raises(DataError, match=r"header\.json: (does not unpack|cannot be unpacked)"):
        inspect_ai(file, None, [])


def test_damaged_zstd_is_refused(tmp_path):
    file = tmp_path / "damaged.eval"
    content = bytearray((WRITTEN / "base.eval").read_bytes())
    with zipfile.ZipFile(WRITTEN / "base.eval") as archive:
        found = archive.getinfo("header.json")
    begin = found.header_offset + 30 + len("header.json")
    content[begin : begin + found.compress_size] = b"x" * found.compress_size
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"header\.json: cannot be unpacked") as caught:
        inspect_ai(file, None, [])
    assert "\n" not in str(caught.value)


def test_other_files_are_not_taken_for_logs(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.npy", "x")
    (tmp_path / "other.json").write_text('{"version": 2}')
    names = ("other.zip", "other.json", "missing", ".")
    assert not any(recognises(tmp_path / name) for name in names)
