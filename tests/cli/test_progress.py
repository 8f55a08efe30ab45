from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from surefoot.cli import progress
from surefoot.cli.progress import Lines, shown


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, in place of the one that the module reads."""
    hand = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


def on_a_terminal(code):
    """What code shows on stderr when that is a terminal, and what it prints on stdout."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-c", f"from surefoot.cli.progress import shown\n{code}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as done:
        os.close(theirs)
        seen = b""
        while block := _read(ours):
            seen += block
        out = done.stdout.read()
    os.close(ours)
    assert done.returncode == 0, seen
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()), out.decode()


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_without_a_terminal_progress_is_plain_lines_on_stderr(capfd):
    with shown() as watch:
        assert isinstance(watch, Lines)
        watch.start("int8 on main", 100)
        watch.advance(50)
        watch.note("[int8] could not be made")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "int8 on main\n[int8] could not be made\n"


def test_a_line_each_ten_seconds_says_how_long_it_takes_yet(clock, capfd):
    lines = Lines()
    lines.start("int8 on main", 4000)
    for _ in range(20):
        clock.now += 1.25
        lines.advance(50)
    # By hand: 400 rows in 10 s leave 3,600 at 40 a second; after 20 s 3,200 are left.
    assert capfd.readouterr().err.splitlines() == [
        "int8 on main",
        "int8 on main: 400 of 4,000, about 90 s left",
        "int8 on main: 800 of 4,000, about 80 s left",
    ]


def test_quick_work_prints_its_title_alone(clock, capfd):
    lines = Lines()
    lines.start("reading data", 10_000)
    for _ in range(10_000):
        clock.now += 0.0009
        lines.advance()
    assert capfd.readouterr().err == "reading data\n"


def test_the_next_piece_of_work_starts_its_own_clock_and_count(clock, capfd):
    lines = Lines()
    lines.start("first", 10)
    clock.now += 9
    lines.advance(9)
    lines.start("second", 10)
    clock.now += 9
    lines.advance(1)
    clock.now += 3
    lines.advance(1)
    assert capfd.readouterr().err.splitlines() == [
        "first",
        "second",
        "second: 2 of 10, about 48 s left",
    ]


def test_work_that_has_not_got_anywhere_promises_no_time(clock, capfd):
    lines = Lines()
    lines.start("making int8", 3)
    clock.now += 60
    lines.advance(0)
    assert capfd.readouterr().err == "making int8\n"
    lines.advance(3)
    assert capfd.readouterr().err == "making int8: 3 of 3, about 0 s left\n"


def test_a_terminal_shows_a_bar_with_the_count_on_stderr_alone():
    seen, out = on_a_terminal("""
import time
with shown() as watch:
    watch.start("baseline on main", 40)
    watch.advance(10)
    time.sleep(0.3)
    watch.start("int8 on main", 8)
    watch.advance()
    watch.advance(6)
    time.sleep(0.3)
print("the result")
""")
    assert "baseline on main" in seen
    assert "10/40" in seen
    assert re.search(r"int8 on main +\S+.* 7/8", seen)
    assert out == "the result\n"


def test_a_note_stays_on_the_terminal_word_by_word():
    seen, _ = on_a_terminal("""
with shown() as watch:
    watch.start("making int8", 2)
    watch.note("[bold]int8[/] could not be made: {'a': 1}")
""")
    assert "[bold]int8[/] could not be made: {'a': 1}\r\n" in seen


def test_an_error_under_the_bar_is_not_swallowed():
    seen, _ = on_a_terminal("""
try:
    with shown() as watch:
        watch.start("making int8", 2)
        raise ValueError("mid-way")
except ValueError as error:
    print("caught", error, file=__import__("sys").stderr)
""")
    assert seen.rstrip().endswith("caught mid-way")
