"""Loads in a plan: what is read, and every way to write one wrongly, said before anything runs."""

import pytest

from surefoot.core.errors import PlanError
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "body", label = "intent" }
[model]
path = "model.onnx"
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
"""
PEAK = '[evaluate.load.peak]\nscenario = "server"\ntarget_qps = 50\nseconds = 30\n'
BUDGET = '[[budget]]\nquantity = "p99_ms"\nat_most = 20\nload = "peak"\n'
LIVE = 'url = "http://127.0.0.1:8000/v2/models/intent"\ncandidate = "int8"\n'


@pytest.fixture
def read(tmp_path):
    (tmp_path / "test.csv").touch()
    (tmp_path / "model.onnx").touch()

    def make(text):
        (tmp_path / "p.toml").write_text(PLAN + text)
        return read_plan(tmp_path / "p.toml")

    return make


@pytest.fixture
def problems(read):
    def find(text):
        with pytest.raises(PlanError) as caught:
            read(text)
        return list(caught.value.problems)

    return find


def test_a_load_is_read_with_its_defaults(read):
    plan = read(PEAK + BUDGET)
    (load,) = plan.evaluate.load.values()
    assert (load.scenario, load.target_qps, load.seconds) == ("server", 50, 30)
    assert (load.rows, load.threads, load.url, load.deadlines_ms) == (1, 1, None, None)
    assert plan.budgets[0].load == "peak"
    assert plan.resolved()["evaluate"]["load"]["peak"]["target_qps"] == 50


@pytest.mark.parametrize(
    ("scenario", "rows"), [("single_stream", 1), ("multi_stream", 8), ("offline", 32)]
)
def test_rows_a_request_are_those_of_the_scenario(read, scenario, rows):
    text = f'[evaluate.load.peak]\nscenario = "{scenario}"\n'
    budget = BUDGET.replace("p99_ms", "rows_per_s").replace("at_most", "at_least")
    assert read(text + budget).evaluate.load["peak"].rows == rows


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (
            'scenario = "sever"\ntarget_qps = 50',
            ("scenario: 'sever' is not allowed; did you mean 'server'?"),
        ),
        (
            'scenario = "server"',
            ("target_qps: missing; a server is asked at a rate, for example target_qps = 50"),
        ),
        ('scenario = "server"\ntarget_qps = 0', "target_qps: must be above 0, found 0.0"),
        (
            'scenario = "offline"\ntarget_qps = 5',
            ("target_qps: 'offline' has no rate; leave it out, or use scenario 'server'"),
        ),
        (
            'scenario = "single_stream"\nbatch = 2',
            ("batch: 'single_stream' sends one row a request; use scenario 'multi_stream'"),
        ),
        (
            'scenario = "offline"\ndeadlines_ms = [5]',
            ("deadlines_ms: 'offline' has no arrivals to be late for; leave it out"),
        ),
        ('scenario = "multi_stream"\nbatch = -2', "batch: must be at least 1, found -2"),
        ('scenario = "multi_stream"\nthreads = 0', "threads: must be at least 1, found 0"),
        ('scenario = "multi_stream"\nseconds = -1', "seconds: must be above 0, found -1.0"),
        (
            'scenario = "multi_stream"\ndeadlines_ms = [5, 0]',
            ("deadlines_ms[1]: must be above 0, found 0.0"),
        ),
        (
            'scenario = "multi_stream"\ncandidate = "int8"',
            ("candidate: only a load with a url names one; leave it out"),
        ),
        ('scenario = "multi_stream"\nsecond = 3', "second: unknown key; did you mean 'seconds'?"),
        ("seconds = 3", "scenario: missing"),
    ],
)
def test_a_load_that_cannot_be_run(problems, load, problem):
    text = f"[evaluate.load.other]\n{load}\n" + PEAK + BUDGET
    assert problems(text) == [f"evaluate.load.other.{problem}"]


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (
            LIVE.partition("candidate")[0],
            ("candidate: missing; say which candidate the endpoint of url serves"),
        ),
        (
            LIVE.replace("int8", "int4"),
            ("candidate: no candidate called 'int4'; did you mean 'int8'?"),
        ),
        (LIVE + "threads = 2", "threads: the endpoint has its own; leave it out"),
        *(
            (
                LIVE.replace("http://127.0.0.1:8000/v2/models/intent", url),
                (
                    f"url: '{url}' is not the "
                    "address of a model; write it as http://HOST:PORT/v2/models/NAME"
                ),
            )
            for url in (
                "127.0.0.1:8000/v2",
                "ftp://host/v2/models/m",
                "http://host:99999/v2/m",
                "http://host",
                "http:///v2/models/m",
                "http://h/v2/models/m/infer",
                "http://h/v2/models/m?x=1",
                "http://me:secret@h/v2/models/m",
            )
        ),
    ],
)
def test_an_endpoint_that_cannot_be_asked(problems, live, problem):
    text = f"[evaluate.load.live]\nscenario = 'server'\ntarget_qps = 50\n{live}\n" + PEAK + BUDGET
    assert problems(text) == [f"evaluate.load.live.{problem}"]


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        (BUDGET.replace('"peak"', '"peek"'), "load: no load called 'peek'; did you mean 'peak'?"),
        (BUDGET + "batch = 2", "batch: the load says how many rows a request has; leave batch out"),
        (
            BUDGET.replace("p99_ms", "rows_per_s").replace("at_most", "at_least"),
            "load: 'rows_per_s' of a server is what it is asked; it takes a latency",
        ),
        (
            BUDGET.replace("p99_ms", "size_mb"),
            (
                "load: 'size_mb' is not measured under load; known: "
                "p50_ms, p90_ms, p99_ms, rows_per_s"
            ),
        ),
        (
            BUDGET.replace('"peak"', '"bulk"'),
            ("load: 'p99_ms' says nothing of 'offline'; it takes rows_per_s"),
        ),
        (
            BUDGET.replace('"peak"', '"short"'),
            (
                "load: 'short' sends 300 requests, and a PASS on "
                "p99_ms takes 411 at least; set evaluate.load.short.seconds to 9"
            ),
        ),
    ],
)
def test_a_budget_that_no_load_could_decide(problems, budget, problem):
    more = '[evaluate.load.bulk]\nscenario = "offline"\n'
    more += PEAK.replace("peak", "short").replace("seconds = 30", "seconds = 6")
    assert problems(PEAK + more + budget) == [f"budget[0].{problem}"]


def test_a_load_as_long_as_is_said_is_enough(read):
    longer = PEAK.replace("seconds = 30", "seconds = 9")
    assert read(longer + BUDGET).evaluate.load["peak"].seconds == 9


def test_budgets_call_by_call_and_under_load_do_not_contradict_each_other(read):
    alone = '[[budget]]\nquantity = "rows_per_s"\nat_least = 500\n'
    stream = '[evaluate.load.s]\nscenario = "single_stream"\n'
    read(stream + alone + '[[budget]]\nquantity = "rows_per_s"\nat_least = 50\nload = "s"\n')
