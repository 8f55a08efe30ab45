"""Logs with a part of another kind, lost, nested without end or damaged: one clear error each."""

import json
import shutil
import zipfile
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest

from surefoot.core.errors import DataError
from surefoot.core.nested import DEEPEST
from surefoot.evaluate.logs import _zip
from surefoot.evaluate.logs._records import check_kinds, number, parsed, plain
from surefoot.evaluate.logs.every_eval_ever import every_eval_ever
from surefoot.evaluate.logs.inspect_ai import inspect_ai, recognises
from surefoot.evaluate.logs.lm_eval import lm_eval
from surefoot.evaluate.outputs.logged import compare_logs, kind_of

WRITTEN = Path(__file__).parent / "written"
SAMPLES = "samples_gsm8k_2026-01-02T03-04-05.678901.jsonl"
RESULTS = "results_2026-01-02T03-04-05.678901.json"
WRONG = ("text", "", 10**400, True, None, [], [1], [[]], {"a": 1})
"""What is put in the place of every part."""


def inspect_log():
    log = {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "sums",
            "task_args": {},
            "model": "m",
            "model_generate_config": {"seed": 1},
            "dataset": {"name": "sums", "samples": 2},
            "config": {"epochs": 1, "limit": None, "epochs_reducer": ["mean"]},
        },
        "plan": {"steps": [{"solver": "generate", "params": {}}], "config": {}},
        "results": {
            "headline": {"score": "match", "scorer": "match"},
            "scores": [{"name": "match", "scorer": "match"}],
        },
        "samples": [
            {
                "id": i,
                "epoch": 1,
                "input": [{"role": "user", "content": "x"}],
                "target": "yes",
                "metadata": {"level": "easy"},
                "scores": {"match": {"value": "C", "answer": "a"}, "g": {"value": {"k": 1}}},
            }
            for i in (1, 2)
        ],
    }
    return {"log.json": log}


def lm_eval_log():
    record = {
        "doc": {"question": "x"},
        "target": "1",
        "arguments": {"gen_args_0": {"arg_0": "x", "arg_1": {}}},
        "resps": [["text"]],
        "filtered_resps": [["-1.5", "True"], ["-2", "False"]],
        "filter": "none",
        "metrics": ["acc"],
        "acc": 1,
    }
    results = {
        "configs": {"gsm8k": {"metric_list": [{"metric": "acc", "aggregation": "mean"}]}},
        "config": {"gen_kwargs": {"a": 1}},
        "versions": {"gsm8k": 3},
        "n-shot": {"gsm8k": 5},
        "n-samples": {"gsm8k": {"original": 2, "effective": 2}},
        "higher_is_better": {"gsm8k": {"acc": True}},
        "group_subtasks": {"all": ["gsm8k"]},
        "model_name": "m",
    }
    return {SAMPLES: [{"doc_id": i, **record} for i in (1, 2)], RESULTS: results}


def eee_log():
    record = {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "model_id": "m",
        "evaluation_name": "law",
        "evaluation_result_id": "law/strict",
        "input": {"raw": "x", "reference": ["yes"]},
        "answer_attribution": [{"extracted_value": "a", "is_terminal": True}],
        "evaluation": {"score": 1, "is_correct": True},
        "metadata": {"epoch": "1"},
    }
    aggregate = {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "source_metadata": {},
        "eval_library": {"name": "lm_eval", "version": "0.4"},
        "evaluation_results": [
            {
                "evaluation_name": "law",
                "metric_config": {"lower_is_better": False},
                "generation_config": {"t": 0},
            }
        ],
        "detailed_evaluation_results": {"file_path": "x/run_samples.jsonl"},
    }
    records = [{"sample_id": i, **record} for i in (1, 2)]
    return {"run.json": aggregate, "run_samples.jsonl": records}


def written(folder, files):
    """Writes the files of a log; gives the one to read."""
    for name, content in files.items():
        lines = content if name.endswith(".jsonl") and isinstance(content, list) else [content]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / next(iter(files))


def spoiled(value):
    """Every log in which one part is another, or lost; with the path to the part."""
    for path in [path for path in paths(value) if len(path) > 1]:
        for wrong in (*WRONG, ...):
            log = deepcopy(value)
            inside = log
            for key in path[:-1]:
                inside = inside[key]
            if wrong is ...:
                del inside[path[-1]]
            else:
                inside[path[-1]] = wrong
            yield path, wrong, log


def paths(value, here=()):
    items = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else items:
        yield (*here, key)
        yield from paths(part, (*here, key))


@pytest.mark.parametrize(
    ("make", "read"),
    [(inspect_log, inspect_ai), (lm_eval_log, lm_eval), (eee_log, every_eval_ever)],
)
def test_whatever_is_spoiled_is_read_or_refused_and_named(tmp_path, make, read):
    assert len(read(written(tmp_path, make()), None, []).ids) == 2
    refused = 0
    for path, wrong, log in spoiled(make()):
        file = written(tmp_path, log)
        said = said_by(partial(read, file, None, []))
        refused += bool(said)
        assert not said or said.startswith(str(tmp_path)), (path, wrong)
    assert refused > 100


def said_by(read):
    """The one line of a `DataError`; empty where all is well. Any other error is none of ours."""
    try:
        read()
    except DataError as error:
        return str(error).replace("\n", "a second line")
    return ""


DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.jsonl",
            '{"doc_id": 1, "resps": [["a"]], "acc": 1}\n{"doc_id": 2, "x": %s}',
            "a.jsonl:2",
        ),
        ("a.json", '{"version": 2, "status": "success", "eval": {"x": %s}}', "a.json"),
        ("a.json", '{"schema_version":1,"evaluation_id":1,"source_metadata":%s}', "a.json"),
    ],
)
def test_json_without_end_is_refused_with_its_place(tmp_path, name, text, said):
    file = tmp_path / name
    file.write_text(text % DEEP)
    assert kind_of(file)
    with pytest.raises(DataError) as caught:
        compare_logs(file, file)
    assert str(caught.value).startswith(f"{tmp_path}/{said}: is JSON that is nested too deeply; ")


def test_what_can_be_read_can_be_written_again():
    read = 0
    for depth in range(DEEPEST - 20, DEEPEST + 20):
        try:
            found = parsed("[" * depth + "]" * depth, "here")
        except DataError:
            break
        read = depth
        assert len(plain(found)) == 2 * depth
    assert read


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        ({"a": 1}, {"a": str}, "a is a number, not a text"),
        ({"a": "b"}, {"a": {}}, "a is a text, not a table"),
        ({"a": {"b": [{}, "x"]}}, {"a": {"b": [{}]}}, r"a\.b\[1\] is a text, not a table"),
        ({"a": {"k": []}}, {"a": {"*": {}}}, r"a\.k is a list, not a table"),
        ({"a": {"k": {}}}, {"a": {"k": list}}, r"a\.k is a table, not a list"),
        ({"a": "9"}, {"a": int}, "a is a text, not a number"),
        ([None], [str], r"\[0\] is null, not a text"),
        ("x", {}, "a record is a text, not a table"),
    ],
)
def test_a_part_of_another_kind_is_called_by_its_name(value, shape, said):
    with pytest.raises(DataError, match=f"^here: {said}; write the log again"):
        check_kinds(value, shape, "here")
    check_kinds({"a": None}, {"a": str, "b": {}}, "here")


def test_a_sample_is_named_by_its_place(tmp_path):
    for spoil, said in (
        (
            lambda log: log["samples"].__setitem__(1, "x"),
            "sample 2: a record is a text, not a table",
        ),
        (lambda log: log["samples"][1].pop("id"), "sample 2: has no id"),
        (lambda log: log["samples"][0].update(metadata="x"), "sample 1: metadata is a text, not a"),
        (lambda log: log.pop("eval"), "has no eval"),
    ):
        log = inspect_log()["log.json"]
        spoil(log)
        with pytest.raises(DataError, match=f"log.json: {said}"):
            inspect_ai(written(tmp_path, {"log.json": log}), None, [])


def test_a_number_beyond_any_float_is_none():
    assert [number(v) for v in (10**400, "1e999", float("inf"), 10**300)] == [
        None,
        None,
        None,
        1e300,
    ]


@pytest.fixture
def log(tmp_path):
    """An .eval of some size, packed by deflate."""
    file = tmp_path / "log.eval"
    content = inspect_log()["log.json"]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("summaries.json", json.dumps(content.pop("samples")))
        archive.writestr("header.json", json.dumps(content))
    return file


def test_a_broken_stream_is_refused(log):
    content = bytearray(log.read_bytes())
    start = 30 + len("summaries.json")
    content[start : start + 8] = b"\xff" * 8
    log.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"summaries\.json: cannot be unpacked: .*; copy it again"):
        inspect_ai(log, None, [])


def test_a_broken_directory_is_refused_and_another_file_that_ends_so_is_none(log, tmp_path):
    content = log.read_bytes()
    log.write_bytes(content.replace(b"PK\x01\x02", b"PK\x00\x00"))
    with pytest.raises(DataError, match=r"log\.eval: is a damaged zip file: .*; copy it again"):
        kind_of(log)
    other = tmp_path / "rows.csv"
    other.write_bytes(b"id,label\n" + log.read_bytes()[-200:])
    assert zipfile.is_zipfile(other)
    assert kind_of(other) is None


@pytest.mark.parametrize("source", ["zstd", "deflate"])
def test_one_byte_or_the_end_of_a_zip_file_may_be_anything(log, tmp_path, source):
    """Never another error than a `DataError`, wherever the damage is."""
    file = tmp_path / "damaged.eval"
    sound = (WRITTEN / "base.eval" if source == "zstd" else log).read_bytes()
    directory = sound.index(b"PK\x01\x02")
    places = [*range(directory, len(sound), 29 if source == "zstd" else 1), *range(0, 60, 3)]
    for place in places:
        for damaged in (sound[:place] + b"\xff" + sound[place + 1 :], sound[:place]):
            file.write_bytes(damaged)
            said = said_by(lambda: recognises(file) and inspect_ai(file, None, []))
            assert not said or said.startswith(str(file)), place


def test_a_zstd_member_whose_header_is_cut_off_is_refused(tmp_path):
    file = tmp_path / "cut.eval"
    shutil.copy(WRITTEN / "base.eval", file)
    content = file.read_bytes()
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"header.json"))
    broken = bytearray(content)
    broken[start + 42 : start + 46] = (len(content) - 3).to_bytes(4, "little")
    file.write_bytes(bytes(broken))
    with pytest.raises(DataError, match=r"header\.json: cannot be unpacked"):
        inspect_ai(file, None, [])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    file = tmp_path / "bomb.eval"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 40_000_000)
        archive.writestr("summaries.json", b"[]")
    assert file.stat().st_size < 100_000
    with pytest.raises(
        DataError, match=r"header\.json: unpacks to 40,000,000 bytes from \d+,\d+; if"
    ):
        inspect_ai(file, None, [])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 30_000_000)
    assert len(_zip.member(file, "header.json")) == 30_000_000
