"""What was found out about a bundle, in words: the word, the counts, and who shares a line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from surefoot.core.claims import Claim, Fault, Verification
from surefoot.core.drift import CellDrift, Change, Drift, Sample
from surefoot.core.evidence import Repeat
from surefoot.report.verify import MOST, TITLES, verification_exit_code, verification_lines

HARM = "\x1b[2J\u202emain\nREPRODUCED"


def claim(subject="answers on main", status="REPRODUCED", basis="again", **more):
    known = {"candidate": "int8", "there": "0.9", "here": "0.9"}
    return Claim(**known | {"basis": basis, "subject": subject, "status": status} | more)


def found_with(*claims, **more):
    known = {"faults": (), "files": 12, "models": ("baseline", "int8"), "signature": "not signed"}
    return Verification(**known | {"claims": claims} | more)


def cell(status, seen=None):
    return CellDrift(candidate="int8", place="main", status=status, seen=seen)


def drift(*cells, floor="int8"):
    again = Repeat(rows=1200, flips=3, largest=0.25)
    return Drift(environment=(), batch=8, cells=cells, floors=((floor, again),))


@pytest.mark.parametrize(
    ("claims", "code", "word"),
    [
        ([claim()], 0, "REPRODUCED"),
        ([claim(), claim("latencies", "NOT RUN")], 0, "REPRODUCED"),  # no cell
        ([claim(), claim("answers on far", "NOT RUN")], 3, "NOT RUN"),
        ([claim(), claim("answers on far", "NOT RUN", candidate="big")], 0, "REPRODUCED"),
        ([claim(), claim("answers on far", "DIFFERS")], 1, "DIFFERS"),
        ([claim("costs", "DIFFERS", basis="files"), claim()], 1, "DIFFERS"),
        ([claim(status="NOT RUN")], 3, "NOT RUN"),
        ([claim(basis="files")], 3, "NOT RUN"),  # read, and nothing was run
        ([claim("accuracy on main")], 3, "NOT RUN"),
        ([claim(candidate="big")], 3, "NOT RUN"),  # a model that the bundle does not hold
        ([claim(), claim("verdict", "NOT RUN", basis="files")], 3, "NOT RUN"),
        ([claim(), claim("costs", "NOT RUN", basis="files", candidate="")], 0, "REPRODUCED"),
        ([], 3, "NOT RUN"),
    ],
)
def test_the_word_is_that_of_the_exit_code(claims, code, word):
    found = found_with(*claims)
    assert verification_exit_code(found) == code
    lines = verification_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0].startswith(f"{word}  ")


def test_the_summary_counts_what_was_looked_into():
    statuses = ["REPRODUCED"] * 5 + ["DIFFERS"] * 2 + ["NOT RUN"] * 4
    found = found_with(*(claim(f"accuracy on {i}", s) for i, s in enumerate(statuses)))
    assert verification_lines(found)[0] == (
        "DIFFERS  5 of 7 claims that were looked into hold, 2 differ, 4 were not run"
    )


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "NOT INTACT  1 file of the bundle is not as it was written"),
        (2, "NOT INTACT  2 files of the bundle are not as it was written"),
        (1234, "NOT INTACT  1,234 files of the bundle are not as it was written"),
    ],
)
def test_files_that_are_not_whole_are_named_and_nothing_else_is_said(count, said):
    faults = tuple(Fault(file=f"cells/{i}.parquet", what="changed") for i in range(count))
    found = found_with(claim(), faults=faults)
    assert verification_exit_code(found) == 1
    first, empty, *named, gap, last = verification_lines(found)
    assert (first, empty, gap, last) == (said, "", "", said)
    assert named[0] == "changed: cells/0.parquet"
    assert len(named) == min(count, MOST + 1)
    if count > MOST:
        assert named[-1] == f"and {count - MOST:,} more"


def test_just_as_many_faults_as_are_listed_leave_none_out():
    faults = tuple(Fault(file=str(i), what="missing") for i in range(MOST))
    assert not any("more" in line for line in verification_lines(found_with(faults=faults)))


def test_a_fault_says_why():
    fault = Fault(file="manifest.json", what="cannot be read", why="no JSON")
    assert verification_lines(found_with(faults=(fault,)))[2] == (
        "cannot be read: manifest.json: no JSON"
    )


def test_claims_stand_by_how_they_were_looked_into():
    found = found_with(
        claim(basis="recipe", subject="the model"), claim(), claim(basis="files", subject="verdict")
    )
    lines = verification_lines(found)
    places = [lines.index(title) for title in TITLES.values()]
    assert places == sorted(places)
    only = verification_lines(found_with(claim()))
    assert [title in only for title in TITLES.values()] == [False, True, False]


def test_claims_that_hold_share_a_line_and_those_that_differ_have_their_own():
    lines = verification_lines(
        found_with(
            *(claim(f"accuracy on {i}") for i in range(4)),
            claim("verdict", candidate="int4"),
            claim("log_loss on main", "DIFFERS", here="0.8", why="beyond 1e-6"),
            claim("flips on main", "REPRODUCED", here="0.91", why="within the floor"),
            *(claim(f"latency {i}", "NOT RUN", why="times are not asked again") for i in range(2)),
            claim("memory", "NOT RUN", why="another reason"),
        )
    )
    start = lines.index(TITLES["again"]) + 3
    table = [" ".join(line.split()) for line in lines[start : lines.index("", start)]]
    assert table == [
        "DIFFERS int8 log_loss on main 0.9 0.8 beyond 1e-6",
        "REPRODUCED int8 flips on main 0.9 0.91 within the floor",
        "REPRODUCED int8 accuracy on 0 and 3 more",
        "REPRODUCED int4 verdict",
        "NOT RUN int8 latency 0 and 1 more times are not asked again",
        "NOT RUN int8 memory another reason",
    ]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ((), None),
        ((cell("not run"),), None),
        ((cell("same"), cell("not run")), "together they moved 0 of 1 cells"),
        ((cell("moved"), cell("same"), cell("moved")), "together they moved 2 of 3 cells"),
    ],
)
def test_what_another_environment_did_is_counted(cells, said):
    change = Change(what="numpy", there="2.0", here="2.1")
    lines = verification_lines(found_with(claim(), environment=(change,), drift=drift(*cells)))
    assert any(line.split() == ["numpy", "2.0", "2.1"] for line in lines)
    assert [line for line in lines if line.startswith("together")] == (
        [f"{said} beyond the noise floor"] if said else []
    )
    same = verification_lines(found_with(claim(), drift=drift(*cells)))
    assert "the environment is the same" in same


def test_files_signature_notes_and_floors_are_told():
    found = found_with(claim(), files=1234, notes=("its date is to come",), drift=drift())
    lines = verification_lines(replace(found, signature="signed by ab12"))
    assert "1,234 files are as the manifest says" in lines
    assert "signed by ab12" in lines
    assert "warning: its date is to come" in lines
    floor = "noise floor: asked twice, int8 gave 3 of 1,200 rows another answer"
    assert any(line.startswith(floor) for line in lines)
    assert not any("--data" in line for line in lines)
    assert any("--data says where" in line for line in verification_lines(found_with(claim())))


def test_a_sample_says_the_worst_of_what_it_might_have_missed():
    cells = (cell("same", 0.01), cell("same", 0.035), cell("not run"))
    found = found_with(claim(), sample=Sample(rows=2000, seed=7), drift=drift(*cells))
    (line,) = (line for line in verification_lines(found) if "seed 7" in line)
    assert line.startswith("of each cell 2,000 rows or more were asked")
    assert "3.5% of the rows" in line
    whole = replace(found, sample=None)
    assert not any("19 of 20" in line for line in verification_lines(whole))


def test_words_of_others_stay_on_their_line_and_act_upon_nothing():
    texts = {"candidate": HARM, "there": HARM, "here": "0.1", "why": HARM}
    change = Change(what="cpu", there=HARM, here=HARM)
    whole = found_with(
        claim(HARM, "DIFFERS", **texts), claim(HARM, candidate=HARM), claim(HARM, "NOT RUN"),
        environment=(change,), signature=HARM, notes=(HARM,), drift=drift(floor=HARM),
    )  # fmt: skip
    broken = found_with(faults=(Fault(file=HARM, what="added", why=HARM),))
    for found in (whole, broken):
        lines = verification_lines(found)
        assert not any("\x1b" in line or "\u202e" in line for line in lines)
        assert "\\x1b[2J\\u202emain\\nREPRODUCED" in "\n".join(lines)
        assert not any(line == "REPRODUCED" for line in lines)
