"""Whether an answer hangs on who a text is about."""

import re
from dataclasses import replace

import numpy as np

from surefoot.core.checks import Checked, Subject
from surefoot.evaluate.checks._common import TEXT, changed

INPUTS = ("text",)
# "her" is left out: it stands for "his" and for "him", and a wrong guess makes no English.
GENDER = [
    ("he", "she"),
    ("himself", "herself"),
    ("man", "woman"),
    ("men", "women"),
    ("boy", "girl"),
    ("boys", "girls"),
    ("brother", "sister"),
    ("son", "daughter"),
    ("husband", "wife"),
    ("boyfriend", "girlfriend"),
    ("father", "mother"),
    ("uncle", "aunt"),
    ("dad", "mom"),
]
NAMES = [
    ("Alonzo", "Adam"),
    ("Darnell", "Harry"),
    ("Jamel", "Josh"),
    ("Lamar", "Roger"),
    ("Malik", "Justin"),
    ("Terrence", "Andrew"),
    ("Ebony", "Amanda"),
    ("Jasmine", "Katie"),
    ("Lakisha", "Ellen"),
    ("Latoya", "Heather"),
    ("Shaniqua", "Stephanie"),
    ("Tanisha", "Melanie"),
]

Terms = dict[str, str]


def term_swaps(
    subject: Subject, rng: np.random.Generator, *, swaps: list[tuple[str, str]] | None = None
) -> Checked:
    """Terms of people swapped for their counterparts, he for she: the answer must stay.

    Only rows that hold a term are asked, each alone, before and after; whole words are swapped,
    both ways at once, and keep their capitals. A term with a capital of its own, such as a name,
    matches only so. A row fails if its answer changes: right where the label does not hang on the
    terms, which is for the user to know. The terms by default, English ones of gender and given
    names, are from Kiritchenko and Mohammad (2018), "Examining gender and race bias in two hundred
    sentiment analysis systems".

    Args:
        subject: The model and the rows.
        rng: Not used.
        swaps: Pairs of terms; those of gender and names by default.
    """
    texts = subject.dataset.inputs.tolist()
    rounds = _rounds([*GENDER, *NAMES] if swaps is None else swaps)
    made = [[_swapped(text, terms) for text in texts] for terms in rounds]
    asked = [row for row in range(len(texts)) if any(found[row][1] for found in made)]
    before = subject.model.predict(subject.dataset.inputs[asked], batch=1)
    after = {}
    for number, found in enumerate(made):
        after[f"after swap {number + 1}"] = scores = before.copy()
        here = [i for i, row in enumerate(asked) if found[row][1]]
        inputs = np.array([found[asked[i]][0] for i in here], TEXT)
        scores[here] = subject.model.predict(inputs, batch=1)
    checked = changed(subject.dataset.ids[asked], subject.classes, before, after)
    terms = [", ".join(swap for found in made for swap in found[row][1]) for row in asked]
    details = zip(checked.details, terms, strict=True)
    return replace(
        checked,
        details=tuple(f"{line}: {swap}" if line else "" for line, swap in details),
        note=f"{len(asked)} of {len(texts)} rows hold a term",
    )


def _rounds(swaps: list[tuple[str, str]]) -> list[Terms]:
    """The pairs as both ways of a swap; a term with several counterparts takes several rounds."""
    rounds: list[Terms] = []
    for one, other in swaps:
        free = (terms for terms in rounds if one not in terms and other not in terms)
        home = next(free, None)
        if home is None:
            rounds.append(home := {})
        home |= {one: other, other: one}
    return rounds


def _swapped(text: str, terms: Terms) -> tuple[str, list[str]]:
    """The text with its terms swapped, and which were."""
    done: dict[str, None] = {}

    def swap(match: re.Match[str]) -> str:
        word = match[0]
        term = next((t for t in (word, word.lower(), word.title()) if _is(word, t, terms)), None)
        if term is None:
            return word
        done[f"{term} -> {terms[term]}"] = None
        return _dressed(terms[term], word)

    longest = sorted(terms, key=len, reverse=True)
    # Not inside "Spider-Man" or "he'd": those are words of their own.
    pattern = rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"
    return re.sub(pattern, swap, text, flags=re.IGNORECASE), list(done)


def _is(word: str, term: str, terms: Terms) -> bool:
    """Whether a word is a term: a small one in any dress, one with capitals so or all in them."""
    return term in terms and (word == term or term == term.lower() or word.isupper())


def _dressed(term: str, like: str) -> str:
    """A term in the capitals of the word that it stands for."""
    if like.isupper() and len(like) > 1:
        return term.upper()
    return term[:1].upper() + term[1:] if like[:1].isupper() else term
