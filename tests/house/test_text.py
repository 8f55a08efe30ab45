"""The repository stands on its own: it names no package registry and no path of one machine."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SKIP = {".git", ".venv", ".hypothesis", "__pycache__", "dist", "build", "surefoot-run"}
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".yml", ".json", ".html", ""}
# Spelt with brackets, so that this file does not find itself.
FOREIGN = re.compile(
    r"[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch\.org|(?<![\w.])/[w]ork/", re.IGNORECASE
)


def files():
    for folder, inside, names in os.walk(ROOT):
        inside[:] = [name for name in inside if name not in SKIP and not name.endswith("_cache")]
        paths = (Path(folder, name) for name in names)
        yield from (path for path in paths if path.suffix in TEXT)


def test_names_no_registry_and_no_machine():
    found = {path: FOREIGN.findall(path.read_text(errors="replace")) for path in files()}
    assert len(found) > 50
    assert {str(path): names for path, names in found.items() if names} == {}
