"""Who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot import plugins

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "surefoot"
BELOW = ("surefoot.core", "surefoot.stats", "surefoot.plugins")
# docs/decisions/0001: a step has to run the model that it changes, and all sources read columns.
# A model card for the Hub is the card for people under another head.
MAY_IMPORT = dict.fromkeys(plugins.FOLDERS, BELOW) | {
    "step": (*BELOW, "surefoot.models", "surefoot.data.scores"),
    "source": (
        *BELOW,
        "surefoot.data.columns",
        "surefoot.data.fingerprint",
        "surefoot.data.tables",
    ),
    "export": (*BELOW, "surefoot.report.card"),
}


def test_imports_go_downwards_only():
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", run, "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_plugins_import_no_stage_and_no_other_plugin(kind):
    folder = SOURCE / plugins.FOLDERS[kind]
    own = f"surefoot.{plugins.FOLDERS[kind].replace('/', '.')}._"
    wrong = {
        f"{file.name}: {name}"
        for file in folder.glob("*.py")
        for name in imported(file)
        if name.startswith("surefoot.") and not name.startswith((*MAY_IMPORT[kind], own))
    }
    assert list(folder.glob("[a-z]*.py")), f"{folder} has no plugins"
    assert not wrong
