"""Every shell and Python block of the documentation runs.

The blocks of a page run in order, in one temporary folder, so that a block can use what an earlier
one wrote. A block fenced `text` or `toml` is not run; one fenced `sh slow` runs with the slow tests
only. A file that a page writes out is fenced with its name: ```toml surefoot.toml```.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
    if "decisions" not in page.parts
]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "toml", "text", "json", "sql", "csv", "yaml"}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page):
    text = page.read_text()
    for match in FENCE.finditer(text):
        language, *words = match[1].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, language, tuple(words), match[2])


def run(block, folder):
    if block.language == "sh":
        command = ["sh", "-eu", "-c", block.text]
    else:
        command = [sys.executable, "-c", block.text]
    # The program of this environment comes first, whether or not it is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{block.where}\n{block.text}\n{result.stdout}{result.stderr}"


def follow(page, folder, *, slow):
    """Do what a page says, from its top to its bottom."""
    bootstrap = folder / "surefoot"
    bootstrap.write_text(f'#!/bin/sh\nexec "{ROOT}/surefoot" "$@"\n')
    bootstrap.chmod(0o755)
    if (ROOT / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    for block in blocks(page):
        if block.language in ("sh", "python") and (slow or "slow" not in block.words):
            run(block, folder)
        elif block.words and "slow" not in block.words:
            (folder / block.words[0]).write_text(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, tmp_path):
    follow(page, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any("slow" in block.words for block in blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_slow_blocks_run(page, tmp_path):
    follow(page, tmp_path, slow=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_says_what_it_is(page):
    fences = page.read_text().count("\n```")
    found = list(blocks(page))
    assert fences == 2 * len(found), "a fence is not closed"
    odd = [block.where for block in found if block.language not in LANGUAGES]
    assert not odd, f"{odd}: use one of {sorted(LANGUAGES)}"


def page_of(folder, text):
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize("block", ["```sh\nfalse\n```", "```python\nassert 1 == 2\n```"])
def test_a_block_that_fails_is_found(tmp_path, monkeypatch, block):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError, match=r"page\.md:3"):
        follow(page_of(tmp_path, f"# Title\n\n{block}\n"), tmp_path, slow=False)


def test_blocks_share_a_folder_and_files_are_written(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    text = "```toml a.toml\nx = 1\n```\n\n```sh\ncp a.toml b\n```\n\n```sh slow\nfalse\n```\n"
    follow(page_of(tmp_path, text), tmp_path, slow=False)
    assert (tmp_path / "b").read_text() == "x = 1\n"
