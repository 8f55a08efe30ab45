"""What a search tried, in lines for the terminal, from the shape that verdict.json has."""

from __future__ import annotations

import json

import pytest

from surefoot.bundle.encode import encode
from surefoot.core.estimate import Estimate
from surefoot.core.model import Cost, Recipe
from surefoot.core.search import ROUNDS, Searched, Spent, Trial, Variant
from surefoot.report.search import LISTED, RANK, search_lines

GAIN = Estimate(value=-0.012, low=-0.02, high=-0.004, level=0.9, method="Tango score", n=1234)


def trial(name, fate="dominated", *, cost=0.5, gain=GAIN, reason="", turn="free"):
    return Trial(
        name=name,
        round=turn,
        recipe=Recipe(name=name),
        runtime="onnxruntime",
        fate=fate,
        reason=reason,
        cost=cost if gain else None,
        size_bytes=2_500_000 if gain else None,
        gain=gain,
        flips=17,
        spent=Cost(),
    )


def spent(turn="free", *, cpu_s=120.0, before=1.0, after=0.5):
    return Spent(round=turn, tried=3, wall_s=61.0, cpu_s=cpu_s, before=before, after=after)


def searched(*trials, ablation=(), rounds=None, **changes):
    """A search as verdict.json holds it: what is written, read again."""
    given = {
        "baseline": "baseline",
        "quantity": "median latency at batch 1",
        "margin": 0.01,
        "metric": "accuracy",
        "rows": 4321,
        "trials": trials,
        "front": (),
        "leanest": "lean",
        "recommended": "lean",
        "finalists": (),
        "ablation": ablation,
        "rounds": (spent(),) if rounds is None else rounds,
        "stopped": "every idea was tried",
        "search_s": 100.0,
        "wall_s": 130.4,
        "overhead_s": 2.25,
    }
    found = Searched(**(given | changes))
    plain = {**encode(found), "finalists": ["lean"], "tried": found.tried}
    return json.loads(json.dumps(plain, allow_nan=False))


def line_of(lines, start):
    (found,) = (line for line in lines if line.startswith(start))
    return found


def test_nothing_where_no_search_was_asked_for():
    assert search_lines(None) == []
    assert search_lines({}) == []


def test_the_first_line_says_what_was_sought_and_the_last_what_it_took():
    first, *_, last = search_lines(searched(trial("lean", "finalist")))
    assert first == (
        "search on 4,321 selection rows, lean by median latency at batch 1, allowed 1 pp of"
        " accuracy; chosen, not proved:"
    )
    assert last == (
        "the search took 130 s, 2.2 s of them for itself; it ended because every idea was tried"
    )


def test_a_candidate_is_a_line_with_its_interval_in_points():
    found = line_of(search_lines(searched(trial("lean", "finalist"))), "lean")
    for word in ("finalist", "0.5", "2.50", "-1.2 [-2.0, -0.4]", "1,234", "17"):
        assert word in found


def test_those_that_came_furthest_are_first_the_cheapest_first_among_them():
    fates = [*RANK, *RANK]
    trials = [trial(f"c{i:02}", fate, cost=1 - i / 100) for i, fate in enumerate(fates)]
    lines = search_lines(searched(*reversed(trials)))
    named = [line.split()[0] for line in lines if line[:1] == "c" and line[1:3].isdigit()]
    wanted = [f"c{place:02}" for i in range(len(RANK)) for place in (i + len(RANK), i)]
    assert named == wanted


@pytest.mark.parametrize(("more", "said"), [(0, None), (1, "and 1 more"), (7, "and 7 more")])
def test_only_so_many_are_listed(more, said):
    trials = [trial(f"c{i:02}", cost=i + 1) for i in range(LISTED + more)]
    lines = search_lines(searched(*trials))
    assert sum(line[:1] == "c" and line[1:3].isdigit() for line in lines) == LISTED
    assert [line for line in lines if line.startswith("and ")] == (
        [f"{said}, in verdict.json"] if said else []
    )


def test_one_that_failed_after_some_rows_is_listed_last():
    late = trial("late", "failed", cost=0.1, reason="a score is not finite")
    lines = search_lines(searched(late, trial("lean", "finalist")))
    assert lines.index(line_of(lines, "late")) > lines.index(line_of(lines, "lean"))
    assert "a score is not finite" in line_of(lines, "late")


@pytest.mark.parametrize("fate", ["failed", "not tried"])
def test_what_was_not_measured_is_said_with_its_reason_on_one_line(fate):
    hostile = "it broke:\n\x1b[31mred"
    lines = search_lines(searched(trial("x, openvino", fate, gain=None, reason=hostile)))
    assert line_of(lines, fate) == f"{fate}: x, openvino: it broke:\\n\\x1b[31mred"


@pytest.mark.parametrize(
    ("round_", "words"),
    [
        (spent("shrink"), ["shrink", "3", "61", "120", "1", "to", "0.5", "25.0%"]),
        (spent("tune", before=0.5, after=0.5), ["tune", "0.5", "to", "0.5", "0.0%"]),
        (spent("free", cpu_s=0.0), ["free", "0", "1", "to", "0.5"]),
    ],
)
def test_a_round_says_what_a_cpu_minute_gained(round_, words):
    lines = search_lines(searched(trial("lean"), rounds=(round_, spent("combine"))))
    found = line_of(lines, f"{round_.round} ").split()
    assert [word for word in found if word in words] == words
    assert ("%" in found[-1]) is bool(round_.cpu_s)


def test_the_gain_of_a_cpu_minute_is_that_of_the_record():
    assert spent().gain_per_cpu_minute == pytest.approx(0.25)
    assert spent(before=0.4, after=0.4).gain_per_cpu_minute == 0.0
    assert spent(before=0.4, after=0.3, cpu_s=30).gain_per_cpu_minute == pytest.approx(0.5)


def test_every_round_has_a_line():
    lines = search_lines(searched(trial("lean"), rounds=tuple(map(spent, ROUNDS))))
    assert [
        line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in ROUNDS
    ] == [*ROUNDS]


def test_no_table_of_variants_without_any():
    assert not any("varied" in line for line in search_lines(searched(trial("lean"))))


def test_variants_are_told_against_the_recommended_candidate():
    left = Variant(kind="left out", what="without distill", gain=GAIN, flips=9, cost=0.98, size=1.5)
    lines = search_lines(searched(trial("lean"), ablation=(left,)))
    head = line_of(lines, "lean, varied")
    found = line_of(lines, "without distill")
    assert found[head.index("accuracy pp") :].startswith("-1.2 [-2.0, -0.4]")
    assert found[head.index("latency x") :].startswith("0.98")
    assert found[head.index("size x") :].startswith("1.50")
    assert found[head.index("flips") :].startswith("9")


def test_variants_none_of_which_could_be_made_say_why():
    none = [
        Variant(kind="option", what=f"option {i}", reason=reason)
        for i, reason in enumerate(("there was no time", "step 'x': no such thing"))
    ]
    lines = search_lines(searched(trial("lean"), ablation=tuple(none)))
    head = line_of(lines, "lean, varied")
    assert head.rstrip() == "lean, varied"  # a column of nothing is left out
    assert line_of(lines, "option 0").endswith("there was no time")
    assert line_of(lines, "option 1").endswith("no such thing")


def test_tried_are_those_that_were_measured():
    found = searched(trial("a"), trial("b", gain=None), trial("c", "failed"))
    assert found["tried"] == 2


def test_a_search_that_measured_nobody_still_has_its_lines():
    lines = search_lines(searched(trial("x", "failed", gain=None, reason="no"), rounds=()))
    assert "failed: x: no" in lines
    assert "chosen, not proved" in lines[0]
