import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot.core.errors import BundleError
from surefoot.store import Store, whole_file, whole_folder


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs some code and says `ready` before it waits."""
    head = "import sys, time\nfrom pathlib import Path\nfrom surefoot.store import *\n"
    head += "root = Path(sys.argv[1])\ndef ready():\n    print('ready', flush=True)\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_work_is_done_once_and_found_again(tmp_path):
    calls = []

    def write(folder: Path) -> None:
        calls.append(folder)
        (folder / "a").write_text("done")

    store = Store(tmp_path / "run")
    one = store.make("cells", {"x": 1, "y": 2}, write)
    assert store.make("cells", {"y": 2, "x": 1}, write) == one
    assert store.make("cells", {"x": 2, "y": 2}, write) != one
    assert len(calls) == 2
    assert (one / "a").read_text() == "done"
    assert json.loads((one / ".inputs.json").read_text()) == {"x": 1, "y": 2}


def test_work_that_fails_leaves_nothing(tmp_path):
    def write(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("mid-way")

    with pytest.raises(ValueError, match="mid-way"):
        Store(tmp_path).make("cells", {}, write)
    assert not list((tmp_path / "cells").iterdir())


def test_what_a_killed_run_left_is_never_seen_and_swept_by_the_next(tmp_path):
    code = """
def write(folder):
    (folder / "half").write_text("x"); ready(); time.sleep(60)
store = Store(root)
with store.locked():
    store.make("cells", {"x": 1}, write)
"""
    killed = start(code, tmp_path)
    store = Store(tmp_path)
    assert not store.path("cells", {"x": 1}).exists()
    assert len(list(tmp_path.glob("cells/*.part"))) == 1
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finished = tmp_path / "models" / "abc" / "shard.part"
    finished.parent.mkdir(parents=True)
    finished.touch()
    with store.locked():
        assert not list(tmp_path.glob("cells/*"))
    assert finished.exists(), "a file of finished work was taken for a left-over"


def test_a_second_process_gets_one_line_that_names_the_first(tmp_path):
    holder = start("with Store(root).locked():\n    ready(); time.sleep(60)", tmp_path)
    try:
        with (
            pytest.raises(BundleError, match=rf"another run \(process {holder.pid}\) .*--out"),
            Store(tmp_path).locked(),
        ):
            pytest.fail("two processes hold one folder")
    finally:
        holder.kill()
        holder.communicate()
    with Store(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("block", ["whole_folder(root / 'out')", "whole_file(root / 'out')"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, block):
    folder = "folder" in block
    if folder:
        (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "a" if folder else tmp_path / "out"
    old.write_text("old")
    code = f"""
import resource
from surefoot.core.errors import BundleError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
ready()
try:
    with {block} as part:
        ({"part / 'a'" if folder else "part"}).write_bytes(b"x" * 5000)
except BundleError as error:
    print(error)
"""
    with start(code, tmp_path) as process:
        assert "cannot write: File too large; make room" in process.stdout.read()
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_whole_folder_takes_the_place_of_an_older_one(tmp_path):
    for text in ("old", "new"):
        # Left by a crash between the two renames.
        (tmp_path / "out.old.part" / "left").mkdir(parents=True, exist_ok=True)
        with whole_folder(tmp_path / "out") as part:
            (part / text).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    assert not (tmp_path / "out.part").exists()


def test_a_whole_file_appears_at_the_end(tmp_path):
    final = tmp_path / "deep" / "a.json"
    with whole_file(final) as part:
        part.write_text("1")
        assert not final.exists()
    assert final.read_text() == "1"
    assert list(final.parent.iterdir()) == [final]


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path):
    (tmp_path / "run").touch()
    with (
        pytest.raises(BundleError, match=r"run: cannot write: .*--out"),
        Store(tmp_path / "run").locked(),
    ):
        pytest.fail("a file is no folder")


def test_digests_are_remembered_until_the_file_changes(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    file = data / "a.csv"
    file.write_text("one")
    store = Store(tmp_path / "run")
    first, whole = store.digest(file), store.digest(data)
    store.keep_digests()

    kept = json.loads((tmp_path / "run" / "digests.json").read_text())
    kept[str(file)][3] = "remembered"
    (tmp_path / "run" / "digests.json").write_text(json.dumps(kept))
    assert Store(tmp_path / "run").digest(file) == "remembered"

    time.sleep(0.01)
    file.write_text("two")
    again = Store(tmp_path / "run")
    assert again.digest(file) not in (first, "remembered")
    assert again.digest(data) != whole
    file.rename(data / "b.csv")
    assert again.digest(data) not in (whole, store.digest(data.parent))


def test_broken_memory_is_forgotten(tmp_path):
    (tmp_path / "digests.json").write_text("{ half")
    (tmp_path / "a").write_text("one")
    assert len(Store(tmp_path).digest(tmp_path / "a")) == 64
