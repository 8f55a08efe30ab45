import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

WRITTEN = Path(__file__).parents[1] / "evaluate" / "logs" / "written"


@pytest.fixture
def files(tmp_path: Path):
    """Predictions where a candidate loses the given share of 2,000 rows, and wins 1 %."""

    def write(lost: float, rows: int = 2000) -> tuple[Path, Path]:
        base, candidate = tmp_path / "base.csv", tmp_path / "int8.csv"
        right = ["no" if i % 100 == 0 else "yes" for i in range(rows)]
        cut = int(lost * rows)
        now = ["no" if 0 < i <= cut else "yes" for i in range(rows)]
        langs = ["es" if i < rows // 4 else "en" for i in range(rows)]
        lines = (f"{i:05},yes,{right[i]},{langs[i]},{i // 4}\n" for i in range(rows))
        base.write_text("id,label,predicted,lang,doc\n" + "".join(lines))
        candidate.write_text("id,predicted\n" + "".join(f"{i:05},{p}\n" for i, p in enumerate(now)))
        return base, candidate

    return write


def surefoot(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "surefoot", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("lost", "outcome", "code"),
    [(0.005, "PASS", 0), (0.08, "FAIL", 1), (0.025, "INCONCLUSIVE", 3)],
)
def test_the_verdict_is_the_first_and_the_last_line_and_the_exit_code(files, lost, outcome, code):
    done = surefoot("compare", *files(lost), "--max-drop", 0.02)
    lines = done.stdout.splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith(f"{outcome}  int8  1 of 1 budgets")
    assert done.returncode == code
    assert done.stderr == ""


def test_json_holds_the_same_numbers(files):
    pair = files(0.08)
    done = surefoot("compare", *pair, "--max-drop", 0.02, "--max-flips", 0.2, "--json")
    verdict = json.loads(done.stdout)
    line = surefoot("compare", *pair, "--max-drop", 0.02, "--max-flips", 0.2).stdout.splitlines()[0]
    assert done.returncode == 1
    assert [f["outcome"] for f in verdict["findings"]] == ["FAIL", "PASS"]
    e = verdict["findings"][0]["estimate"]
    shown = f"{e['value'] * 100:+.1f} pp [{e['low'] * 100:+.1f}, {e['high'] * 100:+.1f}]"
    assert shown in line
    assert verdict["findings"][0]["paired"]["n"] == 2000


def test_a_slice_can_break_what_the_whole_keeps(files):
    pair = files(0.02)
    assert surefoot("compare", *pair, "--max-drop", 0.04).returncode == 0
    done = surefoot("compare", *pair, "--max-drop", 0.04, "--slice", "lang")
    assert done.returncode == 1
    assert "base [lang=es]" in done.stdout.splitlines()[0]


def test_groups_widen_the_interval(files):
    pair, ends = files(0.04), []
    for options in ([], ["--group", "doc"]):
        done = surefoot("compare", *pair, "--max-drop", 0.045, "--json", *options)
        ends.append(json.loads(done.stdout)["findings"][0]["estimate"]["low"])
    assert ends[1] < ends[0] - 0.005


@pytest.mark.parametrize("rows", [1, 50])
def test_few_rows_that_all_agree_are_inconclusive(files, rows):
    base, _ = files(0, rows)
    done = surefoot("compare", base, base, "--max-drop", 0.01)
    assert done.returncode == 3
    assert "needs about 299 rows" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to judge; give --max-drop or --max-flips"),
        (["--max-drop", "0"], "max_drop: must be between 0 and 1, found 0.0"),
        (["--max-drop", "0.1", "--level", "2"], "level: must be between 0.5 and 1, found 2.0"),
        (["--max-drop", "0.1", "--slice", "lng"], "no column 'lng'; did you mean 'lang'?"),
        (["--max-drop", "x"], "not a valid float"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_exit_2(files, arguments, said):
    done = surefoot("compare", *files(0.1), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_missing_file_and_an_unknown_verb(files, tmp_path):
    base, _ = files(0.1)
    done = surefoot("compare", base, tmp_path / "int9.csv", "--max-drop", 0.1)
    assert done.returncode == 2
    assert done.stderr == (
        f"surefoot: {tmp_path / 'int9.csv'}: no such file; did you mean 'int8.csv'?\n"
    )
    done = surefoot("comapre")
    assert done.returncode == 2
    assert "no verb 'comapre'; did you mean 'compare'?" in done.stderr


def test_logs_are_judged_by_their_own_metric_and_named_by_their_models():
    base, candidate = (
        next((WRITTEN / f"lm_eval_{name}").glob("samples_toy_anatomy*"))
        for name in ("base", "candidate")
    )
    done = surefoot("compare", base, candidate, "--max-drop", 0.02, "--max-flips", 0.5)
    lines = done.stdout.splitlines()
    assert (lines[0], done.returncode, done.stderr) == (lines[-1], 3, "")
    assert lines[0].startswith("INCONCLUSIVE  dummy-2  ")
    assert "acc on toy_anatomy " in done.stdout
    assert " pp [" in done.stdout
    done = surefoot("compare", base, candidate, "--max-drop", 0.1, "--metric", "acc_norm", "--json")
    assert json.loads(done.stdout)["findings"][0]["budget"]["quantity"] == "acc_norm"


def test_what_differs_between_logs_is_a_note_on_stderr():
    logs = WRITTEN / "base.eval", WRITTEN / "two_epochs.eval"
    done = surefoot("compare", *logs, "--max-drop", 0.5)
    assert "match on small" in done.stdout
    assert "note: the runs differ in epochs (1 before, 2 now)\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-drop", "0.1", "--metric", "mach"], "no metric 'mach'; did you mean 'match'? (thi"),
        (["--max-flips", "0.1"], "--max-flips: answers are not right or wrong by 'match'; give"),
        (["--max-drop", "-1"], "max_drop: must be above 0, found -1.0"),
        ([], "nothing to judge"),
    ],
)
def test_what_cannot_be_judged_of_logs_is_one_line(arguments, said):
    logs = WRITTEN / "base.eval", WRITTEN / "two_epochs.eval"
    done = surefoot("compare", *logs, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


EVIL = "\x1b]0;title\x07\x1b[2J\u202eevil\u2066"
"""Sets the title of a terminal, clears it, and turns the direction of text."""


def evil_log(path: Path, task: str, right: list[int], *, solver: str) -> Path:
    """A log of Inspect whose names are of somebody who does not mean well."""
    samples = [
        {"id": f"{EVIL}{i}", "epoch": 1, "scores": {EVIL: {"value": value, "answer": str(value)}}}
        for i, value in enumerate(right)
    ]
    spec = {"task": task, "model": f"{EVIL} of {path.stem}", "config": {}}
    plan = {"steps": [{"solver": solver, "params": {}}]}
    log = {"version": 2, "status": "success", "eval": spec, "plan": plan, "samples": samples}
    path.write_text(json.dumps(log))
    return path


def on_a_terminal(*arguments: object) -> tuple[int, str]:
    """The exit code and all that a terminal gets; without one escapes would be left out."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "surefoot", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # Linux says so when the other end is closed
            while block := os.read(ours, 65536):
                seen += block
    os.close(ours)
    return process.returncode, seen.decode()


@pytest.mark.parametrize(
    ("task", "code", "said"),
    [(EVIL, 1, "note: the runs differ in solver"), (f"{EVIL}2", 2, "differs from")],
)
def test_names_in_logs_do_not_act_upon_a_terminal(tmp_path, task, code, said):
    base = evil_log(tmp_path / "base.json", EVIL, [1] * 40, solver=EVIL)
    other = evil_log(tmp_path / "int8.json", task, [0] * 40, solver="generate")
    found, seen = on_a_terminal("compare", base, other, "--max-drop", "0.1")
    assert found == code, seen
    assert said in seen
    assert not set(seen) & set("\x1b\x07\u202e\u2066")
    assert r"\x1b]0;title\x07\x1b[2J\u202eevil\u2066" in seen
    done = surefoot("compare", base, other, "--max-drop", "0.1", "--json")
    if code == 1:
        assert json.loads(done.stdout)["findings"][0]["paired"]["metric"] == EVIL
