from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace

import pytest

from surefoot.bundle import read_bundle, read_verdict_json, write_bundle
from surefoot.bundle.encode import ROW_COLUMNS
from surefoot.bundle.write import FORMAT
from surefoot.core.errors import BundleError
from surefoot.core.evidence import Paired, Use


@pytest.fixture
def bundle(contents, tmp_path):
    return write_bundle(tmp_path / "bundle", "key", contents)


def rewrite(bundle, **changes):
    file = bundle.path / "verdict.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def without_rows(verdict):
    """A verdict without what stays in the cells, which leaves the defaults of those fields."""
    gone = {f.name: f.default for f in fields(Paired) if f.name in ROW_COLUMNS}
    findings = (replace(f, paired=f.paired and replace(f.paired, **gone)) for f in verdict.findings)
    return replace(verdict, findings=tuple(findings))


def test_a_bundle_comes_back_as_it_was_written(bundle, contents):
    found = read_bundle(bundle.path)
    assert (found.path, found.key, found.winner) == (bundle.path, "key", "same")
    assert found.verdicts == tuple(map(without_rows, contents.verdicts))
    assert [v.outcome for v in found.verdicts] == ["PASS", "FAIL"]


def test_which_use_of_the_data_it_was_comes_back(contents, tmp_path):
    use = Use(count=3, share=0.125, left=0.125)
    used = replace(contents, verdicts=tuple(replace(v, use=use) for v in contents.verdicts))
    path = write_bundle(tmp_path / "bundle", "key", used).path
    assert [v.use for v in read_bundle(path).verdicts] == [use, use]


def test_a_bundle_can_be_moved_and_read_on_its_own(bundle, tmp_path):
    before = read_bundle(bundle.path)
    moved = shutil.move(bundle.path, tmp_path / "archive")
    for part in ("cells", "models", "plan.toml"):
        target = moved / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert read_bundle(moved) == replace(before, path=moved)


@pytest.mark.parametrize("version", [FORMAT + 1, FORMAT - 2, None, str(FORMAT), [FORMAT]])
@pytest.mark.parametrize("read", [read_bundle, read_verdict_json])
def test_an_unknown_version_is_refused_with_what_to_do(bundle, read, version):
    rewrite(bundle, format=version)
    said = f"format {version} of verdict.json is none that this surefoot reads: 2, {FORMAT}"
    with pytest.raises(BundleError) as caught:
        read(bundle.path)
    assert (caught.value.what, caught.value.where) == (said, str(bundle.path))
    assert caught.value.fix == "use the surefoot that wrote it, or run the plan again"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no bundle that can be read: .*No such file"),
        (b"", "no bundle that can be read: "),
        (b'{"format": 2, "key": "ab', "no bundle that can be read: "),
        (b"\xff\xfe\x00", "no bundle that can be read: "),
        (b"[1, 2]", "format None of verdict.json"),
        (b"null", "format None of verdict.json"),
    ],
    ids=["none", "empty", "cut", "binary", "a list", "null"],
)
def test_what_is_no_verdict_is_refused_with_its_place(bundle, content, said):
    file = bundle.path / "verdict.json"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(BundleError, match=said) as caught:
        read_bundle(bundle.path)
    assert str(caught.value).startswith(f"{bundle.path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_and_a_missing_folder_are_no_bundles(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(BundleError, match="no bundle that can be read"):
            read_bundle(path)


def damaged(data, change):
    finding = data["verdicts"][0]["findings"][0]
    if change == "a key lost":
        del data["winner"]
    elif change == "no verdicts":
        data["verdicts"] = None
    elif change == "no use":
        del data["verdicts"][0]["use"]
    elif change == "an unknown field":
        finding["colour"] = "red"
    elif change == "an estimate without an end":
        del finding["estimate"]["low"]
    elif change == "text for a budget":
        finding["budget"] = "flips"
    return data


@pytest.mark.parametrize(
    "change",
    [
        "a key lost",
        "no verdicts",
        "no use",
        "an unknown field",
        "an estimate without an end",
        "text for a budget",
    ],
)
def test_a_verdict_that_was_edited_is_one_line(bundle, change):
    data = damaged(json.loads((bundle.path / "verdict.json").read_text()), change)
    rewrite(bundle, **data)
    if change == "a key lost":
        (bundle.path / "verdict.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"verdict\.json is not as surefoot writes it") as caught:
        read_bundle(bundle.path)
    assert (caught.value.where, caught.value.fix) == (str(bundle.path), "run the plan again")
