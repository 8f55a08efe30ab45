import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from surefoot.core.errors import BundleError
from surefoot.store import PART, Store, whole_file, whole_folder


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
    assert not list(tmp_path.iterdir())


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
    assert len(list(tmp_path.glob(f".*{PART}"))) == 1
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with store.locked():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_files_of_the_user_are_left_alone(tmp_path):
    mine = [tmp_path / name for name in ("a.mkv.part", "sub/z.part", "x.part/y", ".hidden.part")]
    for file in mine:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    with Store(tmp_path).locked():
        Store(tmp_path).make("sub", {}, lambda folder: (folder / "a").touch())
    assert [file.read_text() for file in mine] == ["mine"] * 4


@pytest.mark.parametrize("names", [["a.js"], ["verdict.json"], ["manifest.json", "plan.toml"]])
def test_a_folder_that_surefoot_did_not_write_is_not_replaced(tmp_path, names):
    for name in names:
        (tmp_path / "bundle" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bundle" / name).write_text("mine")
    with (
        pytest.raises(
            BundleError, match=r"bundle: lies there already, .*another folder with --out"
        ),
        whole_folder(tmp_path / "bundle"),
    ):
        pytest.fail("it was about to be replaced")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == names
    assert len(list(tmp_path.iterdir())) == 1


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "bundle").mkdir()
    with whole_folder(tmp_path / "bundle") as part:
        (part / "a").touch()
    assert (tmp_path / "bundle" / "a").exists()


def fail_with(error: OSError) -> Callable[[Path], None]:
    """Work that fails with an error; {part} in its file name is the folder to write to."""

    def write(folder: Path) -> None:
        if isinstance(error.filename, str):
            error.filename = error.filename.replace("{part}", str(folder))
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "{part}/a"), "Permission denied"),
        (OSError("100 requested and 7 written"), "100 requested and 7 written"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device")]), "No space left"),
    ],
)
def test_an_error_of_the_place_is_one_of_writing(tmp_path, error, reason):
    with pytest.raises(BundleError, match=f"cannot write: .*{reason}.*; make room"):
        Store(tmp_path).make("models", {}, fail_with(error))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/a"),
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/a"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/train.csv"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "{part}/a"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        OSError("the model is no archive"),
    ],
    ids=str,
)
def test_any_other_error_of_the_work_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        Store(tmp_path).make("models", {}, fail_with(error))
    assert caught.value is error
    assert not list(tmp_path.iterdir())


def test_a_place_that_may_not_be_written_to_is_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="cannot write: Permission denied"):
        Store(tmp_path).make("cells", {}, Path.touch)


def test_damaged_work_is_discarded_and_made_again(tmp_path):
    store = Store(tmp_path / "run")
    folder = store.make("cells", {}, lambda folder: (folder / "a").write_text("good"))
    (folder / "a").write_text("")
    store.discard(folder)
    store.discard(folder)  # another process may have been first
    assert not folder.exists()
    again = store.make("cells", {}, lambda folder: (folder / "a").write_text("good"))
    assert (again / "a").read_text() == "good"
    assert [path.name for path in store.root.iterdir()] == ["cells"]
    for other in (tmp_path, tmp_path / "run" / "cells", tmp_path / "x" / "cells" / "abc"):
        with pytest.raises(BundleError, match="no finished work of this folder"):
            store.discard(other)
    assert again.exists()


def test_work_is_on_the_disk_before_it_has_its_name(tmp_path):
    """What a loss of power leaves cannot be tried out; the order of the system's calls can."""
    code = """
import os, sys
from pathlib import Path
from surefoot.store import PART, Store, whole_file
calls, named = [], lambda number: Path(os.readlink(f"/proc/self/fd/{number}")).name
fsync, replace = os.fsync, os.replace
def listen(event, arguments):
    if event == "os.rename":
        calls.append(f"rename {Path(arguments[1]).name}")
sys.addaudithook(listen)
def told(number):
    calls.append(f"sync {named(number)}")
    fsync(number)
os.fsync = told
root = Path(sys.argv[1])
def write(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "a").write_text("x")
done = Store(root).make("cells", {}, write).name
print(done, *calls, sep="\\n")
calls.clear()
with whole_file(root / "b.json") as part:
    part.write_text("x")
print(*calls, sep="\\n")
"""
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    name, *calls = done.stdout.splitlines()
    part = f".cells-{name}{PART}"
    at = calls.index(f"rename {name}")
    assert {*calls[:at]} == {f"sync {p}" for p in ("a", "deep", ".inputs.json", part)}
    assert calls[at + 1 :] == [
        "sync cells", f"sync .b.json{PART}", "rename b.json", "sync run",
    ]  # fmt: skip


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
        (tmp_path / "out" / "verdict.json").touch()
        (tmp_path / "out" / "plan.toml").touch()
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
        (tmp_path / f".old.out{PART}" / "left").mkdir(parents=True, exist_ok=True)
        with whole_folder(tmp_path / "out") as part:
            for name in ("verdict.json", "manifest.json", text):
                (part / name).touch()
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["manifest.json", "new", "verdict.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


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
