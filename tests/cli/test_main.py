"""The program around the verbs: help, exit codes, and one line for every error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from surefoot import __version__
from surefoot.cli import VERBS

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
    assert 1 <= len(options) <= 7


def test_the_version_is_that_of_the_package(cli):
    said = cli("--version")
    assert said.code == 0
    assert said.out.split()[-1] == __version__


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rnu",), "no verb 'rnu'; did you mean 'run'?"),
        (("xyz",), "no verb 'xyz'; known: compare, demo, init, list, power, run"),
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


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_internal_error_is_one_line_unless_asked_for_more(broken_step, debug):
    paths = os.pathsep.join(filter(None, [str(broken_step), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "surefoot", "run"],
        cwd=broken_step,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "SUREFOOT_DEBUG": debug},
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "surefoot: internal error, ZeroDivisionError: division by zero; "
        "SUREFOOT_DEBUG=1 shows where; please report it"
    )
    assert ("Traceback" in done.stderr) == bool(debug)
    assert ("return 1 / 0" in done.stderr) == bool(debug)
    assert done.stdout == ""
    assert not list((broken_step / "surefoot-run").rglob("*.part"))
    assert not (broken_step / "surefoot-run" / "bundle").exists()
