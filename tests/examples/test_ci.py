"""The workflow and the hook of examples/ci, run as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.cli import VERBS

CI = Path(__file__).parents[2] / "examples" / "ci"
DOCS = Path(__file__).parents[2] / "docs" / "ci.md"
yaml = pytest.importorskip("yaml", reason="needs PyYAML, which transformers brings")


def parsed(name):
    return yaml.safe_load((CI / name).read_text())


def steps():
    return parsed("gate-model.yml")["jobs"]["gate"]["steps"]


def test_the_workflow_says_when_and_where_it_runs():
    workflow = parsed("gate-model.yml")
    # YAML 1.1 reads the key `on` as true.
    assert {"pull_request", "push"} == set(workflow[True])
    assert workflow["permissions"] == {"contents": "read"}
    assert all(("uses" in step) != ("run" in step) for step in steps())


def test_every_verb_that_is_called_exists():
    called = [step["run"] for step in steps() if "surefoot " in step.get("run", "")]
    verbs = [word for run in called for word in run.partition("surefoot ")[2].split()[:1]]
    assert verbs[:2] == ["run", "diff"]
    assert {*verbs} <= {*VERBS, "report"}
    (hook,) = parsed("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert hook["entry"].split()[1] in VERBS


@pytest.mark.parametrize("name", ["gate-model.yml", "pre-commit-config.yaml"])
def test_the_page_shows_the_files_as_they_are(name):
    assert f"```yaml\n{(CI / name).read_text()}```" in DOCS.read_text()


def shell(command, folder, **extra):
    """One command as a runner gives it to bash, with the surefoot of this environment."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    program = tools / "surefoot"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m surefoot "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), **extra}
    return subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, env=env, capture_output=True, text=True
    )


def workflow(folder):
    """Every step that is a command, in order, until one fails; what each said."""
    said = []
    for step in steps():
        run = step.get("run", "")
        # The environment of the tests is installed, and `report` may not be part of it yet.
        if not run or run.startswith("pip ") or ("report" in run and "report" not in VERBS):
            continue
        if said and said[-1].returncode and step.get("if") != "always()":
            continue
        said.append(shell(run, folder))
    return said


@pytest.fixture
def project(tmp_path):
    """A checkout with the example's plan, model and data."""
    folder = shutil.copytree(CI, tmp_path / "project")
    made = subprocess.run([sys.executable, "make_model.py"], cwd=folder, capture_output=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.slow
def test_the_commands_of_the_workflow_gate_a_model(project):
    first = workflow(project)
    assert [one.returncode for one in first] == [0] * len(first), [one.stderr for one in first]
    assert not (project / "before").exists()
    assert first[1].stdout.startswith("PASS  onnx")
    # Nothing changed: one line from each, and nothing is measured.
    second = workflow(project)
    assert [one.returncode for one in second] == [0] * len(second)
    assert second[1].stdout == first[1].stdout.splitlines()[0] + "\n"
    assert second[1].stderr.count("\n") == 1
    assert second[2].stdout.startswith("SAME  0 of ")
    # A stricter plan that the model cannot keep: red, and the page is written all the same.
    shutil.rmtree(project / "before")
    plan = project / "surefoot.toml"
    plan.write_text(plan.read_text().replace("at_most = 1.0", "at_most = 0.0001"))
    third = workflow(project)
    assert third[1].returncode == 1
    assert third[1].stdout.startswith("FAIL  onnx")


@pytest.mark.slow
def test_the_hook_refuses_a_commit_without_a_run_that_passes(project):
    found = shutil.which("pre-commit")
    if found is None:
        pytest.skip("needs the program pre-commit")
    cache = {"PRE_COMMIT_HOME": str(project / ".cache")}
    (project / ".gitignore").write_text("surefoot-run/\n.tools/\n.cache/\n")
    (project / "pre-commit-config.yaml").rename(project / ".pre-commit-config.yaml")
    git = "git -c user.name=Ada -c user.email=ada@example.org"
    assert shell(f"git init -q && {git} add . && {found} install", project).returncode == 0
    commit = f"{git} commit -q -m 'a model'"
    refused = shell(commit, project, **cache)
    assert refused.returncode == 1
    assert "no finished run of this plan" in refused.stdout + refused.stderr
    assert shell("surefoot run", project).returncode == 0
    taken = shell(f"{git} add . && {commit}", project, **cache)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "Passed" in taken.stdout + taken.stderr
    # Other data: the evidence is no longer about them.
    (project / "test.npz").write_bytes((project / "train.npz").read_bytes())
    stale = shell(f"{git} add . && {commit}", project, **cache)
    assert stale.returncode == 1
    assert "a file or a plugin that the plan uses has changed" in stale.stdout + stale.stderr
