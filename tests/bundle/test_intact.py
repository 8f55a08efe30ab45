"""Every way in which a file of a bundle may be other than its run left it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from surefoot.bundle import check_files, read_manifest, write_bundle
from surefoot.bundle.intact import LARGEST, MANIFEST


@pytest.fixture(scope="module")
def written(contents, tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("intact") / "bundle", "key", contents).path


@pytest.fixture
def bundle(written, tmp_path):
    return shutil.copytree(written, tmp_path / "bundle")


def names(bundle):
    return [f.relative_to(bundle).as_posix() for f in sorted(bundle.rglob("*")) if f.is_file()]


def faults(bundle):
    return [(fault.file, fault.what) for fault in check_files(bundle)]


def test_a_bundle_as_it_was_written_has_no_fault(bundle):
    assert faults(bundle) == []
    assert set(read_manifest(bundle)) == set(names(bundle)) - {MANIFEST}


@pytest.mark.parametrize("at", ["first", "middle", "last"])
def test_a_byte_of_any_file_that_was_changed_is_found(bundle, at):
    for name in names(bundle):
        file = bundle / name
        content = file.read_bytes()
        position = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}[at]
        file.write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        found = faults(bundle)
        if name == MANIFEST:  # which names others than there are, or is no manifest any more
            assert found
        else:
            assert found == [(name, "changed")]
        file.write_bytes(content)
    assert faults(bundle) == []


def test_a_cut_an_emptied_and_a_lost_file_are_found(bundle):
    for name in names(bundle):
        file = bundle / name
        content = file.read_bytes()
        said = ("cannot be read", "missing") if name == MANIFEST else ("changed", "missing")
        for shorter in (content[:-1], b""):
            file.write_bytes(shorter)
            assert faults(bundle) == [(name, said[0])]
        file.unlink()
        assert faults(bundle) == [(name, said[1])]
        file.write_bytes(content)


def test_models_that_were_swapped_are_both_named(bundle):
    first, second = bundle / "models/baseline/model.onnx", bundle / "models/same/model.onnx"
    second.write_bytes(second.read_bytes() + b"\0")  # they are copies of one file
    assert faults(bundle) == [("models/same/model.onnx", "changed")]
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    assert faults(bundle) == [("models/baseline/model.onnx", "changed")]


@pytest.mark.parametrize(
    "name", ["notes.txt", "cells/baseline/extra.parquet", ".hidden", "a\nb", "\u202egnp.exe"]
)
def test_a_file_that_was_added_is_found(bundle, name):
    (bundle / name).write_text("x")
    assert faults(bundle) == [(name, "added")]


def test_links_are_no_files_wherever_they_lead(bundle, tmp_path):
    """A file behind a link may be the right one today and another tomorrow."""
    file = bundle / "plan.toml"
    file.rename(tmp_path / "plan.toml")
    file.symlink_to(tmp_path / "plan.toml")
    (bundle / "more").symlink_to(tmp_path)
    os.mkfifo(bundle / "pipe")
    assert faults(bundle) == [("more", "a link"), ("pipe", "a link"), ("plan.toml", "a link")]


def test_a_manifest_that_names_what_lies_elsewhere_reads_nothing_there(bundle, tmp_path):
    (tmp_path / "outside").write_text("secret")
    manifest = read_manifest(bundle)
    outside = {"../outside": "0" * 64, str(tmp_path / "outside"): "0" * 64, "cells": "0" * 64}
    (bundle / MANIFEST).write_text(json.dumps(manifest | outside))
    assert dict(faults(bundle)) == dict.fromkeys(outside, "missing")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "{", '{"plan.toml": 3}', '{"plan.toml": "abc"}', "[" * 100_000, '{"a": {}}'],
    ids=range(8),
)
def test_what_is_no_manifest_is_told_alone(bundle, content):
    (bundle / MANIFEST).write_text(content)
    assert faults(bundle) == [(MANIFEST, "cannot be read")]


def test_a_manifest_without_end_is_not_read(bundle):
    with (bundle / MANIFEST).open("r+b") as stream:
        stream.truncate(LARGEST + 1)  # a hole, which takes no room
    assert faults(bundle) == [(MANIFEST, "cannot be read")]


def test_an_empty_manifest_leaves_every_file_unknown(bundle):
    (bundle / MANIFEST).write_text("{}")
    assert faults(bundle) == [(name, "added") for name in names(bundle) if name != MANIFEST]
