"""Terms swapped in texts: which rows are asked, what they become, and which fail."""

import pytest

from surefoot import plugins

MODULE = plugins.module("check", "term_swaps")


def swapped(text, swaps):
    (terms,) = MODULE._rounds(swaps)
    return MODULE._swapped(text, terms)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("he said she left", "she said he left"),
        ("He said. SHE left.", "She said. HE left."),
        ("the theatre, then she", "the theatre, then he"),
        ("Spider-Man and the man", "Spider-Man and the woman"),
        ("a woman's film", "a man's film"),
        ("nothing here", "nothing here"),
        ("Jamel, frank and free", "Josh, frank and free"),
        ("JAMEL MET ELLEN", "JOSH MET LAKISHA"),
        ("harry him not, Harry", "harry him not, Darnell"),
    ],
)
def test_whole_words_both_ways_in_their_own_dress(text, becomes):
    assert swapped(text, [*MODULE.GENDER, *MODULE.NAMES])[0] == becomes
    assert swapped(becomes, [*MODULE.GENDER, *MODULE.NAMES])[0] == text


def test_terms_of_several_words_and_signs():
    text = swapped("my mother in law (C++)", [("mother in law", "father in law"), ("C++", "Rust")])
    assert text[0].startswith("my father in law")


def test_a_term_with_two_counterparts_takes_two_rounds():
    rounds = MODULE._rounds([("he", "she"), ("he", "they"), ("man", "woman")])
    assert [sorted(terms) for terms in rounds] == [["he", "man", "she", "woman"], ["he", "they"]]


def test_only_rows_with_a_term_are_asked_and_a_biased_model_fails(ask, scored):
    texts = ["he is here", "nobody is here", "she is here", "the table", "his and hers"]

    def model(rows):
        return scored([0.9 if "he" in text.split() else 0.1 for text in rows.tolist()])

    found = ask("term_swaps", model, texts)
    assert found.ids.tolist() == ["main/0", "main/2"]
    assert found.failed.tolist() == [True, True]
    assert found.details[0] == "good, but bad after swap 1: he -> she"
    assert found.note == "2 of 5 rows hold a term"
    assert found.largest == pytest.approx(0.8, abs=1e-6)


def test_a_fair_model_passes_and_terms_can_be_given(ask, scored):
    texts = ["cats are good", "dogs are bad", "birds"]

    def model(rows):
        return scored([0.9 if "good" in text else 0.1 for text in rows.tolist()])

    found = ask("term_swaps", model, texts, swaps=[("cats", "dogs")])
    assert found.ids.tolist() == ["main/0", "main/1"]
    assert not found.failed.any()
    assert ask("term_swaps", model, texts, swaps=[("ants", "bees")]).ids.tolist() == []
