"""Tables of a plan made typed: each slip has its key and the nearest right spelling."""

from __future__ import annotations

import copy

import pytest

from surefoot.plan.typed import hidden, typed

TABLES = {
    "task": {"kind": "text-classification", "test": {"main": {"use": "csv", "path": "a.csv"}}},
    "model": {"path": "model.onnx"},
    "budget": [{"quantity": "accuracy", "max_drop": 0.01}],
    "candidate": [{"name": "int8", "steps": ["quantize_dynamic"]}],
    "evaluate": {"latency": {"batch": [1]}, "load": {"peak": {"scenario": "offline"}}},
}


def changed(way, value):
    """The tables with one value changed, and what is wrong with them."""
    tables = place = copy.deepcopy(TABLES)
    *parents, last = way
    for part in parents:
        place = place[part] if isinstance(place, list) else place.setdefault(part, {})
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return typed(tables)


def test_sound_tables_have_no_problems_and_their_values():
    file, broken = typed(copy.deepcopy(TABLES))
    assert broken == {}
    assert file.budget[0].max_drop == 0.01
    assert file.candidate[0].steps == ["quantize_dynamic"]
    assert file.evaluate.load["peak"].rows == 32
    assert file.search is None


UNKNOWN = [
    (("tsk",), "did you mean 'task'?"),
    (("serch",), "did you mean 'search'?"),
    (("task", "metrc"), "did you mean 'metric'?"),
    (("task", "calibratoin"), "did you mean 'calibration'?"),
    (("task", "unlabeled"), "did you mean 'unlabelled'?"),
    (("model", "runtme"), "did you mean 'runtime'?"),
    (("model", "max_len"), "did you mean 'max_length'?"),
    (("budget", 0, "levl"), "did you mean 'level'?"),
    (("budget", 0, "at_mst"), "did you mean 'at_most'?"),
    (("candidate", 0, "step"), "did you mean 'steps'?"),
    (("evaluate", "slice"), "did you mean 'slices'?"),
    (("evaluate", "latency", "batches"), "did you mean 'batch'?"),
    (("evaluate", "load", "peak", "targt_qps"), "did you mean 'target_qps'?"),
    (("search", "minute"), "did you mean 'minutes'?"),
    (("search", "finalist"), "did you mean 'finalists'?"),
    (("serve", "fallbak"), "did you mean 'fallback'?"),
]


def dotted(way):
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way)
    return text.removeprefix(".")


@pytest.mark.parametrize(("way", "fix"), UNKNOWN, ids=[dotted(way) for way, _ in UNKNOWN])
def test_an_unknown_key_is_met_with_the_nearest_of_its_table(way, fix):
    _, broken = changed(way, 3)
    assert broken == {dotted(way): f"{dotted(way)}: unknown key; {fix}"}


def test_an_unknown_key_that_is_near_none_is_met_with_all():
    _, broken = changed(("search", "zzz"), 1)
    assert broken["search.zzz"] == (
        "search.zzz: unknown key; known: finalists, minutes, seed, steps, worth"
    )


TYPES = [
    (("task", "kind"), 3, "'3' is not allowed; known: image-classification, tabular-"),
    (("task", "seed"), "x", "should be a whole number, found 'x'"),
    (("task", "seed"), 1.5, "should be a whole number, found 1.5"),
    (("task", "test"), [], "should be a table, found []"),
    (("task", "name"), 3, "should be text, found 3"),
    (("task", "train"), "rows.csv", "should be a table, found 'rows.csv'"),
    (("model", "trust"), 1, "should be true or false, found 1"),
    (("model", "classes"), "a", "should be a list, each text, found 'a'"),
    (("model", "output"), "logit", "'logit' is not allowed; did you mean 'logits'?"),
    (("budget", 0, "max_drop"), True, "should be a number, found True"),
    (("budget", 0, "quantity"), ["x"], "should be text, found ['x']"),
    (("evaluate", "seeds"), "3", "should be a whole number, found '3'"),
    (("evaluate", "class_slices"), "no", "should be true or false, found 'no'"),
    (("evaluate", "evidence"), "hash", "'hash' is not allowed; did you mean 'hashed'?"),
    (("evaluate", "latency"), 3, "should be a table, found 3"),
    (("evaluate", "load", "peak", "scenario"), "ofline", "not allowed; did you mean 'offline'?"),
    (("search", "minutes"), "long", "should be a number, found 'long'"),
    (("serve", "fallback"), 3, "should be text, found 3"),
    (("serve", "endpoint", "protocol"), "opnai", "'opnai' is not allowed; did you mean 'openai'?"),
    (("serve", "slices"), "short", "should be a list, each text, found 'short'"),
    (("serve", "delta"), None, "should be a number, found None"),
]


@pytest.mark.parametrize(("way", "value", "said"), TYPES, ids=[dotted(way) for way, *_ in TYPES])
def test_a_value_of_another_type_is_told_with_what_it_should_be(way, value, said):
    file, broken = changed(way, value)
    assert list(broken) == [dotted(way)]
    assert broken[dotted(way)].startswith(f"{dotted(way)}: ")
    assert said in broken[dotted(way)]
    assert file.model.path == "model.onnx"  # what is sound stays as it is


@pytest.mark.parametrize(
    ("way", "key"),
    [(("task",), "kind"), (("task",), "test"), (("model",), "path"), (("budget", 0), "quantity"),
     (("candidate", 0), "name"), (("candidate", 0), "steps"),
     (("evaluate", "load", "peak"), "scenario")],
)  # fmt: skip
def test_a_missing_key_is_named(way, key):
    place = tables = copy.deepcopy(TABLES)
    for part in way:
        place = place[part]
    del place[key]
    _, broken = typed(tables)
    assert list(broken.values()) == [f"{dotted((*way, key))}: missing"]


def test_every_broken_value_is_found_beside_all_others():
    tables = copy.deepcopy(TABLES)
    tables |= {"extra": 1, "serve": {"delta": "x", "more": 2}}
    tables["budget"] += [{"quantity": 3}, "accuracy"]
    tables["evaluate"]["envelope"] = [{"axis": 3, "max_drop": "x"}]
    _, broken = typed(tables)
    assert set(broken) == {
        "extra", "serve.delta", "serve.more", "budget[1].quantity", "budget[2]",
        "evaluate.envelope[0].axis", "evaluate.envelope[0].max_drop",
    }  # fmt: skip


def test_what_lay_in_a_broken_table_is_not_said_as_well():
    _, broken = changed(("candidate", 0, "steps"), [{"use": "a"}, 3, ["b"], None])
    assert set(broken) == {f"candidate[0].steps[{i}]" for i in (1, 2, 3)}
    _, broken = changed(("evaluate", "find_slices"), {"depth": {"deep": []}})
    assert set(broken) <= {"evaluate.find_slices"}


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("evaluate.shifts", True),
        ("evaluate.shifts[0].use: x", True),
        ("evaluate.shifts.x: y", True),
        ("evaluate.shifts: x", True),
        ("evaluate.shifts2: x", False),
        ("evaluate.shift: x", False),
        ("evaluate: x", False),
        ("my.evaluate.shifts: x", False),
    ],
)
def test_a_broken_key_hides_itself_and_what_lies_in_it(text, hides):
    assert hidden(text, ["evaluate.shifts"]) is hides
    assert not hidden(text, [])
