"""`surefoot report`: every form, from a folder, a run and a zip file, and what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest

from surefoot.bundle import pack_bundle

FORMS = {"plain": ("PASS", "FAIL", "INCONCLUSIVE"), "markdown": ("✓", "✗", "?"), "json": ("{",)}
FORMS |= {"junit": ('<?xml version="1.0"',)}


@pytest.fixture
def run(rich, tmp_path):
    shutil.copytree(rich, tmp_path / "surefoot-run" / "bundle")
    return tmp_path / "surefoot-run"


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_go_to_standard_output(cli, run, form):
    said = cli("report", "--format", form)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(FORMS[form])
    assert cli("report", run / "bundle", "--format", form).code == 0


def test_a_page_goes_beside_the_bundle_and_leaves_it_as_it_was(cli, run):
    before = {p: p.read_bytes() for p in (run / "bundle").rglob("*") if p.is_file()}
    said = cli("report", run)
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("written to ")
    assert (run / "report.html").read_text().lstrip().startswith("<!doctype html>")
    assert {p: p.read_bytes() for p in (run / "bundle").rglob("*") if p.is_file()} == before


def test_a_zip_file_gives_the_same(cli, run, tmp_path):
    pack_bundle(run / "bundle", tmp_path / "kept.zip")
    assert cli("report", "kept.zip").code == 0
    assert (tmp_path / "kept.html").exists()
    one = json.loads(cli("report", "kept.zip", "--format", "json").out)
    two = json.loads(cli("report", run, "--format", "json").out)
    assert one["places"] == two["places"]
    assert "surefoot verify kept.zip" in "\n".join(one["reproduce"])


def test_out_names_the_file(cli, run, tmp_path):
    assert cli("report", "--format", "junit", "--out", "a.xml").code == 0
    assert (tmp_path / "a.xml").read_text().startswith("<?xml")
    assert cli("report", "--out", "b.html").code == 0
    assert (tmp_path / "b.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "there is no bundle"),
        (("--format", "pdf"), "'pdf' is not one of"),
        (("--out", "a.pdf"), "not called .html"),
        (("--out", "surefoot-run/bundle/report.html"), "lies in the bundle"),
    ],
)
def test_what_cannot_be_is_one_clear_line(cli, run, arguments, message):
    said = cli("report", *arguments)
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", ["verdict.json", "plan.json", "environment.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}'])
def test_a_broken_bundle_is_one_clear_line(cli, run, name, content):
    (run / "bundle" / name).write_text(content)
    said = cli("report", "--format", "plain")
    if said.code != 0:  # a plan or an environment that says nothing leaves gaps
        assert said.code in (2, 4)  # 4: of another version
        assert str(run.name) in said.err
    assert "Traceback" not in said.err
    assert "internal error" not in said.err
