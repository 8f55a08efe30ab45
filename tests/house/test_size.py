"""The size budgets of the design hold, and the script that checks them can tell."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONG = "\n".join(f"    x{i} = {i}" for i in range(61))


def load_script():
    spec = importlib.util.spec_from_file_location(
        "size_budgets", ROOT / "scripts" / "size_budgets.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


budgets = load_script()


FEW = "\n".join(f"def few{i}(): ..." for i in range(20))
"""Short functions, so that the median and the tenth stay low."""


def found(tmp_path, source, name="thing.py"):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return "\n".join(budgets.problems(tmp_path))


def test_the_code_keeps_its_budgets():
    assert budgets.problems(ROOT / "src" / "surefoot") == []


def test_there_is_enough_test_for_the_code():
    tests, code = (budgets.code_lines(ROOT / folder) for folder in ("tests", "src/surefoot"))
    assert tests >= code, f"{tests} lines of tests for {code} lines of code"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def f():\n" + LONG, "f has 61 lines of code"),
        ("\n".join(f"x{i} = {i}" for i in range(401)), "401 lines of code"),
        ("def f(a, b, c, d, *, e, f, g): ...", "f has 7 arguments"),
        ("def f(**options): ...", "f takes **options"),
        ("try:\n    pass\nexcept Exception:\n    pass", "3: catches everything"),
        ("try:\n    pass\nexcept (ValueError, BaseException):\n    pass", "3: catches everything"),
        ("try:\n    pass\nexcept:\n    pass", "3: catches everything"),
        ("class ModelManager: ...", "'ModelManager' says nothing"),
        ("class A: ...\nclass B(A): ...\nclass C(B): ...", "C < B < A: 2 levels"),
        ("\n".join(f"def f{i}():\n" + LONG[:150] for i in range(3)), "the median function has"),
    ],
)
def test_a_broken_budget_is_found(tmp_path, source, complaint):
    assert complaint in found(tmp_path, source)


def test_a_tenth_of_long_functions_is_found(tmp_path):
    body = "\n".join(f"    x{i} = {i}" for i in range(30))
    short = "\n".join(f"def s{i}():\n    return 1" for i in range(8))
    assert "a tenth of the functions" in found(tmp_path, f"{short}\ndef f():\n{body}\n")


@pytest.mark.parametrize(
    "source",
    [
        f"{FEW}\ndef f():  # size: one table\n{LONG}",
        f"{FEW}\n# size: one table\ndef f():\n{LONG}",
        "# size module: one table\n" + "\n".join(f"x{i} = {i}" for i in range(401)),
        "def f():\n    '''Many\n"
        + "\n" * 80
        + "lines.'''\n"
        + "    # and remarks\n" * 80
        + "    ...",
        "class A(Exception): ...\nclass B(A): ...\nclass C(B): ...\nclass D(C): ...",
        "try:\n    pass\nexcept ValueError:\n    pass",
        "def _f(**options): ...",
    ],
)
def test_what_keeps_the_budgets_or_says_why_not_is_left_alone(tmp_path, source):
    assert found(tmp_path, source) == ""


def test_an_exception_needs_a_reason(tmp_path):
    assert "61 lines of code" in found(tmp_path, "def f():  # size:\n" + LONG)


def test_options_of_a_plugin_are_not_counted(tmp_path):
    source = "def prune(a, b, c, d, *, e, f, g): ..."
    assert found(tmp_path, source, "steps/prune.py") == ""
    assert "7 arguments" in found(tmp_path, source, "steps/other.py")


@pytest.mark.parametrize("name", ["utils.py", "base.py", "data/helper.py"])
def test_a_name_that_says_nothing_is_found(tmp_path, name):
    assert "says nothing of what is in it" in found(tmp_path, "", name)
