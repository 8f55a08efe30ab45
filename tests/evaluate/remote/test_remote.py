"""An endpoint as a model: right, wrong, slow, and whose fault that is."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest
from tests.evaluate.conftest import METADATA, sound
from tests.evaluate.remote.conftest import completion

from surefoot.core.errors import ModelError, RemoteError
from surefoot.core.plan import EndpointPlan, ServePlan
from surefoot.evaluate.remote import open_remote
from surefoot.evaluate.remote.protocols import PROMPT, prompt

TREES = ("ash", "birch", "oak")
NUMBERS = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
TEXTS = np.array(["a text", "{classes} \u00e9 \U0001f333", ""], np.dtypes.StringDType())
CHAT = EndpointPlan(protocol="openai", model="small")


def ask(url, rows, how=None, classes=TREES, **options):
    async def main():
        plan = ServePlan(fallback=url, endpoint=how or EndpointPlan())
        async with open_remote(plan, classes) as remote:
            return await remote(rows, **options)

    return asyncio.run(main())


def fault(url, rows=NUMBERS, how=None, **options):
    with pytest.raises(RemoteError) as caught:
        ask(url, rows, how, **options)
    return caught.value


def test_scores_come_back_row_by_row(serving):
    with serving() as server:
        said = ask(server.url, NUMBERS)
        wanted = (np.abs(NUMBERS[:, 0]) * 100).astype(int) % 3
        assert said.predicted.tolist() == wanted.tolist()
        assert said.scores.shape == (7, 3)
        assert (said.confidence == 1).all()
        (asked,) = server.asked
        assert asked["inputs"][0]["shape"] == [7, 4]
        assert server.paths == {"/v2/models/intent/infer"}


def test_the_model_may_be_named_beside_the_address(serving):
    with serving() as server:
        host = server.url.partition("/v2")[0]
        ask(host, NUMBERS, EndpointPlan(model="intent"))
        assert server.paths == {"/v2/models/intent/infer"}


def outputs(*named):
    """An answer with outputs of a name, a type, a shape and values."""
    keys = ("name", "datatype", "shape", "data")
    body = {"outputs": [dict(zip(keys, one, strict=True)) for one in named]}
    return lambda *_: (200, json.dumps(body).encode())


def test_logits_become_probabilities(serving):
    logits = np.linspace(-2, 3, 21)
    with serving(outputs(("logits", "FP32", [7, 3], logits.tolist()))) as server:
        said = ask(server.url, NUMBERS)
    wanted = np.exp(logits.reshape(7, 3))
    assert np.allclose(said.scores, wanted / wanted.sum(axis=1, keepdims=True))
    assert (said.confidence == said.scores.max(axis=1)).all()


def test_labels_beside_the_scores_tell_the_order_of_the_classes(serving):
    scores = ("scores", "FP32", [7, 3], np.eye(3)[[0, 1, 2, 0, 1, 2, 0]].ravel().tolist())
    names = ["ash", "birch", "oak", "ash", "birch", "oak", ""]
    with serving(outputs(scores, ("label", "BYTES", [7], names))) as server:
        assert ask(server.url, NUMBERS).predicted.tolist() == [0, 1, 2, 0, 1, 2, -1]
    with serving(outputs(scores, ("label", "BYTES", [7], names[::-1]))) as server:
        assert "another order" in str(fault(server.url))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *_: (200, b"<html>"), "not JSON"),
        (lambda *_: (200, b"[]"), "no object"),
        (lambda *_: (200, b'{"outputs": 7}'), "Open Inference Protocol"),
        (lambda *_: (200, b'{"outputs": [{"shape": [7, 2], "data": []}]}'), "no output of shape"),
        (lambda *_: (200, b"[" * 100_000), "not JSON"),
        (outputs(("s", "FP32", [7, 3], [float("nan")] * 21)), "not finite"),
        (outputs(("s", "FP32", [7, 3], [float("inf")] * 21)), "not finite"),
        (outputs(("s", "FP32", [7, 3], [1.0] * 5)), "Open Inference Protocol"),
        (outputs(("s", "FP32", [7, 3], ["a"] * 21)), "Open Inference Protocol"),
        (outputs(("s", "FP32", [7, 3], [10**400] * 21)), "Open Inference Protocol"),
    ],
)
def test_rubbish_is_named_and_is_the_endpoints_fault(serving, answer, said):
    with serving(answer) as server:
        found = fault(server.url)
    assert (found.fault, found.is_its_own) == ("rubbish", True)
    assert said in str(found)


@pytest.mark.parametrize(
    ("status", "kind", "own"),
    [
        (400, "refused", False), (401, "refused", False), (404, "refused", False),
        (429, "refused", False), (301, "refused", False), (500, "failed", True),
        (503, "failed", True), (204, "rubbish", True),
    ],
)  # fmt: skip
def test_a_status_says_whose_fault_it_is(serving, status, kind, own):
    with serving(lambda *_: (status, b"")) as server:
        found = fault(server.url)
        assert (found.fault, found.is_its_own) == (kind, own)
        assert f"HTTP {status}" in str(found)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"name": "x"}, "does not describe a model"),
        (METADATA | {"inputs": [{"name": "row", "datatype": "INT64"}]}, "takes row (INT64)"),
        (METADATA | {"inputs": []}, "takes nothing"),
        (METADATA | {"inputs": [3]}, "does not describe a model"),
    ],
)
def test_a_model_that_takes_something_else_is_refused(serving, metadata, said):
    with serving(sound, metadata) as server:
        assert said in str(fault(server.url))
        assert server.asked == []


def test_it_is_described_once(serving):
    with serving() as server:

        async def main():
            plan = ServePlan(fallback=server.url)
            async with open_remote(plan, TREES) as remote:
                await remote(NUMBERS)
                server.metadata = {}
                return await remote(NUMBERS)

        assert len(asyncio.run(main()).predicted) == 7


def test_it_starts_while_the_endpoint_is_down_and_answers_when_it_is_up():
    found = fault("http://127.0.0.1:9/v2/models/intent")
    assert (found.fault, found.is_its_own) == ("down", True)


def test_a_chat_model_is_asked_with_the_classes_and_the_text(chatting):
    with chatting(lambda asked: (200, completion("oak"))) as server:
        said = ask(server.url, TEXTS, CHAT)
        assert said.predicted.tolist() == [2, 2, 2]
        assert np.isnan(said.confidence).all()
        assert said.scores is None
        assert server.paths == {"/v1/chat/completions"}
        asked = {one["messages"][0]["content"] for one in server.asked}
        assert asked == {prompt(PROMPT, TREES, text) for text in TEXTS.tolist()}
        first = server.asked[0]
        assert (first["model"], first["temperature"]) == ("small", 0)
        assert "logprobs" not in first
        assert server.keys == {None}


def test_a_prompt_is_filled_once():
    assert prompt("{text}|{classes}", ("{text}", "b"), "{classes}") == "{classes}|- {text}\n- b"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("oak", 2), (" Oak.\n", 2), ('"birch"', 1), ("**ash**", 0), ("- ASH", 0), ("elm", -1),
        ("", -1), (None, -1), ("It is an oak", -1), ("oak birch", -1),
    ],
)  # fmt: skip
def test_what_a_chat_model_writes_is_a_class_or_none(chatting, written, place):
    with chatting(lambda asked: (200, completion(written))) as server:
        assert ask(server.url, TEXTS[:1], CHAT).predicted.tolist() == [place]


def test_names_that_differ_by_case_alone_are_told_apart(chatting):
    for written, place in (("a", 0), ("A", 1), ("a.", -1)):
        with chatting(lambda asked, text=written: (200, completion(text))) as server:
            said = ask(server.url, TEXTS[:1], CHAT, classes=("a", "A"))
            assert said.predicted.tolist() == [place]


def test_confidence_is_the_probability_of_the_answers_tokens(chatting):
    how = EndpointPlan(protocol="openai", model="small", logprobs=True)
    with chatting(lambda asked: (200, completion("oak", [-0.1, -0.2]))) as server:
        said = ask(server.url, TEXTS[:1], how)
        assert said.confidence[0] == pytest.approx(np.exp(-0.3))
        assert server.asked[0]["logprobs"] is True
    with chatting(lambda asked: (200, completion("oak", [float("nan")]))) as server:
        assert np.isnan(ask(server.url, TEXTS[:1], how).confidence[0])


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"choices": []}', b'{"choices": [{}]}', b'{"choices": 3}', b"no", b"null",
     b'{"choices": [{"message": {"content": 3}}]}',
     completion("oak", ["x"])],
)  # fmt: skip
def test_what_is_no_completion_is_rubbish(chatting, body):
    with chatting(lambda asked: (200, body)) as server:
        assert fault(server.url, TEXTS[:1], CHAT).fault == "rubbish"


def test_one_row_that_is_refused_refuses_the_call_once(chatting):
    def answer(asked):
        return (400, b"") if "a text" in asked else (200, completion("oak"))

    with chatting(answer) as server:
        found = fault(server.url, TEXTS, CHAT)
        assert found.fault == "refused"
        assert len(server.asked) <= 3


def test_the_key_is_sent_and_never_told(chatting, monkeypatch):
    how = EndpointPlan(protocol="openai", model="small", api_key_env="ORCHARD_KEY")
    monkeypatch.setenv("ORCHARD_KEY", "sesame")
    with chatting(lambda asked: (401, b"")) as server:
        found = fault(server.url, TEXTS[:1], how)
        assert server.keys == {"Bearer sesame"}
        assert "sesame" not in str(found)


@pytest.mark.parametrize("value", [None, "", "two\r\nlines", "caf\u00e9"])
def test_a_key_that_is_none_is_said_before_anything_is_sent(monkeypatch, value):
    monkeypatch.delenv("ORCHARD_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("ORCHARD_KEY", value)
    how = EndpointPlan(protocol="openai", model="small", api_key_env="ORCHARD_KEY")
    with pytest.raises(ModelError, match=r"ORCHARD_KEY holds no key") as caught:
        ask("http://127.0.0.1:9", TEXTS, how)
    assert not isinstance(caught.value, RemoteError)
    assert value is None or value not in str(caught.value) or value == ""


def test_the_deadline_of_whoever_asks_ends_all_rows(chatting):
    def answer(asked):
        time.sleep(1)
        return 200, completion("oak")

    with chatting(answer) as server:
        found = fault(server.url, TEXTS, CHAT, until=time.monotonic() + 0.2)
        assert (found.fault, found.is_its_own) == ("deadline", False)
