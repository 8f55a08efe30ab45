"""Test sets under shifts: the same rows, changed alike for everybody and in every run."""

import numpy as np
import pytest

from surefoot import plugins
from surefoot.core.dataset import ConfirmationSet
from surefoot.core.errors import PluginError
from surefoot.core.model import StepCall
from surefoot.evaluate import under_shifts
from surefoot.evaluate.shifted import shifted


def call(use, **options):
    return StepCall(use=use, options=tuple(sorted(options.items())))


@pytest.fixture
def texts(text_task):
    return text_task.test["main"]


def test_every_set_stands_as_it_came_and_under_each_shift(texts):
    found = under_shifts(
        {"main": ConfirmationSet(texts)}, [call("typos"), call("typos", severity=4.0)]
    )
    assert list(found) == ["main", "main + typos 1", "main + typos 4"]
    assert found["main"] is texts
    light, heavy = found["main + typos 1"], found["main + typos 4"]
    assert (light.shift, light.severity, heavy.severity) == ("typos", 1.0, 4.0)
    assert (light.inputs != texts.inputs).mean() < (heavy.inputs != texts.inputs).mean()
    for one in (light, heavy):
        assert (one.ids == texts.ids).all()
        assert (one.labels == texts.labels).all()
        assert one.name == "main"
        assert one.slices.keys() == texts.slices.keys()


def test_every_run_changes_the_same_rows_alike(texts):
    first, second = (shifted(texts, call("typos", severity=3.0)) for _ in range(2))
    assert (first.inputs == second.inputs).all()


def test_a_shifted_set_is_named_by_what_it_is_made_from(texts, monkeypatch):
    made = []
    find = plugins.find
    monkeypatch.setattr(plugins, "find", lambda *call: made.append(call) or find(*call))
    main = ConfirmationSet(texts)
    typos = [call("typos"), call("typos", severity=2.0), call("words")]
    found = under_shifts({"main": main}, typos) | under_shifts({"late": main}, typos[:1])
    names = [one.fingerprint for one in found.values()]
    assert len({*names}) == len(names) - 1  # the set as it came stands there twice
    assert not made
    again = under_shifts({"main": main}, typos[:1])["main + typos 1"]
    assert again.fingerprint == found["main + typos 1"].fingerprint
    assert (again.inputs == shifted(texts, typos[0]).inputs).all()
    assert made


def test_what_breaks_the_shape_is_refused(texts, monkeypatch):
    monkeypatch.setattr(plugins, "find", lambda *_: lambda inputs, rng, **_: inputs[:3])
    with pytest.raises(PluginError, match="shift 'typos' made"):
        shifted(texts, call("typos"))


def test_no_shift_leaves_the_sets_alone(texts):
    sets = {"main": ConfirmationSet(texts)}
    assert under_shifts(sets, []) == sets
    assert isinstance(texts.inputs, np.ndarray)
