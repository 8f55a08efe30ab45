"""The program starts at once, and starts without what an install may lack."""

import statistics
import subprocess
import sys
import time

import pytest

BARE = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-m", "surefoot", "--help"]
MODULES, TIMES_BARE = 150, 6
# What the base install does not bring.
EXTRAS = ("torch", "sklearn", "pandas", "transformers", "onnx", "openvino", "pyarrow", "PIL")


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def test_help_loads_few_modules():
    loaded = python(
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr))\n"
        "sys.argv = ['surefoot', '--help']\n"
        "runpy.run_module('surefoot', run_name='__main__')\n"
    ).stderr.split()
    assert "surefoot.cli" in loaded
    assert len(loaded) <= MODULES, loaded
    assert not {"numpy", "duckdb", "rich", "pydantic", *EXTRAS} & set(loaded)


def test_help_starts_nearly_as_fast_as_python():
    seconds(HELP)  # writes bytecode
    # In turns, and the best of three tries: other work on the machine slows all but the quiet one.
    ratios = []
    for _ in range(3):
        pairs = [(seconds(BARE), seconds(HELP)) for _ in range(7)]
        ratios.append(statistics.median(shown / bare for bare, shown in pairs))
        if ratios[-1] < TIMES_BARE:
            return
    pytest.fail(f"surefoot --help took {ratios} times bare Python's start, the cap is {TIMES_BARE}")


@pytest.mark.parametrize("module", ["surefoot", "surefoot.cli", "surefoot.run", "surefoot.report"])
def test_imports_without_the_extras(module):
    python(f"import sys; sys.modules.update(dict.fromkeys({EXTRAS})); import {module}")
