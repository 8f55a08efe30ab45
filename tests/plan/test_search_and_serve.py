"""What is wrong with [search] and [serve], each problem with its exact key."""

from __future__ import annotations

import pytest

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "body", label = "intent" }
train = { use = "csv", path = "test.csv", text = "body", label = "intent" }
[model]
path = "model.onnx"
[evaluate]
slices = { short = "length(body) < 40", shouted = "body = upper(body)" }
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("search.minutes=0.0", "search.minutes: must be above 0, found 0.0"),
        ("search.minutes=-1.0", "search.minutes: must be above 0, found -1.0"),
        ("search.minutes=nan", "search.minutes: must be above 0, found nan"),
        ("search.minutes=inf", "search.minutes: must be above 0 and finite, found inf"),
        ("search.minutes=10081.0", "search.minutes: must be at most 10,080, found 10081"),
        ("search.worth=1.0", "search.worth: must be at least 0 and below 1, found 1.0"),
        ("search.worth=-0.1", "search.worth: must be at least 0 and below 1, found -0.1"),
        ("search.worth=nan", "search.worth: must be at least 0 and below 1, found nan"),
        ("search.finalists=0", "search.finalists: must be 1 to 20, found 0"),
        ("search.finalists=21", "search.finalists: must be 1 to 20, found 21"),
        (
            'search.steps=["quantise_dynamic"]',
            "search.steps[0].use: no step called 'quantise_dynamic'; did you mean 'quantize_dyn",
        ),
        (
            'search.steps=["drop_layers",{use="refit_head",row=1}]',
            "search.steps[1].row: unknown option of step 'refit_head'; did you mean 'rows'?",
        ),
        (
            'search.steps=["refit_head","drop_layers","refit_head"]',
            "search.steps[2]: 'refit_head' is given twice; leave one out",
        ),
        (
            'search.steps=[{use="distill_static",outputs="score.csv"}]',
            "search.steps[0].outputs: no such file: 'score.csv'; did you mean 'scores.csv'?",
        ),
        ("search.steps=[{}]", "search.steps[0].use: missing; known: "),
    ],
)
def test_each_slip_of_a_search_is_one_problem(problems, change, said):
    (found,) = problems(change)
    assert found.startswith(said)


@pytest.mark.parametrize(
    "change",
    ["search.minutes=10080.0", "search.worth=0.0", "search.finalists=20", "search.steps=[]",
     'search.steps=["drop_layers"]', 'search.steps=[{use="distill_static",outputs="scores.csv"}]'],
)  # fmt: skip
def test_what_lies_at_the_edge_is_taken_and_the_grammar_gives_what_a_step_needs(problems, change):
    assert problems(change) == []


def test_a_search_needs_rows_that_no_verdict_sees(problems):
    text = "\n".join(line for line in PLAN.splitlines() if not line.startswith("train"))
    said = "search: needs rows to choose on that no verdict sees; name task.train"
    assert problems("search.minutes=1.0", text=text) == [said]
    own = 'task.selection={use="csv",path="test.csv",text="body",label="intent"}'
    assert problems("search.minutes=1.0", own, text=text) == []


@pytest.mark.parametrize("key", ["max_error_over_fallback", "delta", "false_alarm"])
@pytest.mark.parametrize("value", ["0.0", "1.0", "-0.5", "nan", "inf", "2.0"])
def test_a_share_that_is_none_is_refused(problems, key, value):
    found = problems(f"serve.{key}={value}")
    assert found == [f"serve.{key}: must be above 0 and below 1, found {float(value)}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('serve.candidate="int4"', "serve.candidate: no candidate 'int4'; did you mean 'int8'?"),
        ('serve.slices=["shot"]', "serve.slices[0]: no slice 'shot'; did you mean 'short'?"),
        (
            'serve.slices=["short","zzz"]',
            "serve.slices[1]: no slice 'zzz'; known: short, shouted",
        ),
        ("serve.shadow=1.5", "serve.shadow: must be a share from 0 to 1, found 1.5"),
        ('serve.on_alarm="panic"', "serve.on_alarm: 'panic' is not allowed; known: fallback, str"),
        ('serve.fallback="nobody"', "serve.fallback: 'nobody' is no model and no http"),
    ],
)
def test_each_slip_of_what_is_served_is_one_problem(problems, change, said):
    (found,) = problems(change)
    assert found.startswith(said)


def test_all_slips_are_said_at_once(problems):
    found = problems("serve.delta=0.0", 'serve.candidate="x"', "search.worth=2.0")
    # A search may still give a candidate of that name.
    assert [line.partition(":")[0] for line in found] == ["search.worth", "serve.delta"]


def test_a_slice_of_a_plan_without_slices_is_met_with_where_to_name_one(problems):
    text = "\n".join(line for line in PLAN.splitlines() if not line.startswith("slices"))
    assert problems('serve.slices=["short"]', text=text) == [
        "serve.slices[0]: no slice 'short'; name it under evaluate.slices"
    ]


REMOTE = 'serve.fallback="http://10.0.0.1:8000"'
NAMED = 'serve.endpoint.model="m"'
CHAT = ('serve.fallback="https://models.example/v1"', NAMED, 'serve.endpoint.protocol="openai"')


@pytest.mark.parametrize(
    "changes",
    [
        (REMOTE, NAMED),
        ('serve.fallback="http://127.0.0.1:8000/v2/models/intent"',),
        ('serve.fallback="http://[::1]:8000"', NAMED),
        CHAT,
        (*CHAT, 'serve.endpoint.api_key_env="KEY"', "serve.endpoint.cost=0.001"),
        (*CHAT, 'serve.endpoint.prompt="{classes} {text}"', "serve.endpoint.logprobs=true"),
        (REMOTE, NAMED, 'serve.candidate="int8"', 'serve.between=["baseline"]'),
    ],
)
def test_fallbacks_at_an_address_that_can_be_asked(problems, changes):
    assert problems(*changes) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (('serve.fallback="ftp://a.b"', NAMED), "serve.fallback: 'ftp://a.b' is no address"),
        (('serve.fallback="http://a b"', NAMED), "serve.fallback: 'http://a b' is no address"),
        (('serve.fallback="http://a:x"', NAMED), "serve.fallback: 'http://a:x' is no address"),
        (('serve.fallback="http://a:0"', NAMED), "serve.fallback: 'http://a:0' is no address"),
        (('serve.fallback="http://"', NAMED), "serve.fallback: 'http://' is no address; write it"),
        (('serve.fallback="http://a/?k=v"', NAMED), "serve.fallback: 'http://a/?k=v' is no addr"),
        (
            ('serve.fallback="https://me:secret@a.b"', NAMED),
            "serve.fallback: holds a password; name an environment variable in api_key_env",
        ),
        ((REMOTE,), "serve.endpoint.model: missing; say what the model is called there"),
        (
            (NAMED,),
            "serve.endpoint: is about a fallback at an address; name one, or leave it out",
        ),
        ((REMOTE, NAMED, "serve.endpoint.timeout_ms=0.0"), "serve.endpoint.timeout_ms: must be ab"),
        ((REMOTE, NAMED, "serve.endpoint.timeout_ms=1e9"), "serve.endpoint.timeout_ms: must be at"),
        (
            (REMOTE, NAMED, "serve.endpoint.cost=-1.0"),
            "serve.endpoint.cost: must be a number of at",
        ),
        ((REMOTE, NAMED, "serve.endpoint.cost=inf"), "serve.endpoint.cost: must be a number of at"),
        ((REMOTE, NAMED, "serve.endpoint.logprobs=true"), "serve.endpoint.logprobs: only of proto"),
        ((REMOTE, NAMED, 'serve.endpoint.prompt="a"'), "serve.endpoint.prompt: only of protocol"),
        (
            (*CHAT, 'serve.endpoint.prompt="{classes}"'),
            "serve.endpoint.prompt: lacks {text}, which the rows and classes replace",
        ),
        (
            (*CHAT, 'serve.endpoint.api_key_env="sk-1234"'),
            "serve.endpoint.api_key_env: is no name of an environment variable",
        ),
        (
            (REMOTE, NAMED, 'serve.endpoint.api_key_env="KEY"'),
            "serve.endpoint.api_key_env: would be sent in the clear; use an https:// address",
        ),
        ((REMOTE, NAMED, 'serve.endpoint.protocol="grpc"'), "serve.endpoint.protocol: 'grpc' is n"),
        ((REMOTE, NAMED, 'serve.endpoint.modle="a"'), "serve.endpoint.modle: unknown key; did you"),
        (('serve.between=["int8"]',), "serve.between: name serve.candidate too, the model that is"),
        (
            ('serve.candidate="int8"', 'serve.between=["int8"]'),
            "serve.between[0]: 'int8' is asked already; leave it out",
        ),
        (
            ('serve.candidate="int8"', 'serve.between=["intt8"]'),
            "serve.between[0]: no candidate 'intt8'; did you mean 'int8'?",
        ),
        (
            ('serve.candidate="int8"', 'serve.between=["baseline"]'),
            "serve.between[0]: 'baseline' is the fallback; leave it out",
        ),
    ],
)
def test_each_slip_of_a_cascade_is_one_problem(problems, changes, said):
    (found,) = problems(*changes)
    assert found.startswith(said)


def test_a_candidate_may_not_be_called_what_an_endpoint_is(problems):
    (found,) = problems(REMOTE, NAMED, 'candidate[0].name="fallback"')
    assert found == (
        "serve.fallback: an endpoint is called 'fallback', as a candidate is; rename that"
    )


def test_a_chat_model_is_asked_about_texts_alone(problems):
    text = PLAN.replace("text-classification", "tabular-classification")
    text = text.replace('text = "body"', 'columns = ["body"]')
    found = problems(*CHAT, text=text)
    assert (
        "serve.endpoint.protocol: 'openai' is asked about texts alone; use 'open_inference'"
        in found
    )
