"""How a service begins and ends, in processes of its own."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.serve.live import COMMAND, ask, eventually, served, workers_of

from surefoot.core.errors import BundleError
from surefoot.core.hashing import hash_file
from surefoot.core.printable import printable
from surefoot.serve.children import OWN, fork
from surefoot.serve.copies import Copy
from surefoot.serve.prepare import copy_as_written, prepare
from surefoot.serve.prepared import read_prepared

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")


@pytest.fixture
def bundle(run, tmp_path):
    """A bundle that a test may harm."""
    shutil.copytree(run / "surefoot-run" / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


def started(folder, *options, **environment):
    return subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *options], cwd=folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_what_is_served_is_copied_and_the_threshold_is_chosen(bundle, tmp_path):
    (tmp_path / "copy").mkdir()
    found = prepare(bundle, tmp_path / "copy")
    assert found.lean == "same"
    assert found.routes == ("same", "baseline", "abstain")
    assert found.said[0].startswith("PROMISED")
    assert found.said[1] == "the verdict of same is PASS"
    assert read_prepared(tmp_path / "copy")[0].chosen is not None
    copied = {p.relative_to(tmp_path / "copy").as_posix() for p in (tmp_path / "copy").rglob("*")}
    assert {"models/same", "models/baseline", "verdict.json", "plan.json"} <= copied
    assert not [name for name in copied if name.startswith("cells")]
    for name in copied - {"served.msgpack"}:
        if (bundle / name).is_file():
            assert (tmp_path / "copy" / name).read_bytes() == (bundle / name).read_bytes()


@pytest.mark.parametrize(
    "name", ["verdict.json", "plan.json", "calibration/same.parquet", "models/same/signature.json"]
)
@pytest.mark.parametrize("harm", ["changed", "missing", "a link"])
def test_a_file_that_is_not_the_runs_is_refused_by_name(bundle, tmp_path, name, harm):
    (tmp_path / "copy").mkdir()
    file = bundle / name
    content = file.read_bytes()
    if harm == "changed":
        file.write_bytes(content + b" ")
    else:
        file.unlink()
        if harm == "a link":
            (tmp_path / "elsewhere").write_bytes(content)
            file.symlink_to(tmp_path / "elsewhere")
    said = f"{name}: {harm} since the bundle was written"
    if (name, harm) == ("verdict.json", "missing"):
        said = "holds no bundle that was written to its end"
    with pytest.raises(BundleError, match=said):
        prepare(bundle, tmp_path / "copy")


@pytest.mark.parametrize(
    "name",
    [
        "models/same/../../../elsewhere", "calibration/../../elsewhere", "models/same/./x",
        "models//same/x", "/etc/hostname", "", "..", "models/same/x\0y",
    ],
)  # fmt: skip
def test_a_manifest_that_names_what_lies_elsewhere_is_refused_by_name(bundle, tmp_path, name):
    target = tmp_path / "in" / "copy"
    target.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("secret")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest[name] = hash_file(tmp_path / "elsewhere")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"no name of a file of a bundle") as found:
        prepare(bundle, target)
    assert printable(name) in str(found.value)
    assert list(target.iterdir()) == []
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["models", "models/same", "calibration"])
def test_a_folder_that_is_a_link_is_refused_by_name(bundle, tmp_path, name):
    (tmp_path / "copy").mkdir()
    (bundle / name).rename(tmp_path / "elsewhere")
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=f"{name}: a link since the bundle was written"):
        prepare(bundle, tmp_path / "copy")


def test_what_the_service_does_not_open_is_not_looked_at(bundle, tmp_path):
    (tmp_path / "copy").mkdir()
    next((bundle / "cells").rglob("*.parquet")).unlink()
    assert prepare(bundle, tmp_path / "copy").lean == "same"


def test_a_manifest_that_cannot_be_read_serves_nothing(bundle, tmp_path):
    (tmp_path / "copy").mkdir()
    (bundle / "manifest.json").write_text("[]")
    with pytest.raises(BundleError, match=r"no manifest\.json that can be read"):
        prepare(bundle, tmp_path / "copy")


def test_a_copy_that_cannot_be_written_says_how_much_room_there_is(bundle, tmp_path):
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(BundleError, match=r"cannot be copied.*bytes free; TMPDIR"):
        copy_as_written(bundle, tmp_path, {"plan.json": "0" * 64}, ("plan.json",))


def test_a_changed_model_ends_the_start_with_one_line(run, bundle):
    model = bundle / "models" / "same" / "signature.json"
    model.write_text(model.read_text() + " ")
    said = subprocess.run(
        [*COMMAND, "serve", "--port", "0", str(bundle)], cwd=run, capture_output=True, text=True
    )
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert "models/same/signature.json: changed since the bundle was written" in line
    assert str(bundle) in line


def test_what_clears_old_temporary_files_leaves_the_copy_alone(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(run):
        (copy,) = tmp_path.glob("surefoot-serve-*")
        assert copy.stat().st_mode & 0o77 == 0
        held = os.open(copy, os.O_RDONLY)
        with pytest.raises(BlockingIOError):  # as systemd-tmpfiles asks before it removes anything
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(held)


def test_a_copy_is_removed_once(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    copy = Copy()
    (copy.folder / "file").write_text("")
    copy.remove()
    copy.remove()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match=r"no folder for a copy.*TMPDIR"):
        Copy()


def test_a_start_whose_processes_are_killed_ends_with_why(run, tmp_path):
    process = started(run, TMPDIR=str(tmp_path))
    while process.poll() is None:
        for child in workers_of_or_none(process):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    said = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 2
    assert "was killed by signal 9" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("surefoot-*"))


def workers_of_or_none(process):
    try:
        return workers_of(process)
    except OSError:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.2, 0.35, 0.5, 0.7])
def test_ended_while_it_begins_it_leaves_nothing(run, tmp_path, number, after):
    process = started(run, TMPDIR=str(tmp_path))
    time.sleep(after)
    children = workers_of_or_none(process)
    process.send_signal(number)
    code, said = process.wait(timeout=60), process.stderr.read()
    process.stderr.close()
    # Before it takes signals it ends as any process does.
    assert code in (0, -number, 130), said
    assert "Traceback" not in said
    eventually(lambda: not any(Path(f"/proc/{child}/exe").exists() for child in children))
    assert not list(tmp_path.glob("surefoot-*"))


def test_the_settings_of_the_file_and_the_options_that_win(run, tmp_path):
    (tmp_path / "serve.toml").write_text("workers = 2\nport = 1\nbody_bytes = 40")
    with served(run, "--config", str(tmp_path / "serve.toml")) as (process, port, _):
        assert port != 1
        assert len(workers_of(process)) == 2
        assert ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})[0] == 200
        status, text = ask(port, "POST", "/predict", {"inputs": [[0.125, 0.125, 0.125, 0.125]]})
        assert status == 413
        assert "40 bytes" in text


def test_a_mistake_in_the_settings_ends_the_start(run, tmp_path):
    (tmp_path / "serve.toml").write_text("worker = 2\nbody_bytes = 0")
    said = subprocess.run(
        [*COMMAND, "serve", "--config", str(tmp_path / "serve.toml")],
        cwd=run, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 2
    assert "worker: unknown key; did you mean 'workers'?" in said.stderr
    assert "body_bytes: must be at least 1, found 0" in said.stderr


def test_the_dockerfile_is_that_of_the_export(run):
    printed = subprocess.run(
        [*COMMAND, "serve", "--print-dockerfile"], cwd=run, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    subprocess.run(
        [*COMMAND, "export", "dockerfile", "surefoot-run", "--out", "image"], cwd=run, check=True,
        capture_output=True,
    )  # fmt: skip
    assert printed.stdout == (run / "image" / "Dockerfile").read_text()
    shutil.rmtree(run / "image")


def test_numbers_of_all_workers_are_one_sum(run):
    with served(run, "--workers", "3") as (_, port, _):
        for _ in range(30):
            assert ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})[0] == 200
        pages = {ask(port, "GET", "/metrics")[1] for _ in range(10)}
        assert len(pages) == 1
        (page,) = pages
        assert 'surefoot_requests_total{status="200"} 30' in page
        assert "surefoot_workers 3" in page


def test_a_process_that_cannot_be_started_leaves_nothing_behind(monkeypatch):
    def full():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", full)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(BlockingIOError):
        fork(lambda _: None, ())
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert not set(OWN) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_where_no_worker_can_be_started_it_is_said_and_tried_again(run):
    with served(run, "--workers", "2") as (process, port, _):
        known = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (4, known[1]))
        first, second = workers_of(process)
        os.kill(first, signal.SIGKILL)
        assert "another takes its place" in process.stderr.readline()
        assert "no process can be started: Too many open files; tried again in" in (
            process.stderr.readline()
        )
        process.send_signal(signal.SIGHUP)
        assert "reload refused" in process.stderr.readline()
        assert workers_of(process) == [second]
        assert ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})[0] == 200
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, known)
        eventually(lambda: "surefoot_workers 2" in ask(port, "GET", "/metrics")[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
