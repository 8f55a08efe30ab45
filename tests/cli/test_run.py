"""`surefoot run` on what a user gets wrong: exit code 2, one clear line, nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

TEXTS = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "text", label = "label", id = "id" }
[model]
path = "lexicon.onnx"
classes = ["negative", "positive"]
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[evaluate]
slices = { short = "length(text) < 60" }
latency = { batch = [1], calls = 20, seconds = 2 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
"""
NUMBERS = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[evaluate]
latency = { batch = [1], calls = 20, seconds = 2 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
"""


@pytest.fixture
def texts(tmp_path, tiny_onnx_text, text_task) -> Path:
    """A folder with a plan that passes, on texts."""
    for name in ("lexicon.onnx", "tokenizer.json"):
        shutil.copyfile(tiny_onnx_text.parent / name, tmp_path / name)
    test = text_task.test["main"]
    names = np.array(test.classes)[test.labels]
    rows = zip(test.inputs.tolist(), names.tolist(), strict=True)
    lines = [f"{i},{text},{label}\n" for i, (text, label) in enumerate(rows)]
    (tmp_path / "test.csv").write_text("".join(["id,text,label\n", *lines]))
    (tmp_path / "surefoot.toml").write_text(TEXTS)
    return tmp_path


@pytest.fixture
def numbers(tmp_path, linear) -> Path:
    """A folder with a plan that passes, on numbers."""
    linear(tmp_path / "linear.onnx")
    rng = np.random.default_rng(0)
    rows = [",".join(f"{x:.3f}" for x in row) for row in rng.standard_normal((60, 4))]
    lines = [f"{row},{'xyz'[i % 3]}\n" for i, row in enumerate(rows)]
    (tmp_path / "test.csv").write_text("".join(["a,b,c,d,label\n", *lines]))
    (tmp_path / "surefoot.toml").write_text(NUMBERS)
    return tmp_path


def refused(cli, folder: Path, *arguments: str) -> str:
    """The line that a run is refused with, after making sure that it left nothing behind."""
    said = cli("run", *arguments)
    assert said.code == 2, said.err
    assert said.out == ""
    errors = [line for line in said.err.splitlines() if line.startswith("surefoot: ")]
    assert len(errors) == 1
    assert said.err.endswith(errors[0] + "\n")
    assert "Traceback" not in said.err
    assert "internal error" not in said.err
    assert not (folder / "surefoot-run" / "bundle").exists()
    assert not list(folder.rglob("*.surefoot-part"))
    return errors[0].removeprefix("surefoot: ")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# What a good run says


def test_the_verdict_goes_to_stdout_and_progress_to_stderr(cli, texts):
    said = cli("run")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("PASS  int8  1 of 1 budgets")
    assert "PASS" not in said.err
    for stage in ("reading data", "making int8", "filling 2 cells", "latency at batch 1"):
        assert stage in said.err.splitlines()


def test_an_unchanged_plan_prints_its_verdict_and_no_more(cli, texts):
    first, second = cli("run"), cli("run")
    assert second.out == first.out.splitlines()[0] + "\n"
    assert cli("gate").out == first.out
    assert second.code == first.code
    assert second.err == ("nothing to do: the plan, its files and this machine are unchanged\n")


def test_what_a_noisy_machine_left_open_is_measured_again(cli, numbers, monkeypatch):
    """And nothing else is, and the ledger counts it as the same use."""

    def noisiest(limit):
        for name in ("NOISIEST", "MOST_STEAL", "MOST_FOREIGN"):
            monkeypatch.setattr(f"surefoot.evaluate.machine.{name}", limit)

    edit(numbers / "surefoot.toml", "calls = 20, seconds = 2", "calls = 120, seconds = 10")
    with (numbers / "surefoot.toml").open("a") as plan:
        plan.write('[[budget]]\nquantity = "p50_ms"\nat_most = 1000\n')
    noisiest(-1.0)
    first, second = cli("run"), cli("run")
    for said in (first, second):
        assert "p50_ms" in said.out
        assert "this machine is too noisy" in said.out
        assert "latency at batch 1" in said.err.splitlines()
    assert "note: the machine was too noisy last time; what it left open is run again" in second.err
    assert "filling" not in second.err
    noisiest(float("inf"))
    third, fourth = cli("run"), cli("run")
    assert "latency at batch 1" in third.err.splitlines()
    assert "filling" not in third.err
    assert "too noisy" not in third.out
    assert (fourth.out, fourth.code) == (third.out.splitlines()[0] + "\n", third.code)
    assert fourth.err == "nothing to do: the plan, its files and this machine are unchanged\n"
    assert len((numbers / "surefoot-ledger.jsonl").read_text().splitlines()) == 1


def test_json_is_the_verdict_of_the_bundle_and_nothing_else(cli, texts):
    said = cli("run", "--json")
    stored = json.loads((texts / "surefoot-run" / "bundle" / "verdict.json").read_text())
    assert json.loads(said.out) == stored
    assert said.code == 0


def test_the_run_goes_beside_the_plan_or_where_out_says(cli, texts):
    (texts / "elsewhere").mkdir()
    for name in ("lexicon.onnx", "tokenizer.json", "test.csv", "surefoot.toml"):
        shutil.move(texts / name, texts / "elsewhere" / name)
    assert cli("run", "elsewhere/surefoot.toml").code == 0
    assert (texts / "elsewhere" / "surefoot-run" / "bundle").is_dir()
    assert cli("run", "elsewhere/surefoot.toml", "--out", "mine").code == 0
    assert (texts / "mine" / "bundle").is_dir()
    assert not (texts / "surefoot-run").exists()


@pytest.mark.parametrize(
    ("limit", "code", "outcome"),
    [("at_least=0.5", 0, "PASS"), ("at_most=0.5", 1, "FAIL"), ("max_drop=0.001", 3, "INCONCL")],
)
def test_the_exit_code_is_that_of_the_verdict(cli, texts, limit, code, outcome):
    said = cli("run", "--set", f'budget=[{{ quantity = "accuracy", {limit} }}]')
    assert said.out.startswith(outcome)
    assert said.code == code


# A plan that is wrong


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ('model.path="lexicn.onnx"', "model.path: no such file"),
        ('model.path="lexicn.onnx"', "did you mean 'lexicon.onnx'?"),
        ('task.test.main.path="tst.csv"', "task.test.main.path: no such file"),
        ('task.test.main.path="tst.csv"', "did you mean 'test.csv'?"),
        ("task.test.main.txt=3", "task.test.main.txt: unknown option of source 'csv'"),
        (
            'budget=[{quantity="accuracy", at_least=0.9}, {quantity="accuracy", at_most=0.8}]',
            "budget[1]: contradicts budget[0]: no accuracy can keep both",
        ),
        ("budget[0].at_most=0.5", "budget[0].quantity: needs exactly one of at_most, at_least"),
        ("budget", "is not of the form table.key=value"),
    ],
)
def test_a_plan_that_is_wrong_makes_no_folder(cli, texts, override, wanted):
    line = refused(cli, texts, "--set", override)
    assert line.startswith("surefoot.toml: ")
    assert wanted in line
    assert not (texts / "surefoot-run").exists()


def test_every_mistake_of_a_plan_has_a_line(cli, texts):
    said = cli("run", "--set", 'model.path="no.onnx"', "--set", "budget[0].level=7")
    assert said.code == 2
    lines = said.err.removeprefix("surefoot: ").splitlines()
    assert len(lines) == 2
    assert all(line.startswith("surefoot.toml: ") for line in lines)


def test_no_plan_at_all(cli, tmp_path):
    line = refused(cli, tmp_path)
    assert line == "surefoot.toml: no such plan; `surefoot init MODEL DATA` writes one"
    assert not list(tmp_path.iterdir())


# Data that are wrong


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ('task.test.main.text="txt"', "no column 'txt'; did you mean 'text'?"),
        ('task.test.main.label="lable"', "no column 'lable'; did you mean 'label'?"),
        ('task.test.main.group="speaker"', "no column 'speaker'"),
        ('evaluate.slices.never="length(text) > 9999"', "slice 'never' is empty"),
        ('evaluate.slices.odd="lenth(text) > 9"', "slice 'odd'"),
        ('evaluate.slices.odd="words > 9"', "slice 'odd'"),
    ],
)
def test_a_column_or_slice_that_is_not_there(cli, texts, override, wanted):
    line = refused(cli, texts, "--set", override)
    assert wanted in line
    assert "test.csv" in line or "task.test.main" in line


def test_one_mistake_in_the_rows(cli, texts):
    lines = (texts / "test.csv").read_text().splitlines(keepends=True)
    negative = [line for line in lines if line.endswith(",negative\n")]
    wrong = {
        "only one class 'negative'": [lines[0], *negative],
        "has no rows": lines[:1],
        "id '7' stands on 2 rows": [*lines, lines[8]],
        "row 3 has nothing in column 'label'": [*lines[:3], "x,a film,\n", *lines[3:]],
        "label 'Negative' (1 rows) is unknown": [*lines, "new,a film,Negative\n"],
    }
    for wanted, rows in wrong.items():
        (texts / "test.csv").write_text("".join(rows))
        assert wanted in refused(cli, texts), wanted


def test_a_label_unknown_to_the_model_is_met_with_the_nearest(cli, texts):
    edit(texts / "test.csv", ",positive\n", ",positiv\n")
    line = refused(cli, texts)
    assert "task.test.main: label 'positiv'" in line
    assert "did you mean 'positive'?" in line


@pytest.mark.parametrize(
    ("cell", "wanted"), [("nan", "'nan'"), ("inf", "'inf'"), ("", "empty"), ("1e39", "'1e+39'")]
)
def test_a_number_that_is_none_is_named_with_its_row_and_column(cli, numbers, cell, wanted):
    lines = (numbers / "test.csv").read_text().splitlines(keepends=True)
    a, _, c, d, label = lines[5].split(",")
    lines[5] = f"{a},{cell},{c},{d},{label}"
    (numbers / "test.csv").write_text("".join(lines))
    line = refused(cli, numbers)
    assert "test.csv: row 5" in line
    assert f"column 'b': {wanted}" in line


def test_a_column_of_words_among_the_numbers(cli, numbers):
    line = refused(cli, numbers, "--set", 'task.test.main.columns=["a", "b", "c", "label"]')
    assert "column 'label'" in line


def test_a_row_of_another_width_than_the_model_takes(cli, numbers):
    line = refused(cli, numbers, "--set", 'task.test.main.columns=["a", "b", "c"]')
    assert "4" in line
    assert "3" in line


# Models that are wrong


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_onnx_file(cli, texts, share):
    content = (texts / "lexicon.onnx").read_bytes()
    (texts / "lexicon.onnx").write_bytes(content[: int(share * len(content))])
    assert "lexicon.onnx: " in refused(cli, texts)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_safetensors(cli, texts, tiny_bert, share):
    shutil.copytree(tiny_bert, texts / "bert")
    weights = texts / "bert" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    said = refused(cli, texts, "--set", 'model.path="bert"', "--set", "candidate=[]")
    assert "bert/model.safetensors: " in said


def test_a_tokenizer_that_knows_more_than_the_model(cli, texts):
    tokenizer = json.loads((texts / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"more{i}": len(vocabulary) + i for i in range(50)}
    (texts / "tokenizer.json").write_text(json.dumps(tokenizer))
    line = refused(cli, texts)
    assert "more than the model knows" in line
    assert line.endswith("use the tokenizer.json the model was trained with")


@pytest.mark.parametrize("content", ["", "{}", "no json"])
def test_a_tokenizer_that_is_none(cli, texts, content):
    (texts / "tokenizer.json").write_text(content)
    assert "tokenizer.json: " in refused(cli, texts)


def test_outputs_that_do_not_match_the_classes(cli, texts):
    line = refused(cli, texts, "--set", 'model.classes=["negative", "neutral", "positive"]')
    assert "3 classes" in line
    assert "2" in line


def test_an_onnx_file_without_classes_asks_for_them(cli, texts):
    edit(texts / "surefoot.toml", 'classes = ["negative", "positive"]\n', "")
    assert "classes" in refused(cli, texts)


def test_a_model_of_another_kind_than_the_task(cli, numbers):
    edit(numbers / "surefoot.toml", "tabular-classification", "text-classification")
    edit(numbers / "surefoot.toml", 'columns = ["a", "b", "c", "d"]', 'text = "a"')
    line = refused(cli, numbers)
    assert "linear.onnx" in line or "tokenizer" in line


def test_a_mistake_leaves_the_bundle_of_the_last_run_as_it_was(cli, texts):
    assert cli("run").code == 0
    bundle = texts / "surefoot-run" / "bundle"
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    edit(texts / "test.csv", ",positive\n", ",positiv\n")
    assert cli("run").code == 2
    assert {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()} == before


def test_a_run_after_the_mistake_is_mended_goes_on(cli, texts):
    content = (texts / "lexicon.onnx").read_bytes()
    (texts / "lexicon.onnx").write_bytes(content[:100])
    refused(cli, texts)
    (texts / "lexicon.onnx").write_bytes(content)
    assert cli("run").code == 0
