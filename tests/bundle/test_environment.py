from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.bundle import changes, environment, environment_key
from surefoot.bundle.environment import LIBRARIES


def python(code, *, flags=(), cwd=None, **variables):
    """What a fresh process prints; a variable that is None is taken away."""
    found = {name: value for name, value in (os.environ | variables).items() if value is not None}
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env=found)
    return done.stdout.strip()


KEY = "from surefoot.bundle import environment_key; print(environment_key())"


def test_every_process_finds_the_same_key_wherever_it_runs(tmp_path):
    here = python(KEY, PYTHONHASHSEED="1")
    assert here == python(KEY, cwd=tmp_path, PYTHONHASHSEED="2", LANG="C", SOME_VARIABLE="3")
    assert here == environment_key()
    assert len(here) == 64


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_of_threads_that_is_asked_for_changes_the_key(name):
    keys = {python(KEY, **{name: value}) for value in ("1", "2", None)}
    assert len(keys) == 3


def test_it_is_plain_json_that_names_what_is_installed():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cpus"] == len(os.sched_getaffinity(0))
    assert found["libraries"]["numpy"] == np.__version__
    assert found["libraries"]["surefoot"] == metadata.version("surefoot")
    assert set(found["libraries"]) == set(LIBRARIES)


def test_every_library_of_the_base_install_is_named_that_computes():
    required = {line.split(">")[0].split("=")[0] for line in metadata.requires("surefoot")}
    assert {"numpy", "onnxruntime", "duckdb", "scipy", "tokenizers"} <= required & set(LIBRARIES)


def test_taking_it_loads_no_library_to_ask_its_version():
    heavy = {"torch", "onnxruntime", "openvino", "sklearn", "transformers", "onnx", "skops"}
    code = (
        "import sys; from surefoot.bundle.environment import environment; environment();"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert python(code) == "[]"


def test_a_library_that_is_not_installed_has_no_version(tmp_path):
    """Python without its site-packages, but for numpy itself and surefoot's source."""
    packages = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (tmp_path / name).symlink_to(packages / name)
    source = Path(surefoot.__file__).parent
    file, places = str(source / "bundle/environment.py"), [str(tmp_path), str(source.parent)]
    code = (
        f"import sys; sys.path[:0] = {places}; import json;"
        f"import runpy; found = runpy.run_path({file!r});"
        "print(json.dumps(found['environment']()))"
    )
    found = json.loads(python(code, flags=["-I", "-S"]))
    found["libraries"].pop("surefoot")  # a built wheel has its own version beside it
    assert not any(found["libraries"].values())
    assert found["cpu"] == environment()["cpu"]


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="not Linux")
def test_the_instruction_sets_are_those_of_the_processor():
    listed = Path("/proc/cpuinfo").read_text().split()
    found = environment()
    assert found["cpu_flags"] == sorted(set(found["cpu_flags"]))
    assert set(found["cpu_flags"]) <= set(listed)
    for name in ("avx2", "avx512_vnni", "amx_int8", "fma", "asimd"):
        assert (name in found["cpu_flags"]) == (name in listed), name
    assert found["system"].endswith(platform.machine())
    assert found["cpu"]


def test_every_change_has_a_name_of_its_own():
    here = environment()
    there = json.loads(json.dumps(here))
    there["libraries"] |= {"onnxruntime": "1.0", "torch": None}
    there["threads"] = {"OMP_NUM_THREADS": "3"}
    there["cpu_flags"] = [*here["cpu_flags"], "amx_one_day"]
    there["cpus"] = 64
    found = {change.what: (change.there, change.here) for change in changes(there, here)}
    assert found.pop("torch") == ("none", here["libraries"]["torch"])
    assert found == {
        "onnxruntime": ("1.0", here["libraries"]["onnxruntime"]),
        "OMP_NUM_THREADS": ("3", here["threads"].get("OMP_NUM_THREADS", "none")),
        "instruction set amx_one_day": ("yes", "none"),
        "cpus": ("64", str(here["cpus"])),
    }
    assert changes(here, here) == ()
