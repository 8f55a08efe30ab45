"""The decision log on real disks and processes: full ones, killed ones, and clocks that jump."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from surefoot.core.errors import BundleError
from surefoot.serve import decisions
from surefoot.serve.decisions import (
    Decision,
    DecisionIds,
    DecisionLog,
    Label,
    input_hash,
    read_key,
)
from surefoot.serve.rotation import read_decisions, rotate, tallied
from surefoot.serve.segments import Rotation, Segments, rotation_command, taken

IDS = DecisionIds()
ONE = Decision(
    id="", time=1e9, request="r", route="lean", label="x", confidence=0.9, promise="held", epoch=0,
    model="f" * 64, input="a text", ms=1.5,
)  # fmt: skip


def some(n: int, **changes: object) -> list[Decision]:
    return [replace(ONE, id=IDS.next(), **changes) for _ in range(n)]


def logged(folder: Path, found: list[Decision], **options: object) -> None:
    log = DecisionLog(folder, 0, **options)
    assert all(log.add(one) for one in found)
    assert log.close() == 0


def ids_of(found: list[Decision]) -> list[str]:
    return [one.id for one in found]


def test_ids_sort_as_they_were_given_whatever_the_clock_does():
    hour = 3_600 * 10**9
    ticks = iter([5 * hour, 5 * hour, 5 * hour + 10**6, 4 * hour, 4 * hour + 1, 6 * hour] * 50)
    ids = DecisionIds(lambda: next(ticks))
    given = [ids.next() for _ in range(300)]
    assert given == sorted(given)
    assert len(set(given)) == 300
    assert all(one[14] == "7" and one[19] in "89ab" for one in given)


def test_an_id_tells_when_it_was_given():
    said = int(IDS.next().replace("-", "")[:12], 16)
    assert abs(said / 1000 - time.time()) < 60


def test_ids_of_threads_and_processes_are_apart():
    code = "from surefoot.serve.decisions import DecisionIds as D; d = D()\n"
    code += "print(*(d.next() for _ in range(500)))"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)
    ]
    given = [one for run in runs for one in run.communicate()[0].split()]
    assert len(set(given)) == 1_000


def test_what_is_added_is_read_before_and_after_rotation(tmp_path):
    found = some(500)
    log = DecisionLog(tmp_path / "log", 3)
    assert all(log.add(one) for one in found)
    assert log.close() == 0
    before = read_decisions(tmp_path / "log")
    done = rotate(tmp_path / "log")
    after = read_decisions(tmp_path / "log")
    assert (done.segments, done.lines, done.half) == (1, 500, 0)
    for name, column in before.items():
        assert (column == after[name]).all()
    assert before["id"].tolist() == ids_of(found)
    assert before["ms"].tolist() == [1.5] * 500
    assert not [*(tmp_path / "log").glob("*.jsonl")]
    assert rotate(tmp_path / "log").segments == 0


def test_a_decision_without_a_confidence_is_kept_as_one(tmp_path):
    found = [*some(2, confidence=np.nan), *some(1)]
    logged(tmp_path, found)
    for _ in range(2):
        read = read_decisions(tmp_path)
        assert read["id"].tolist() == ids_of(found)
        assert read["confidence"].dtype == np.float64
        assert np.array_equal(read["confidence"], [np.nan, np.nan, 0.9], equal_nan=True)
        held = tallied(tmp_path)
        assert (held.dropped, [one.n for one in held.answers]) == (0, [3])
        rotate(tmp_path)
    (table,) = tmp_path.glob("*.parquet")
    assert not [*tmp_path.glob("*.jsonl")]
    assert table.stem.startswith("decisions-")


def test_a_segment_that_grows_is_read_and_left_alone(tmp_path):
    log = DecisionLog(tmp_path, 0)
    found = some(20)
    assert all(log.add(one) for one in found)
    deadline = time.monotonic() + 30
    while not [*tmp_path.glob("decisions-*")] and time.monotonic() < deadline:
        time.sleep(0.01)
    while len(read_decisions(tmp_path)["id"]) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rotate(tmp_path).segments == 0
    assert read_decisions(tmp_path)["id"].tolist() == ids_of(found)
    assert log.close() == 0
    assert rotate(tmp_path).segments == 1


def test_segments_end_by_size_and_by_age(tmp_path):
    small = Segments(tmp_path, "small", size=100)
    for _ in range(4):
        small.append(b"x" * 59 + b"\n")
    small.finish()
    assert [file.stat().st_size for file in sorted(tmp_path.glob("small-*"))] == [120, 120]
    old = Segments(tmp_path, "old", seconds=0.0)
    old.append(b"a\n")
    old.append(b"b\n")
    old.finish()
    assert len([*tmp_path.glob("old-*")]) == 2


def test_a_folder_that_is_taken_away_comes_back(tmp_path):
    import shutil

    segments = Segments(tmp_path / "log", "one")
    segments.append(b"a\n")
    shutil.rmtree(tmp_path / "log")
    segments.append(b"b\n")
    segments.finish()
    assert [file.read_bytes() for file in (tmp_path / "log").iterdir()] == [b"b\n"]


KILLED = """
import os, sys
from dataclasses import replace
from pathlib import Path
from tests.serve.test_decisions import ONE, some
from surefoot.serve.decisions import DecisionLog
log = DecisionLog(Path(sys.argv[1]), 1)
for one in some(300):
    log.add(one)
while log.waits:
    pass
file = log._decisions._file
os.write(file, b'{"id":"half of a li')
os.kill(os.getpid(), 9)
"""


def test_a_killed_worker_leaves_half_a_line_which_is_counted(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], cwd=Path(__file__).parents[2], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    # Its lock went with it.
    (segment,) = tmp_path.glob("decisions-*.jsonl")
    with taken(segment) as free:
        assert free
    assert tallied(tmp_path).dropped == 1
    done = rotate(tmp_path)
    assert (done.lines, done.half) == (301, 1)
    found = tallied(tmp_path)
    assert (found.dropped, found.answers[0].n) == (1, 300)


def test_a_rotation_that_was_ended_half_way_is_finished_by_the_next(tmp_path):
    logged(tmp_path, some(50))
    (segment,) = tmp_path.glob("decisions-*.jsonl")
    content = segment.read_bytes()
    rotate(tmp_path)
    segment.write_bytes(content)  # as if it had ended before this was taken away
    assert tallied(tmp_path).answers[0].n == 50
    assert rotate(tmp_path).lines == 0
    assert not segment.exists()
    assert tallied(tmp_path).answers[0].n == 50


def test_rotation_is_a_process_of_its_own_and_says_what_is_wrong(tmp_path):
    logged(tmp_path, some(50))
    said = subprocess.run(rotation_command(tmp_path), capture_output=True, text=True, check=True)
    assert said.stdout == "1 segments, 50 lines, 0 half ones\n"
    assert rotation_command(tmp_path) == rotation_command(tmp_path / "gone") == []
    gone = [*said.args[:-1], str(tmp_path / "gone")]
    said = subprocess.run(gone, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "No such file" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_queue_that_is_full_drops_and_the_log_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(decisions, "HELD", 100)
    gate = threading.Event()
    log = DecisionLog(tmp_path, 0)
    append = log._decisions.append
    monkeypatch.setattr(log._decisions, "append", lambda lines: gate.wait(60) and append(lines))
    began = time.monotonic()
    added = [log.add(one) for one in some(5_000)]
    took = time.monotonic() - began
    assert took < 10  # a disk that does not answer was waited for by nobody
    assert not log.add_labels([Label(id=IDS.next(), label="x")] * 101)
    gate.set()
    assert log.close(60) == added.count(False) > 4_000
    found = tallied(tmp_path)
    assert found.dropped == added.count(False)
    assert found.answers[0].n == added.count(True)


def test_large_inputs_are_held_by_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(decisions, "HELD_BYTES", 1_010)
    gate = threading.Event()
    log = DecisionLog(tmp_path, 0, inputs="rows")
    append = log._decisions.append
    monkeypatch.setattr(log._decisions, "append", lambda lines: gate.wait(60) and append(lines))
    added = [log.add(one) for one in some(20, input=np.zeros((10, 10), np.uint8))]
    assert added == [True] * 10 + [False] * 10
    gate.set()
    assert log.close(60) == 10


LIMITED = """
import os, resource, sys, time
from pathlib import Path
from tests.serve.test_decisions import some
from surefoot.serve import decisions
from surefoot.serve.decisions import DecisionLog
decisions.RETRY_S, decisions.HELD = 0.01, 200
folder = Path(sys.argv[1])
log = DecisionLog(folder, 0)
def wait(done):
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    assert done()
first = some(100)
assert all(log.add(one) for one in first)
wait(lambda: not log.waits)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
kept = []
while kept.count(False) < 10 and len(kept) < 100_000:
    kept += [log.add(one) for one in some(100)]
time.sleep(0.2)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
wait(lambda: not log.waits)
assert log.add(some(1)[0])
print(100 + sum(kept) + 1, kept.count(False), log.close())
"""


def test_files_that_may_grow_no_further_stop_nothing(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    kept, dropped, told = map(int, said.stdout.split())
    found = tallied(tmp_path)
    assert (found.answers[0].n, found.dropped) == (kept, dropped)
    assert dropped == told > 0
    for segment in tmp_path.glob("decisions-*.jsonl"):  # nor is there half a line anywhere
        for line in segment.read_bytes().splitlines():
            msgspec.json.decode(line)


@pytest.fixture
def tiny(tmp_path):
    """A disk of 512 kB, of which 32 are free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk can be mounted by root alone")
    (disk / "ballast").write_bytes(b"x" * 480 * 1024)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_nothing_and_is_written_to_when_there_is_room(tiny, monkeypatch):
    monkeypatch.setattr(decisions, "RETRY_S", 0.01)
    monkeypatch.setattr(decisions, "HELD", 300)
    log = DecisionLog(tiny / "log", 0)
    added = [log.add(one) for one in some(2_000)]
    assert False in added
    time.sleep(0.2)
    assert log.waits
    (tiny / "ballast").unlink()
    deadline = time.monotonic() + 60
    while log.waits and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.add(some(1)[0])
    assert log.close(60) == added.count(False)
    found = tallied(tiny / "log")
    assert (found.answers[0].n, found.dropped) == (added.count(True) + 1, added.count(False))
    for segment in (tiny / "log").glob("decisions-*.jsonl"):
        for line in segment.read_bytes().splitlines():
            msgspec.json.decode(line)


def test_a_disk_that_stays_full_does_not_hold_up_the_end(tiny):
    log = DecisionLog(tiny / "log", 0)
    assert all(log.add(one) for one in some(500))
    lost = log.close(60)
    assert not log.add(ONE)
    assert sum(one.n for one in tallied(tiny / "log").answers) + lost == 500
    assert lost > 0


def test_inputs_are_hashes_that_nobody_can_guess(tmp_path):
    logged(tmp_path / "a", some(2, input="yes"))
    logged(tmp_path / "b", some(1, input="yes"))
    (first, again), (other,) = (read_decisions(tmp_path / f)["input"] for f in "ab")
    assert first == again != other
    assert first == input_hash(read_key(tmp_path / "a"), "yes")
    for file in (tmp_path / "a").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert "yes" not in "".join(f.read_text() for f in (tmp_path / "a").iterdir())


def test_rows_are_written_as_they_are_where_that_is_asked_for(tmp_path):
    logged(tmp_path, [
        *some(1, input='a "text"\n'), *some(1, input=np.array([[1, 2], [3, 4]], np.uint8)),
        *some(1, input=np.array([0.5, -1.25], np.float32)),
    ], inputs="rows")  # fmt: skip
    assert not (tmp_path / "input-key").exists()
    found = read_decisions(tmp_path)["input"].tolist()
    assert found == ['a "text"\n', "[[1, 2], [3, 4]]", "[0.5, -1.25]"]


def test_hashes_of_numbers_tell_shapes_and_types_apart():
    rows = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32)]
    assert len({input_hash(b"k" * 32, row) for row in rows}) == 3


@pytest.mark.parametrize("content", ["", "xyz", "ab" * 4])
def test_a_key_that_is_none_is_named(tmp_path, content):
    (tmp_path / "input-key").write_text(content)
    with pytest.raises(BundleError, match="key"):
        DecisionLog(tmp_path, 0)


@pytest.mark.parametrize("inputs", ["hashes", "rows"])
def test_a_folder_that_can_be_none_is_named_at_once(tmp_path, inputs):
    (tmp_path / "log").write_text("a file")
    with pytest.raises(BundleError, match=r"log: no folder for a decision log: .*; name one under"):
        DecisionLog(tmp_path / "log", 0, inputs=inputs)


def test_labels_find_their_decisions_late_twice_or_never(tmp_path):
    found = [*some(10, label="x"), *some(10, label="y", route="baseline"), *some(5, label="")]
    log = DecisionLog(tmp_path, 0)
    assert all(log.add(one) for one in found)
    assert log.add_labels([Label(id=one.id, label="x") for one in found[:15]])
    assert log.close() == 0
    rotate(tmp_path)
    log = DecisionLog(tmp_path, 0)  # late ones, from another process, one of them a correction
    assert log.add_labels([Label(id=found[0].id, label="y"), Label(id=IDS.next(), label="x")])
    assert log.close() == 0
    columns = read_decisions(tmp_path)
    assert columns["truth"].tolist() == ["y", *["x"] * 14, *[""] * 10]
    told = tallied(tmp_path)
    assert (told.labels, told.unknown, told.corrected, told.dropped) == (17, 1, 1, 0)
    rates = {one.route: one for one in told.answers}
    assert (rates["lean"].accuracy.value, rates["lean"].accuracy.n) == (0.9, 10)
    assert (rates["baseline"].accuracy.value, rates["baseline"].accuracy.n) == (0.0, 5)


def test_the_verb_counts_and_names_what_is_no_log(cli, tmp_path):
    found = [*some(30), *some(10, route="baseline", promise="void: no time for the fallback")]
    log = DecisionLog(tmp_path / "log", 0)
    assert all(log.add(one) for one in found)
    assert log.add_labels([Label(id=one.id, label="x") for one in found[:20]])
    log.close()
    said = cli("decisions", str(tmp_path / "log"))
    assert said.code == 0, said.err
    assert "ffffffffffff  lean      held" in said.out
    assert "void: no time for the fallback  10         25.0%" in said.out
    assert "100.0% [83.2, 100.0]  20" in said.out
    assert "40 decisions from 2001-09-09" in said.out
    told = msgspec.json.decode(cli("decisions", str(tmp_path / "log"), "--json").out)
    assert sum(one["n"] for one in told["answers"]) == 40
    none = cli("decisions", str(tmp_path))
    assert none.code == 2
    assert "holds no decisions" in none.err
    (tmp_path / "log" / "decisions-0-1.parquet").write_bytes(b"no table")
    broken = cli("decisions", str(tmp_path / "log"))
    assert broken.code == 2
    assert "cannot be read" in broken.err


def test_two_writers_and_a_rotation_at_once_lose_nothing(tmp_path):
    logs = [DecisionLog(tmp_path, i) for i in range(2)]
    for log in logs:
        log._decisions.size = 20_000
    given: list[Decision] = []
    for _ in range(20):
        for log in logs:
            given += (now := some(50))
            assert all(log.add(one) for one in now)
        rotate(tmp_path)
        read = read_decisions(tmp_path)["id"].tolist()
        assert len(read) == len(set(read)) <= len(given)
    for log in logs:
        assert log.close() == 0
    rotate(tmp_path)
    assert read_decisions(tmp_path)["id"].tolist() == sorted(ids_of(given))
    assert len([*tmp_path.glob("*.parquet")]) > 4


def test_a_decision_costs_a_request_next_to_nothing(tmp_path):
    """The cost is measured in benchmarks/decision_log.py; here it is held far off."""
    log = DecisionLog(tmp_path, 0)
    found = some(2_000)
    began = time.thread_time()
    for one in found:
        log.add(one)
    assert (time.thread_time() - began) / 2_000 < 100e-6
    log.close()


def test_one_bad_file_in_the_folder_keeps_no_other_from_becoming_a_table(tmp_path):
    (tmp_path / "decisions-0-loop.jsonl").symlink_to("decisions-0-loop.jsonl")
    said = []
    rotation = Rotation(tmp_path, said.append)
    for _ in range(2):
        rotation.begin()
    (line,) = said  # it is said once
    assert "decisions-0-loop.jsonl: Too many levels of symbolic links; it is tried again" in line
    found = some(3)
    logged(tmp_path, found)
    assert rotation_command(tmp_path)
    with pytest.raises(OSError, match=r"symbolic links.*decisions-0-loop"):
        rotate(tmp_path)
    (table,) = tmp_path.glob("*.parquet")
    (tmp_path / "decisions-0-loop.jsonl").unlink()
    assert read_decisions(tmp_path)["id"].tolist() == ids_of(found)
    assert rotation_command(tmp_path) == []
    assert table.exists()


def test_what_is_no_file_is_no_segment_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "decisions-0-pipe.jsonl")
    (tmp_path / "labels-0-folder.jsonl").mkdir()
    assert rotation_command(tmp_path) == []
    logged(tmp_path, some(2))
    assert rotate(tmp_path).segments == 1
    assert len(read_decisions(tmp_path)["id"]) == 2


def test_a_rotation_that_cannot_be_started_is_tried_again(tmp_path, monkeypatch):
    logged(tmp_path, some(2))
    said = []
    rotation = Rotation(tmp_path, said.append)

    def full(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as now:
        now.setattr(subprocess, "Popen", full)
        rotation.begin()
        rotation.end()
    (line,) = said
    assert line.endswith(f"{tmp_path}: Resource temporarily unavailable; it is tried again")
    rotation.begin()
    deadline = time.monotonic() + 60
    while not [*tmp_path.glob("*.parquet")] and time.monotonic() < deadline:
        time.sleep(0.05)
    rotation.end()
    assert [*tmp_path.glob("*.parquet")]
    assert len(said) == 1


def test_a_segment_that_cannot_be_closed_ends_no_log(tmp_path, monkeypatch):
    log = DecisionLog(tmp_path, 0)
    log._decisions.seconds = 0.05
    close, failed = os.close, []

    def closing(file):
        close(file)
        if not failed and threading.current_thread() is log._thread:
            failed.append(file)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", closing)
    found = some(40)
    deadline = time.monotonic() + 60
    for i, one in enumerate(found):
        assert log.add(one)
        while i == 20 and not failed and time.monotonic() < deadline:
            time.sleep(0.01)
    assert log.close() == 0
    assert failed
    assert read_decisions(tmp_path)["id"].tolist() == ids_of(found)


def test_a_row_that_cannot_be_written_down_is_counted_and_takes_none_with_it(tmp_path):
    log = DecisionLog(tmp_path, 0, inputs="rows")
    found = some(9)
    for one in [*found[:4], *some(1, input="half a character: \ud800"), *found[4:]]:
        assert log.add(one)
    deadline = time.monotonic() + 60
    while log.waits and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.close() == 1
    assert read_decisions(tmp_path)["id"].tolist() == ids_of(found)
    assert tallied(tmp_path).dropped == 1


def test_whatever_is_wrong_with_a_batch_the_next_is_written(tmp_path, monkeypatch):
    log = DecisionLog(tmp_path, 0)
    found = some(2)
    with monkeypatch.context() as now:
        now.setattr(os, "write", lambda *_: 1 / 0)
        assert log.add(found[0])
        deadline = time.monotonic() + 60
        while log.waits and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not log.waits
    assert log.add(found[1])
    assert log.close() == 1
    assert read_decisions(tmp_path)["id"].tolist() == ids_of(found[1:])
