"""The generated pages say what the code says."""

import subprocess
import sys
from pathlib import Path

from surefoot import plugins

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_not_stale():
    command = [sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_step_has_a_page_and_every_page_a_step():
    pages = {page.stem for page in (ROOT / "docs" / "steps").glob("*.md")}
    assert pages == set(plugins.names("step"))
