"""Budgets under load: what passes, what fails, and what keeps a run from saying anything."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot.bundle.encode import decode_verdict, encode
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence
from surefoot.core.load import Machine, ServedProfile
from surefoot.gate import gate_evidence, load_summaries
from surefoot.report.terminal import findings_table, verdict_line

P99 = Budget(quantity="p99_ms", at_most=20, load="peak")
QUIET = Machine(steal=0.0, foreign=0.01)


def served(name, wall, *, qps=50.0, **changes):
    """A run whose requests arrive evenly and are answered after `wall` milliseconds."""
    wall = np.asarray(wall, float)
    n, arrival = len(wall), np.arange(len(wall)) * (1000 / (qps or 50))
    defaults = ServedProfile(
        load="peak", candidate=name, scenario="server", runtime="onnxruntime", batch=1, threads=1,
        target_qps=qps, rows=np.zeros((n, 1), np.int64), arrival_ms=arrival, wall_ms=wall,
        service_ms=wall, lateness_ms=np.full(n, 0.05), cpu_ms=wall / 2,
        answers=np.zeros((n, 1), np.int64), achieved_qps=qps or 50.0, waiting=1, machine=QUIET,
        busy=0.0, ended_ms=0.0,
    )  # fmt: skip
    made = replace(defaults, **changes)
    done = (made.arrival_ms + made.wall_ms)[np.isfinite(made.wall_ms)]
    return replace(made, ended_ms=max([*made.arrival_ms, *done])) if not made.ended_ms else made


@pytest.fixture
def wall():
    """1,500 requests around 10 ms, the slowest 1 % at 15."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(1500) < 0.015, 15, 10) + rng.normal(0, 0.2, 1500)


def finding(budget, *profiles):
    evidence = Evidence(baseline="baseline", candidates=("lean",), served=profiles)
    ((found,),) = (verdict.findings for verdict in gate_evidence(evidence, [budget]))
    return found


@pytest.mark.parametrize(
    ("limit", "outcome"), [(20, "PASS"), (14.9, "INCONCLUSIVE"), (12, "FAIL"), (9, "FAIL")]
)
def test_a_quantile_under_load_is_held_against_its_limit(wall, limit, outcome):
    found = finding(replace(P99, at_most=limit), served("lean", wall))
    assert found.outcome == outcome
    assert found.subject == "p99_ms under peak"
    assert found.estimate.value == np.sort(wall)[1484]
    assert found.estimate.n == 1500


@pytest.mark.parametrize(("failed", "outcome"), [(3, "PASS"), (60, "FAIL")])
def test_an_error_counts_as_infinitely_late(wall, failed, outcome):
    """0.2 % of errors leave p99 alone, 4 % make it infinite: no answer is no fast answer."""
    late = wall.copy()
    late[:: 1500 // failed] = np.inf
    found = finding(P99, served("lean", late))
    assert found.outcome == outcome
    assert np.isinf(found.estimate.value) == (outcome == "FAIL")


def test_errors_of_one_bad_minute_do_not_count_as_independent(wall):
    """All 30 errors in one of ten stretches: p99 cannot be told from what one stretch shows."""
    burst = wall.copy()
    burst[300:330] = np.inf
    assert finding(P99, served("lean", burst)).outcome == "INCONCLUSIVE"


def test_a_late_generator_proves_nothing(wall):
    late = np.where(np.arange(1500) % 50 == 0, 5.0, 0.0)
    for limit in (20, 5):
        found = finding(replace(P99, at_most=limit), served("lean", wall, lateness_ms=late))
        assert found.outcome == "INCONCLUSIVE"
        assert found.reason == (
            "the generator could not keep up: it sent 1 % of the requests 5 ms late or more;"
            f" up to {np.sort(wall)[1484] / 10:.3g} ms is allowed"
        )
        assert found.needed is None
    found = finding(P99, served("lean", wall, lateness_ms=late / 5))
    assert found.outcome == "PASS"


def test_a_generator_that_fills_a_processor_proves_nothing(wall):
    found = finding(P99, served("lean", wall, busy=0.9, url="http://h/v2/models/m"))
    assert found.reason == (
        "the generator could not keep up: it took 90% of a processor; up to 70% is allowed"
    )


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Machine(steal=0.05, foreign=0.0), "the hypervisor gave 5.0% of the processors' time"),
        (Machine(steal=0.0, foreign=0.4), "other processes used 40% of the processors' time"),
    ],
)
def test_a_machine_that_is_not_ours_alone_proves_nothing(wall, machine, words):
    found = finding(P99, served("lean", wall, machine=machine))
    assert found.outcome == "INCONCLUSIVE"
    assert words in found.reason


def test_what_runs_beside_an_endpoint_may_be_the_endpoint(wall):
    busy = Machine(steal=None, foreign=0.4)
    url = "http://127.0.0.1:8000/v2/models/m"
    assert finding(P99, served("lean", wall, machine=busy, url=url)).outcome == "PASS"


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0, "PASS"), (1.3, "INCONCLUSIVE")])
def test_a_baseline_unlike_itself_proves_nothing(wall, ratio, outcome):
    twins = (served("baseline", wall), served("baseline (again)", wall * ratio))
    found = finding(P99, served("lean", wall), *twins)
    assert found.outcome == outcome
    assert ("the baseline took 1.30" in found.reason) == (ratio > 1)


def test_few_requests_of_the_baseline_do_not_show_the_noise(wall):
    slow = np.where(np.arange(1500) < 3, 100.0, np.inf)
    twins = (served("baseline", slow), served("baseline (again)", slow))
    found = finding(P99, served("lean", wall), *twins)
    assert found.reason == "too few calls show how noisy this machine is: the baseline answered 3"


def growing_queue(service, qps, n=1500):
    """Latencies where each request takes so long and one is answered after another."""
    arrival, free, wall = np.arange(n) * 1000 / qps, 0.0, []
    for due in arrival:
        free = max(free, due) + service
        wall.append(free - due)
    return np.array(wall)


@pytest.mark.parametrize(("limit", "outcome"), [(20, "FAIL"), (5000, "INCONCLUSIVE")])
def test_a_queue_that_grows_never_passes_and_is_no_fault_of_the_generator(limit, outcome):
    """2 % beyond what it can do: half a second late after half a minute, and more after a day."""
    wall = growing_queue(20.4, 50)
    profile = served(
        "lean", wall, service_ms=np.full(1500, 20.4), waiting=30, achieved_qps=1000 / 20.4
    )
    assert wall.max() < 5000
    found = finding(replace(P99, at_most=limit), profile)
    assert found.outcome == outcome
    assert found.reason == (
        "it does not keep up with 50 requests a second: it answered 49 a second, each took"
        " 20.4 ms, and 30 were waiting when the last one arrived"
    )


def test_the_queue_of_an_endpoint_is_seen_by_those_that_wait(wall):
    """How many it answers at once nobody knows; that a tenth of all still wait at the end, one
    sees."""
    url = "http://127.0.0.1:8000/v2/models/m"
    slow = served("lean", wall * 10, url=url, waiting=150)
    found = finding(replace(P99, at_most=1000), slow)
    assert found.outcome == "INCONCLUSIVE"
    assert "does not keep up" in found.reason
    assert finding(replace(P99, at_most=1000), replace(slow, waiting=60)).outcome == "PASS"


def test_a_load_of_another_candidate_decides_nothing(wall):
    evidence = Evidence(
        baseline="baseline", candidates=("lean", "other"), served=(served("lean", wall),)
    )
    lean, other = gate_evidence(evidence, [P99])
    assert lean.outcome == "PASS"
    assert other.outcome == "INCONCLUSIVE"
    assert other.findings[0].reason == "not measured: peak was put on 'lean' alone"
    again = decode_verdict(json.loads(json.dumps(encode(other), allow_nan=False)))
    assert np.isinf(again.findings[0].estimate.value)
    assert "not measured" in verdict_line(again)


def test_a_load_that_nobody_measured_is_an_error():
    with pytest.raises(BudgetError, match="nothing measured under the load 'peak'"):
        finding(P99)


@pytest.mark.parametrize(
    ("limit", "outcome"), [(380, "PASS"), (400, "INCONCLUSIVE"), (420, "FAIL")]
)
def test_a_rate_is_counted_from_answer_to_answer(limit, outcome):
    """Eight rows every 20 ms in the mean are 400 rows a second, whenever they were due."""
    gaps = 20 + np.random.default_rng(1).normal(0, 2, 800)
    done = np.cumsum(gaps)
    profile = served("lean", done, qps=None, arrival_ms=np.zeros(800), scenario="offline", batch=8)
    budget = Budget(quantity="rows_per_s", at_least=limit, load="peak")
    found = finding(budget, profile)
    assert found.outcome == outcome
    assert found.estimate.value == pytest.approx(8000 / gaps.mean())


RATE = Budget(quantity="rows_per_s", at_least=50, load="peak")


def test_the_time_of_errors_counts_in_a_rate():
    """300 answers in 3 s, then 27 s of errors: 10 a second, not 100."""
    wall = np.where(np.arange(3000) < 300, 5.0, np.inf)
    profile = served("lean", wall, qps=100.0, scenario="server", ended_ms=30_000.0)
    found = finding(RATE, profile)
    assert found.outcome == "FAIL"
    assert found.estimate.value == pytest.approx(10)
    assert found.estimate.low == 0
    low = finding(replace(RATE, at_least=9), profile)
    assert low.outcome == "INCONCLUSIVE"  # nine of ten stretches say 0


def test_errors_before_and_between_answers_count_as_those_after():
    for down in (slice(0, 500), slice(300, 800), slice(1000, 1500)):
        wall = np.full(1500, 5.0)
        wall[down] = np.inf
        found = finding(RATE, served("lean", wall, qps=60.0, ended_ms=25_000.0))
        assert found.estimate.value == pytest.approx(40)
        assert found.outcome != "PASS"


@pytest.mark.parametrize("requests", [3, 1500])
def test_no_answer_at_all_is_no_rate(requests):
    """However few were sent: the load lasted for its time, and nothing came back."""
    profile = served("lean", np.full(requests, np.inf), url="http://h/v2/models/m")
    found = finding(replace(RATE, at_least=1), profile)
    assert (found.outcome, found.estimate.value) == ("FAIL", 0)
    assert "peak" in found.subject


def test_a_rate_at_the_limit_passes_as_often_as_it_may():
    """Answers by a Poisson process of exactly 50 a second: 5 % may pass."""
    rng, passed = np.random.default_rng(3), 0
    for _ in range(400):
        done = np.cumsum(rng.exponential(20, 400))
        profile = served("lean", done, qps=None, scenario="single_stream", arrival_ms=np.zeros(400))
        passed += finding(RATE, profile).outcome == "PASS"
    assert 8 <= passed <= 32  # 2 % to 8 %


def test_the_reason_of_a_fail_is_told(wall):
    profile = served("lean", wall * 100, waiting=700)
    evidence = Evidence(baseline="baseline", candidates=("lean",), served=(profile,))
    (verdict,) = gate_evidence(evidence, [P99])
    assert verdict.outcome == "FAIL"
    assert any("it does not keep up" in line for line in findings_table(verdict))


def test_a_summary_tells_what_a_table_shows(wall):
    twins = (served("baseline", wall * 1.5), served("baseline (again)", wall * 1.5))
    one, two = load_summaries([twins[0], served("lean", wall, cold_ms=80.0), twins[1]], "baseline")
    assert (one["candidate"], two["candidate"]) == ("baseline", "lean")
    assert two["p50_ms"].value == np.sort(wall)[749]
    assert two["cpu_ms"] == pytest.approx(wall.mean() / 2)
    assert (two["late_ms"], two["cold_ms"], two["invalid"], two["growing"]) == (0.05, 80.0, "", "")
    assert two["again"].value == 1.0
    assert json.loads(json.dumps(encode(two), allow_nan=False))["requests"] == 1500


@pytest.mark.parametrize(("agree", "outcome"), [(0.99, "PASS"), (0.6, "INCONCLUSIVE")])
def test_an_endpoint_that_answers_otherwise_serves_another_model(wall, agree, outcome):
    url = "http://127.0.0.1:8000/v2/models/m"
    found = finding(P99, served("lean", wall, agree=agree, url=url))
    assert found.outcome == outcome
    assert ("does not serve 'lean': it gave 40.0% of the rows" in found.reason) == (agree < 0.9)
