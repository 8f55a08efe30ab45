"""`surefoot init`, as a user calls it."""

from __future__ import annotations

import shutil

import pytest

from surefoot.plan import read_plan


@pytest.fixture
def folder(tmp_path, tiny_onnx_text, text_task):
    shutil.copyfile(tiny_onnx_text, tmp_path / "lexicon.onnx")
    shutil.copyfile(tiny_onnx_text.parent / "tokenizer.json", tmp_path / "tokenizer.json")
    test = text_task.test["main"]
    rows = zip(test.inputs.tolist(), test.labels.tolist(), strict=True)
    lines = [f"{text},{test.classes[label]}\n" for text, label in rows]
    (tmp_path / "test.csv").write_text("".join(["review,label\n", *lines]))
    return tmp_path


def test_the_plan_goes_to_stdout_and_the_next_command_to_stderr(cli, folder):
    said = cli("init", "lexicon.onnx", "test.csv")
    assert said.code == 0
    assert said.out == (folder / "surefoot.toml").read_text() + "\n"
    assert said.err == (
        "written to surefoot.toml; look it over, then: surefoot run surefoot.toml\n"
    )


def test_the_command_that_it_names_runs(cli, folder):
    said = cli("init", "lexicon.onnx", "test.csv", "--out", "mine.toml")
    verb = said.err.rpartition("surefoot ")[2].split()
    quick = ("--set", "evaluate.latency={ batch = [1], calls = 20, seconds = 1 }")
    ran = cli(*verb, *quick)
    assert ran.code in (0, 1, 3), ran.err
    assert "int8-per-channel" in ran.out
    assert "accuracy on main" in ran.out


def test_rows_to_learn_from_come_into_the_plan(cli, folder):
    shutil.copyfile(folder / "test.csv", folder / "train.csv")
    assert cli("init", "lexicon.onnx", "test.csv", "--train", "train.csv").code == 0
    assert read_plan(folder / "surefoot.toml").task.train["path"] == str(folder / "train.csv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no.onnx", "test.csv"), "surefoot: no.onnx: no such model\n"),
        (("lexicon.onnx", "test.xls"), "test.xls: cannot read '.xls' files; known: .csv"),
        (("lexicon.onnx", "no.csv"), "no.csv: cannot be read"),
        (("lexicon.onnx",), "Missing argument 'DATA'"),
        (("lexicon.onnx", "test.csv", "--otu", "x"), "No such option"),
        (("lexicon.onnx", "test.csv", "--train", "no.csv"), "task.train.path: no such file"),
        (("lexicon.onnx", "test.csv", "--out", "taken/x.toml"), "cannot write"),
    ],
)
def test_what_is_wrong_is_said_with_code_2_and_leaves_no_plan(cli, folder, arguments, said):
    (folder / "taken").write_text("a file where a folder should be")
    answer = cli("init", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert not list(folder.glob("*.toml*"))


def test_a_second_call_does_not_overwrite(cli, folder):
    assert cli("init", "lexicon.onnx", "test.csv").code == 0
    (folder / "surefoot.toml").write_text("# mine\n")
    said = cli("init", "lexicon.onnx", "test.csv")
    assert said.code == 2
    assert said.err == (
        "surefoot: surefoot.toml: exists already; remove it, or name another file with --out\n"
    )
    assert (folder / "surefoot.toml").read_text() == "# mine\n"
