"""Ruff and mypy have nothing to say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command):
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_ruff_check():
    run("ruff", "check", "--quiet")


def test_ruff_format():
    run("ruff", "format", "--check", "--quiet")


def test_mypy():
    run("mypy")
