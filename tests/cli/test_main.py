"""The program around the verbs: help, exit codes, and one line for every error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from surefoot import __version__
from surefoot.cli import VERBS, program
from surefoot.store import PART

BROKEN = '''
"""A step of a third party with a bug."""

def oddstep(model, task, folder):
    """Divides by zero."""
    return 1 / 0
'''
PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "y" }
[model]
path = "linear.onnx"
classes = ["0", "1", "2"]
[[candidate]]
name = "odd"
steps = ["oddstep"]
[[budget]]
quantity = "flips"
at_most = 0.1
"""


def surefoot(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "surefoot", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["-h"], 0), ([], 2)], ids=["--help", "-h", "nothing"]
)
def test_help_lists_the_verbs_in_the_order_of_the_work(arguments, code):
    done = surefoot(*arguments)
    assert done.returncode == code
    text = done.stderr if code else done.stdout
    assert [line.split()[0] for line in text.partition("Verbs:\n")[2].splitlines()] == [*VERBS]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_few_options(cli, verb):
    said = cli(verb, "--help")
    assert said.code == 0
    assert f"surefoot {verb} [OPTIONS]" in said.out.splitlines()[0]
    options = [line for line in said.out.splitlines() if line.startswith(("  --", "  -h"))]
    most = 8 if verb == "compare" else 7  # there is no plan to put the rest into
    assert 1 <= len(options) <= most


def test_the_version_is_that_of_the_package(cli):
    said = cli("--version")
    assert said.code == 0
    assert said.out.split()[-1] == __version__


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rnu",), "no verb 'rnu'; did you mean 'run'?"),
        (
            ("xyz",),
            "no verb 'xyz'; known: card, cascade, compare",
        ),
        (("--jsn",), "No such option"),
        (("run", "--jsn"), "did you mean one of: '--json'"),
        (("run", "a.toml", "b.toml"), "unexpected extra argument"),
        (("run", "--out"), "requires an argument"),
    ],
)
def test_a_wrong_word_is_a_usage_error(cli, arguments, said):
    answer = cli(*arguments)
    assert answer.code == 2
    assert said.lower() in answer.err.lower()
    assert answer.out == ""


def closed_pipe(
    *arguments: str, closed: str = "stdout", cwd: Path | None = None
) -> tuple[int, str]:
    """The exit code, and what is said on stderr, where nobody reads the output."""
    out = subprocess.STDOUT if closed == "both" else subprocess.PIPE
    command = [sys.executable, "-m", "surefoot", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=out, text=True, cwd=cwd
    ) as process:
        process.stdout.close()
        said = process.stderr.read() if process.stderr else ""
    return process.returncode, said


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["--version"], ["list", "--help"]])
def test_output_that_nobody_reads_is_no_error(arguments):
    assert closed_pipe(*arguments) == (0, "")


@pytest.mark.parametrize("closed", ["stdout", "both"])
@pytest.mark.parametrize(("rows", "code"), [(2000, 1), (3, 3)])
def test_the_verdict_stands_though_nobody_reads_it(tmp_path, closed, rows, code):
    """A FAIL must not become a PASS because of `| head -1`: all right before, all wrong now."""
    lines = "".join(f"{i},{'ab'[i % 2]},{'ab'[i % 2]}\n" for i in range(rows))
    (tmp_path / "base.csv").write_text(f"id,label,predicted\n{lines}")
    answers = "ba" if code == 1 else "ab"
    (tmp_path / "c.csv").write_text(
        "id,predicted\n" + "".join(f"{i},{answers[i % 2]}\n" for i in range(rows))
    )
    arguments = ("compare", "base.csv", "c.csv", "--max-drop", "0.01")
    assert closed_pipe(*arguments, closed=closed, cwd=tmp_path) == (code, "")


def test_a_wrong_word_keeps_its_exit_code_though_nobody_reads_it():
    assert closed_pipe("rnu", closed="both")[0] == 2


def test_verbs_are_listed_after_the_verb_of_that_name_was_called(cli):
    """`surefoot.cli.list` takes the name of the built-in inside the package."""
    assert cli("list").code == 0
    said = cli("--help")
    assert said.code == 0
    assert "compare" in said.out
    context = click.Context(program)
    assert program.list_commands(context) == [*VERBS]


@pytest.fixture
def broken_step(tmp_path, linear):
    """A folder whose plan uses an installed step of a third party that has a bug."""
    linear(tmp_path / "linear.onnx")
    rows = "".join(f"{i},{i % 3},1,2,{i % 3}\n" for i in range(9))
    (tmp_path / "test.csv").write_text(f"a,b,c,d,y\n{rows}")
    (tmp_path / "surefoot.toml").write_text(PLAN)
    (tmp_path / "oddstep.py").write_text(BROKEN)
    info = tmp_path / "oddstep-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddstep\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[surefoot.step]\noddstep = oddstep:oddstep\n")
    return tmp_path


def run_broken(folder: Path, debug: str = "") -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "surefoot", "run"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "SUREFOOT_DEBUG": debug},
    )


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_in_a_step_is_one_line_unless_asked_for_more(broken_step, debug):
    done = run_broken(broken_step, debug)
    assert done.returncode == 2
    hint = "" if debug else "; SUREFOOT_DEBUG=1 shows where"
    assert done.stderr.splitlines()[-1] == (
        "surefoot: no candidate could be made: "
        f"odd: the step oddstep failed: ZeroDivisionError: division by zero{hint}"
    )
    assert ("Traceback" in done.stderr) == bool(debug)
    assert ("return 1 / 0" in done.stderr) == bool(debug)
    assert done.stdout == ""
    assert not list((broken_step / "surefoot-run").rglob(f"*{PART}"))
    assert not (broken_step / "surefoot-run" / "bundle").exists()


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_internal_error_is_one_line_unless_asked_for_more(broken_step, debug):
    """A source is asked in this process, and a bug in one is nobody's but its own."""
    source = "def oddsource(*, path: str, name='data', label: str = '', slices=None):\n    1 / 0\n"
    (broken_step / "oddsource.py").write_text(source)
    info = broken_step / "oddstep-1.dist-info" / "entry_points.txt"
    info.write_text(f"{info.read_text()}[surefoot.source]\noddsource = oddsource:oddsource\n")
    plan = broken_step / "surefoot.toml"
    odd = 'test.main = { use = "oddsource", path = "test.csv" }'
    lines = [odd if "test.main" in line else line for line in plan.read_text().splitlines()]
    plan.write_text("\n".join(lines))
    done = run_broken(broken_step, debug)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "surefoot: internal error, ZeroDivisionError: division by zero; "
        "SUREFOOT_DEBUG=1 shows where; please report it"
    )
    assert ("Traceback" in done.stderr) == bool(debug)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("open('gone.bin')", "FileNotFoundError: [Errno 2] No such file or directory: 'gone.bin'"),
        ("raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError: [Errno 32] Broken pipe"),
    ],
)
def test_an_error_of_the_system_inside_a_step_is_not_one_of_our_output(broken_step, line, said):
    step = broken_step / "oddstep.py"
    step.write_text(step.read_text().replace("return 1 / 0", line))
    done = run_broken(broken_step)
    assert done.returncode == 2
    assert f"the step oddstep failed: {said}" in done.stderr.splitlines()[-1]
    assert "make room" not in done.stderr
