"""Every export found keeps its contract, and hides nothing that names and labels hold."""

from dataclasses import replace

import pytest

from surefoot import plugins, testing
from surefoot.core.errors import PluginError
from surefoot.core.printable import printable
from surefoot.core.release import Export
from surefoot.report.export import write_export

HOSTILE = "<script>\u202e\x1b[2J|`=1+1`\n---\n[x](http://evil.example)\u2066\x00"
NAMES = plugins.names("export")


@pytest.mark.parametrize("name", NAMES)
def test_export(name, release):
    testing.check_export(name, release)


def hostile(release):
    """A bundle that somebody wrote by hand: every name that can be one is hostile."""
    figures = tuple(
        replace(f, slice=f.slice and HOSTILE, shift="typos" + HOSTILE if f.dataset else "")
        for f in release.figures
    )
    data = tuple(replace(used, name=used.name + HOSTILE, path=HOSTILE) for used in release.data)
    data = tuple(replace(used, columns={HOSTILE: "label"}) for used in data)
    evidence = {**release.evidence, "warnings": [HOSTILE], "doubts": [HOSTILE]}
    environment = {**release.environment, "cpu": HOSTILE, "system": HOSTILE}
    return replace(
        release,
        task=HOSTILE,
        figures=figures,
        data=data,
        evidence=evidence,
        environment=environment,
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_hostile_comes_through(name, release, tmp_path):
    testing.check_export(name, hostile(release))
    write_export(name, hostile(release), tmp_path / "out", {})
    written = tmp_path / "out"
    files = [written] if written.is_file() else [f for f in written.rglob("*") if f.is_file()]
    for file in files:
        assert printable(str(file.relative_to(tmp_path))) == str(file.relative_to(tmp_path))
        if file.suffix in ("", ".md", ".yaml", ".json", ".jsonl"):
            lines = file.read_text(encoding="utf-8").split("\n")
            assert all(printable(line) == line for line in lines)
    if name == "model_card":
        assert "<script>" not in (written / "README.md").read_text().split("---")[-1]


def exports(monkeypatch, files):
    def odd(release):
        """Writes something."""
        return Export(files=files)

    real_find = plugins.find
    monkeypatch.setattr(plugins, "find", lambda k, n: odd if n == "odd" else real_find(k, n))


@pytest.mark.parametrize("path", ["../out.txt", "/out.txt", "a/../../out.txt", "a\\b"])
def test_an_export_that_leaves_its_folder_is_refused(monkeypatch, release, tmp_path, path):
    exports(monkeypatch, {path: "text", "other": "text"})
    with pytest.raises(PluginError, match="outside of its folder"):
        write_export("odd", release, tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "must write something"),
        ({"": "x", "a": "x"}, "one file"),
        ({"../a": "x", "b": "x"}, "stay in its folder"),
        ({"a": "\u202e", "b": ""}, "hide nothing"),
    ],
)
def test_an_export_that_breaks_its_contract_is_found(monkeypatch, release, files, complaint):
    exports(monkeypatch, files)
    with pytest.raises(PluginError, match=complaint):
        testing.check_export("odd", release)
