"""Bundles in folders and zip files, and zip files that nobody should unpack."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from surefoot.bundle import archive, open_bundle, pack_bundle, read_bundle, write_bundle
from surefoot.core.errors import BundleError, DamageError

DECLARED = 10_000_000_000
"""Bytes that the bomb unpacks to."""


@pytest.fixture(scope="module")
def made(contents, tmp_path_factory):
    """The folder of a run with its bundle."""
    run = tmp_path_factory.mktemp("archive") / "run"
    write_bundle(run / "bundle", "key", contents)
    return run


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """Where zip files are unpacked: a folder that must be empty when a test ends."""
    place = tmp_path / "unpacked"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert [*place.iterdir()] == []


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_bundle_is_found_in_its_folder_its_run_and_its_zip_file(made, tmp_path, unpacked):
    pack_bundle(made / "bundle", tmp_path / "one.zip")
    for place in (made, made / "bundle", tmp_path / "one.zip"):
        with open_bundle(place) as folder:
            assert files(folder) == files(made / "bundle")
            assert read_bundle(folder).winner == "same"


def test_a_zip_file_of_another_program_is_read_too(made, tmp_path, unpacked):
    """Packed, and with the folder's own name before each, as zip -r and GitHub do it."""
    made_by = shutil.make_archive(tmp_path / "other", "zip", made, "bundle")
    with open_bundle(Path(made_by)) as folder:
        assert files(folder) == files(made / "bundle")


def test_the_same_bundle_is_the_same_zip_file_wherever_and_whenever(made, tmp_path):
    copy = shutil.copytree(made / "bundle", tmp_path / "copy")
    for file in (f for f in copy.rglob("*") if f.is_file()):
        os.utime(file, (1, 1))
        file.chmod(0o600)
    pack_bundle(made / "bundle", tmp_path / "a.zip")
    pack_bundle(copy, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_link_is_not_packed(made, tmp_path):
    copy = shutil.copytree(made / "bundle", tmp_path / "copy")
    (copy / "cells" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="passwd: is a link"):
        pack_bundle(copy, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (None, "there is no bundle"),
        ((), "holds no bundle: there is no verdict.json"),
        (("notes.txt",), "holds no bundle: there is no verdict.json"),
        (("bundle/plan.toml", "bundle/plan.json"), "written to its end"),
        (("plan.toml", "plan.json", "environment.json", "verdict.json"), "written to its end"),
        (("digests.json",), "written to its end"),
    ],
    ids=["nothing", "empty", "another folder", "half a run", "no manifest", "a run that stopped"],
)
def test_what_is_no_bundle_is_refused_with_its_place(tmp_path, holds, said):
    place = tmp_path / "place"
    for name in holds or ():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}")
    if holds == ():
        place.mkdir()
    with pytest.raises(BundleError, match=said) as caught, open_bundle(place):
        pass
    assert caught.value.where == str(place)
    assert caught.value.fix


def hostile(path, *members):
    """A zip file of these members, whatever they are called: (name, content[, mode])."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("manifest.json", "{}")
        made.writestr("verdict.json", "{}")
        for name, content, *mode in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # ZipInfo would cut a name at a NUL
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            made.writestr(info, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "named", "why"),
    [
        ([("../outside", "x")], "../outside", "leads elsewhere"),
        ([("cells/../../outside", "x")], "cells/../../outside", "leads elsewhere"),
        ([("cells/./a", "x")], "cells/./a", "leads elsewhere"),
        ([("cells//a", "x")], "cells//a", "leads elsewhere"),
        ([("cells/.. /a", "x")], "cells/.. /a", "leads elsewhere"),
        ([("/etc/outside", "x")], "/etc/outside", "path of its own"),
        ([("C:\\outside", "x")], "C:\\outside", "path of its own"),
        ([("C:outside", "x")], "C:outside", "path of its own"),
        ([("..\\outside", "x")], "..\\outside", "path of its own"),
        ([("a", "/etc", stat.S_IFLNK | 0o777), ("a/outside", "x")], "a", "a link"),
        ([("pipe", "", stat.S_IFIFO | 0o644)], "pipe", "a link or a device"),
        ([("verdict.json", "x")], "verdict.json", "name of another file"),
        ([("VERDICT.JSON", "x")], "VERDICT.JSON", "name of another file, verdict.json"),
        ([("é", "x"), ("e\u0301", "x")], "e\u0301", "name of another file"),
        ([("verdict.json/a", "x")], "verdict.json/a", "which is a file"),
        ([("a\u202etxt.exe", "x")], "a\\u202etxt.exe", "not seen"),
        ([("a\x1b[2J", "x")], "a\\x1b[2J", "not seen"),
        ([("a\nb", "x")], "a\\nb", "not seen"),
        ([("n" * 300, "x")], "n" * 300, "cannot be unpacked: .*too long"),
    ],
    ids=range(19),
)
def test_a_name_that_no_bundle_holds_is_refused(tmp_path, unpacked, members, named, why):
    path = hostile(tmp_path / "a.zip", *members)
    with pytest.raises(DamageError, match=why) as caught, open_bundle(path):
        pass
    assert caught.value.what.startswith(f"{named} ")
    assert caught.value.where == str(path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", "unpacked"}


def bomb(path, size, name="cells/zeros.parquet"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr("manifest.json", "{}")
        made.writestr("verdict.json", "{}")
        with made.open(name, "w", force_zip64=True) as stream:
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                stream.write(block)
    return path


def sized(path, name, size):
    """The size that the list of members gives of one, made another."""
    content = bytearray(path.read_bytes())
    at = content.rfind(name.encode()) - 46
    assert content[at : at + 4] == b"PK\1\2"
    content[at + 24 : at + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_bomb_is_refused_before_it_is_lit(tmp_path, unpacked):
    """As large as it says; 10 GB are in benchmarks/verify_hostile.py."""
    path = bomb(tmp_path / "bomb.zip", 256 << 20)
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"zeros.parquet unpacks to 268,435,456 bytes") as caught:
        open_bundle(path).__enter__()
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert "too much" in caught.value.what


def test_a_bomb_that_lies_about_its_size_is_cut_where_it_lied(tmp_path, unpacked):
    path = sized(bomb(tmp_path / "bomb.zip", 64 << 20), "cells/zeros.parquet", 1000)
    with pytest.raises(BundleError, match=r"zeros.parquet cannot be unpacked"):
        open_bundle(path).__enter__()


def test_members_that_share_their_bytes_are_too_much_together(tmp_path, unpacked, monkeypatch):
    """Fifield 2019, "A better zip bomb": none of them alone is out of proportion."""
    monkeypatch.setattr(archive, "SMALL", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", "{}")
        made.writestr("verdict.json", "{}")
        made.writestr("0", bytes(range(256)) * 200)
        for i in range(1, 400):
            info = zipfile.ZipInfo(str(i))
            first = made.getinfo("0")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.compress_size, info.file_size = first.compress_size, first.file_size
            info.compress_type = first.compress_type
            made.filelist.append(info)
            made.NameToInfo[info.filename] = info
    with pytest.raises(BundleError, match="too much for a bundle"):
        open_bundle(path).__enter__()


@pytest.mark.parametrize("limit", ["ENTRIES", "DIRECTORY"])
def test_too_long_a_list_of_members_is_refused(tmp_path, unpacked, monkeypatch, limit):
    path = hostile(tmp_path / "a.zip", *((f"{i}", "") for i in range(100)))
    monkeypatch.setattr(archive, limit, 50)
    with pytest.raises(BundleError, match="more than 50"):
        open_bundle(path).__enter__()


def test_a_list_of_members_in_zip64_is_measured_too(tmp_path, unpacked, monkeypatch):
    path = hostile(tmp_path / "a.zip", *((f"{i}", "") for i in range(70_000)))
    end = path.read_bytes()[-22:]
    assert end[10:12] == b"\xff\xff"  # more than the plain record can count
    monkeypatch.setattr(archive, "DIRECTORY", 3_000_000)
    content = bytearray(path.read_bytes())
    content[-10:-6] = (100).to_bytes(4, "little")  # and the plain record lies about its size
    path.write_bytes(content)
    with pytest.raises(BundleError, match="a list of members of 3,"):
        open_bundle(path).__enter__()


def test_what_does_not_fit_on_the_disk_is_refused_with_what_to_do(made, tmp_path, unpacked):
    pack_bundle(made / "bundle", tmp_path / "a.zip")
    none_left = shutil.disk_usage(tmp_path)._replace(free=10)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda place: none_left)
        with pytest.raises(BundleError, match="has room for 10") as caught:
            open_bundle(tmp_path / "a.zip").__enter__()
    assert "TMPDIR" in caught.value.fix


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1, -30, -3000])
def test_a_cut_zip_file_is_refused(made, tmp_path, unpacked, cut):
    pack_bundle(made / "bundle", tmp_path / "a.zip")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[:cut])
    with pytest.raises(BundleError, match=r"zip file|unpacked") as caught:
        open_bundle(tmp_path / "a.zip").__enter__()
    assert caught.value.where == str(tmp_path / "a.zip")


def test_a_damaged_member_is_named(made, tmp_path, unpacked):
    pack_bundle(made / "bundle", tmp_path / "a.zip")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.find((made / "bundle/models/same/model.onnx").read_bytes())
    content[at + 5] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BundleError, match=r"models/.*model.onnx cannot be unpacked: Bad CRC"):
        open_bundle(tmp_path / "a.zip").__enter__()


def test_an_encrypted_member_is_refused(tmp_path, unpacked):
    path = hostile(tmp_path / "a.zip", ("secret", "x"))
    content = bytearray(path.read_bytes())
    content[content.rfind(b"secret") - 46 + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="secret is encrypted"):
        open_bundle(path).__enter__()
