"""What is installed is what is released, and no install breaks another."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import surefoot

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "surefoot"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel under test, or one built now when pytest was called directly."""
    if "SUREFOOT_WHEEL" in os.environ:
        return Path(os.environ["SUREFOOT_WHEEL"])
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_is_what_is_tested():
    if "CI" not in os.environ and "SUREFOOT_WHEEL" not in os.environ:
        pytest.skip("pytest was called directly: the editable install is tested")
    assert "site-packages" in Path(surefoot.__file__).parts
    assert not Path(surefoot.__file__).is_relative_to(SOURCE)


def test_subprocesses_run_the_same_package():
    code = "import surefoot; print(surefoot.__file__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == surefoot.__file__


def test_the_wheel_holds_every_file_of_the_source(wheel):
    there = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("surefoot/")}
    files = (path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert there == {f"surefoot/{path.relative_to(SOURCE).as_posix()}" for path in files}


def test_the_wheel_carries_its_licence_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "surefoot/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_version_has_one_source():
    assert metadata.version("surefoot") == surefoot.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"[{surefoot.__version__}]" in changes or "[Unreleased]" in changes


def test_the_base_has_no_torch():
    base = {re.split(r"[<>=~;\[ ]", line)[0] for line in PROJECT["dependencies"]}
    assert len(base) == len(PROJECT["dependencies"])
    assert not base & {"torch", "scikit-learn", "pandas", "transformers", "onnx", "openvino"}


def test_every_dependency_has_a_lower_bound():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    loose = [line for group in groups for line in group if ">=" not in line]
    assert all(line.startswith("surefoot[") for line in loose), loose


def test_the_constraints_pin_what_is_installed_but_not_torch():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert not any(name.startswith(("torch==", "torchvision", "nvidia")) for name in pins)
    needed = {
        re.split(r"[<>=~;\[ ]", line)[0].replace("_", "-").lower()
        for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for line in group
    } - {"surefoot", "torch"}
    assert needed <= {name.replace("_", "-").lower() for name in pins}


def test_torchvision_is_absent_or_works():
    # A torchvision that does not fit torch makes transformers' BERT unimportable, and `pip check`
    # does not notice.
    if importlib.util.find_spec("torchvision") is not None:
        code = "import torchvision; from transformers import BertModel"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_no_cuda_build_came_in_without_a_gpu():
    torch = pytest.importorskip("torch")
    has_gpu = Path("/proc/driver/nvidia/version").exists() or torch.cuda.is_available()
    assert has_gpu or torch.version.cuda is None
