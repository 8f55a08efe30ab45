"""What workers of two bundles heed while one takes the place of the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.serve.test_safety import TERMS, alarmed

from surefoot.serve.board import Board
from surefoot.serve.flow import HELD, Standing
from surefoot.serve.journal import heeding
from surefoot.serve.meters import CELLS, Meters
from surefoot.serve.safety import STATE, pair_record, watching, write_terms
from surefoot.serve.watch import Watching

DIFFER = pair_record(confidence=0.999, agreed=False, accepted=True, epoch=0)


class Place:
    """A supervisor's guards, and workers of bundles that differ in the key of their terms."""

    def __init__(self, folder, log=None):
        self.board, self.said, self.folder = Board(slots=1, cells=CELLS), [], folder
        self.meters = Meters(self.board, 0)
        self.watching = Watching(watching(log), self.board, self.meters, self.said.append)

    def begin(self, generation, key):
        """Let a bundle begin; gives what its workers heed."""
        copy = self.folder / str(generation)
        copy.mkdir()
        if key:
            write_terms(copy, replace(TERMS, key=key))
        standing = heeding(Standing(threshold=TERMS.threshold), self.board, generation)
        self.watching.begin(generation, copy)
        return standing

    def drift(self, generation):
        for _ in range(100):
            self.watching.pair(generation, DIFFER)
        self.watching.heed()

    def gauge(self, name):
        return self.meters.read()[name][""]


@pytest.fixture
def place(tmp_path):
    """One whose first bundle answers, and has had an alarm."""
    place = Place(tmp_path)
    place.old = place.begin(1, "one")
    place.watching.take_over(1)
    assert place.old().promise == HELD
    place.drift(1)
    assert place.old().promise.startswith("void: of the last")
    return place


def test_an_alarm_of_one_bundle_is_heeded_by_its_workers_until_they_end(place):
    new = place.begin(2, "two")
    for _ in range(2):
        assert new() == Standing(threshold=TERMS.threshold)
        assert place.old().alarm
        place.watching.take_over(2)
    assert [one.partition(":")[0] for one in place.said] == ["ALARM", "the promise holds again"]
    place.drift(1)  # by workers that leave: of what is watched no more
    assert new().promise == HELD
    place.drift(2)
    assert new().alarm


def test_a_threshold_that_one_bundle_opened_again_with_is_none_of_another(place):
    for _ in range(5_000):
        if not place.old().alarm:
            break
        same = pair_record(confidence=0.999, agreed=True, accepted=False, epoch=1)
        place.watching.pair(1, same)
        place.watching.heed()
    assert place.old().epoch == 2
    new = place.begin(2, "two")
    assert (new().epoch, new().threshold) == (0, TERMS.threshold)


def test_the_same_bundle_loaded_again_goes_on_with_its_alarm_though_nothing_is_saved(place):
    new = place.begin(2, "one")
    assert new() == place.old()
    place.watching.take_over(2)
    assert new() == place.old()
    assert place.gauge("safe_mode") == 1
    assert len(place.said) == 1


def test_workers_of_both_count_where_both_are_watched_over_by_one(tmp_path):
    place = Place(tmp_path)
    old, _ = place.begin(1, "one"), place.watching.take_over(1)
    new = place.begin(2, "one")
    place.drift(2)
    assert old().alarm
    assert new().alarm


def test_an_alarm_that_was_saved_is_heeded_before_anybody_answers(tmp_path):
    alarmed(file=tmp_path / STATE)
    place = Place(tmp_path, tmp_path)
    assert not place.watching.begun(1)
    assert place.begin(1, TERMS.key)().alarm
    assert place.watching.begun(1)
    assert place.said == []
    place.watching.take_over(1)
    assert [one[:6] for one in place.said] == ["ALARM:"]


def test_a_bundle_that_is_refused_is_forgotten_and_the_other_goes_on(place):
    place.begin(2, "two")
    place.watching.keep([1])
    assert not place.watching.begun(2)
    third = place.begin(3, "three")
    assert place.old().alarm
    assert not third().alarm


def test_where_nothing_can_be_watched_no_number_of_the_guard_before_stays(place):
    assert place.gauge("shadow_pairs") > 0
    new = place.begin(2, "")
    place.watching.take_over(2)
    assert new().promise == HELD
    assert place.gauge("shadow_pairs") == place.gauge("safe_mode") == 0
    assert len(place.said) == 1
    place.drift(2)
    place.watching.save()


def test_what_is_known_outlives_the_service(tmp_path):
    place = Place(tmp_path, tmp_path)
    place.begin(1, "one")
    place.watching.take_over(1)
    place.watching.save()
    assert (tmp_path / STATE).exists()
