"""Records of several processes through one pipe."""

from __future__ import annotations

import os

import pytest

from surefoot.serve.records import LONGEST, Records


def test_records_of_several_processes_come_whole():
    records = Records()
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                for i in range(500):
                    assert records.send(number, f"{number}:{i}".encode())
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    found = []
    while batch := list(records.receive()):
        found += batch
    records.close()
    assert sorted(found) == sorted(
        (number, f"{number}:{i}".encode()) for number in range(4) for i in range(500)
    )


def test_a_full_pipe_takes_no_more_and_blocks_nobody():
    records = Records()
    sent = 0
    while records.send(1, b"x" * LONGEST):
        sent += 1
    found = []
    while batch := list(records.receive()):
        found += batch
    assert len(found) == sent > 500
    assert set(found) == {(1, b"x" * LONGEST)}
    assert records.send(2, b"")
    assert list(records.receive()) == [(2, b"")]
    with pytest.raises(ValueError, match="a record of"):
        records.send(1, b"x" * (LONGEST + 1))
    records.close()
