"""The search for typing errors: it finds what there is, within its bounds, and tells no words."""

import re

import numpy as np
import pytest

from surefoot import plugins

MODULE = plugins.module("check", "edits")


def lexicon(scored):
    return lambda rows: scored([0.9 if "lovely" in text else 0.2 for text in rows.tolist()])


def test_a_word_that_everything_hangs_on_is_found(ask, scored):
    texts = ["the plot was thin but acting lovely throughout", "a dull and tired story"]
    found = ask("edits", lexicon(scored), texts, [1, 0], most=1)
    said = dict(zip(found.ids.tolist(), found.details, strict=True))
    assert said["main/1"] == ""
    assert re.match(
        r"word 7, letters? \d.*: the right class falls from 0.90 to 0.20", said["main/0"]
    )
    assert "lovely" not in said["main/0"]


def test_two_edits_reach_what_one_does_not(ask, scored):
    def model(rows):
        good = [("lovely" in text) + ("bright" in text) for text in rows.tolist()]
        return scored(np.array([0.1, 0.7, 0.9])[good])

    texts = ["lovely people in bright houses"]
    assert not ask("edits", model, texts, [1], most=1).failed.any()
    found = ask("edits", model, texts, [1], most=2)
    assert found.failed.tolist() == [True]
    assert found.details[0].count("word") == 2


def test_only_rows_that_the_model_has_right_are_attacked_and_no_more_than_asked(ask, scored):
    texts = [f"lovely number {i}" for i in range(30)]
    labels = [i % 2 for i in range(30)]  # the model says 1 everywhere
    found = ask("edits", lexicon(scored), texts, labels)
    assert sorted(found.ids.tolist()) == sorted(f"main/{i}" for i in range(1, 30, 2))
    assert len(ask("edits", lexicon(scored), texts, labels, rows=4).ids) == 4


def test_an_answer_that_only_flips_among_mates_does_not_count(ask, scored):
    def model(rows):
        return scored([0.9 if len(rows) == 1 or "lovely" in t else 0.1 for t in rows.tolist()])

    found = ask("edits", model, ["a lovely house"], [1])
    assert found.failed.tolist() == [False]


@pytest.mark.parametrize(("most", "tries"), [(1, 10), (3, 60)])
def test_the_search_asks_a_bounded_number_of_variants(ask, scored, most, tries):
    asked = []

    def model(rows):
        asked.extend(rows.tolist())
        return scored(np.full(len(rows), 0.9))

    ask("edits", model, ["several words about nothing at all " * 40], [1], most=most, tries=tries)
    # The row itself, each word left out, the variants, and the best of each round alone.
    assert len(asked) <= 1 + MODULE.MOST_WORDS + most * (tries + 1)


def test_edits_stay_inside_words_that_people_still_read():
    variants = [word for word, _ in MODULE._edited("Lovely")]
    assert len(variants) == len(set(variants)) > 10
    assert all(word[0] == "L" and word[-1] == "y" for word in variants)
    assert all(len(word) in (5, 6) for word in variants)
    assert "Lovely" not in variants
    assert {len(word) for word, _ in MODULE._edited("that")} == {4}
    assert MODULE._edited("the") == MODULE._edited("我不喜欢这部电影") == []


def test_a_text_without_words_holds(ask, scored):
    found = ask("edits", lambda rows: scored(np.full(len(rows), 0.9)), ["", "a b c"], [1, 1])
    assert found.failed.tolist() == [False, False]
