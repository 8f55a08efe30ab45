"""Where a figure was measured, in words, and which of them are numbers with two ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Verdict, place
from surefoot.core.release import Figure, Release, Shipped

HALF = Estimate(value=0.5, low=0.4, high=0.6, level=0.95, method="Wilson", n=100)
FIGURE = Figure(model="int8", quantity="accuracy", estimate=HALF, lower_is_better=False)
MODEL = Shipped(
    name="int8", runtime="onnxruntime", steps=(), seed=0, fingerprint="f" * 64, size_bytes=1
)


def release(**changes):
    """A release of one candidate, of which nothing was measured unless a test says so."""
    verdict = Verdict(candidate="int8", outcome="PASS", findings=(), share=1, tried=1)
    told = {
        "task": "t",
        "kind": "text-classification",
        "metric": "accuracy",
        "key": "k",
        "candidate": MODEL,
        "baseline": replace(MODEL, name="baseline"),
        "verdict": verdict,
        "winner": True,
        "figures": (),
        "without_interval": (),
        "data": (),
        "environment": {},
        "evidence": {},
        "plan": {},
        "cells": None,
        "exported_at": 0.0,
    }
    return Release(**(told | changes))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, ""),
        ({"dataset": "tweets"}, "tweets"),
        ({"dataset": "tweets", "slice": "short"}, "tweets [short]"),
        ({"dataset": "tweets", "shift": "typos", "severity": 3.0}, "tweets + typos 3"),
        ({"dataset": "tweets", "shift": "typos", "severity": 2.5}, "tweets + typos 2.5"),
        (
            {"dataset": "tweets", "shift": "typos", "severity": 3.0, "slice": "short"},
            "tweets + typos 3 [short]",
        ),
        ({"batch": 32}, "batch 32"),
        ({"batch": 8, "load": "peak"}, "load peak"),
        ({"load": "peak"}, "load peak"),
        ({"severity": 3.0}, ""),
    ],
)
def test_a_place_in_words(fields, where):
    assert replace(FIGURE, **fields).where == where


@settings(deadline=None)
@given(st.text(), st.text(min_size=1), st.floats(0.1, 5), st.none() | st.text(min_size=1))
def test_a_place_is_called_as_the_evidence_calls_it(dataset, shift, severity, part):
    figure = replace(FIGURE, dataset=dataset, shift=shift, severity=severity, slice=part)
    assert figure.where == place(dataset, shift, severity, part)


@pytest.mark.parametrize("end", ["value", "low", "high"])
@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_figure_without_an_end_is_not_bounded(end, number):
    assert FIGURE.bounded
    assert not replace(FIGURE, estimate=replace(HALF, **{end: number})).bounded


def test_figures_are_those_of_the_model_that_is_asked_for():
    own, theirs = FIGURE, replace(FIGURE, model="baseline")
    made = release(figures=(own, theirs, replace(own, quantity="ece")))
    assert [f.quantity for f in made.of(made.candidate)] == ["accuracy", "ece"]
    assert made.of(made.baseline) == (theirs,)
    assert made.of(replace(MODEL, name="another")) == ()


@pytest.mark.parametrize(
    ("environment", "library"),
    [
        ({}, "unknown"),
        ({"libraries": {}}, "unknown"),
        ({"libraries": {"surefoot": None}}, "unknown"),
        ({"libraries": {"surefoot": ""}}, "unknown"),
        ({"libraries": {"surefoot": "0.1.0"}}, "0.1.0"),
    ],
)
def test_the_version_is_told_where_it_is_known(environment, library):
    assert release(environment=environment).library == library


def test_a_model_that_the_bundle_does_not_hold_says_nothing_of_its_files():
    assert (MODEL.folder, MODEL.format, MODEL.file, MODEL.signature) == (None, "", "", None)
    assert dict(MODEL.files) == {}
