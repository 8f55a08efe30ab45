"""Whether a few typing errors, put where they hurt most, turn an answer round."""

import re

import numpy as np

from surefoot.core.checks import Checked, Opened, Subject
from surefoot.evaluate.checks._common import TEXT, answers

INPUTS = ("text",)
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEAR = {
    key: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in KEYS for i, key in enumerate(row)
}
WORD = re.compile(r"[^\W_]+")
SHORTEST = 4
"""Letters of a word that is edited: its first and its last stay, so that people still read it."""
WORDS = 5
"""The words that matter most are tried at each edit."""
MOST_WORDS = 60
"""Words of a text that are left out in turn, to see how much each matters."""


def edits(
    subject: Subject, rng: np.random.Generator, *, most: int = 2, rows: int = 100, tries: int = 60
) -> Checked:
    """Typing errors where they hurt most, a few a text: a right answer must stay right.

    Only rows that the model has right are attacked. Words are ranked by what leaving one out costs
    the right class; then, one edit at a time, the worst of many (two letters swapped, one dropped,
    one of a neighbouring key) inside the five words that matter most. A row fails if its answer
    flips, asked alone. The search is greedy and asks at most 60 + `most` x `tries` variants a row:
    a better attacker finds more. Sources: Gao et al. (2018), "Black-box generation of adversarial
    text sequences to evade deep learning classifiers"; Pruthi et al. (2019), "Combating adversarial
    misspellings with robust word recognition".

    Args:
        subject: The model and the rows.
        rng: Which rows, and which of the edits are tried.
        most: Edits a text.
        rows: Rows that are attacked, at most.
        tries: Variants asked for each edit.
    """
    ids: list[str] = []
    details: list[str] = []
    labels, texts = subject.dataset.labels, subject.dataset.inputs.tolist()
    for row in rng.permutation(len(texts)).tolist():
        if len(ids) == rows:
            break
        label = int(labels[row])
        alone = subject.model.one_call(subject.dataset.inputs[row : row + 1])
        if answers(alone)[0] != label:
            continue
        attack = _Attack(subject.model, label, rng, tries)
        ids.append(subject.dataset.ids[row])
        details.append(attack.run(texts[row], float(alone[0, label]), most))
    failed = np.array([bool(line) for line in details], dtype=bool)
    return Checked(ids=np.array(ids, TEXT), failed=failed, details=tuple(details))


class _Attack:
    """The search for edits of one text.

    Args:
        model: Who is attacked.
        label: The right class, which it gives now.
        rng: Which edits are tried.
        tries: Variants for each edit.
    """

    def __init__(self, model: Opened, label: int, rng: np.random.Generator, tries: int) -> None:
        self._model, self._label, self._rng, self._tries = model, label, rng, tries

    def run(self, text: str, confidence: float, most: int) -> str:
        """What flips the answer, without a word of the text; nothing where none was found."""
        order, done = self._ranked(text), []
        for _ in range(most):
            tried = [*self._tried(text, order)]
            if not tried:
                return ""
            scores = self._scores([variant for variant, _ in tried])
            # One that flips beats one that only lowers the right class.
            best = int(np.argmin(scores[:, self._label] - 2 * (answers(scores) != self._label)))
            text, edit = tried[best]
            done.append(edit)
            alone = self._model.one_call(np.array([text], TEXT))
            if answers(alone)[0] != self._label:
                left = float(alone[0, self._label])
                return (
                    f"{'; '.join(done)}: the right class falls from {confidence:.2f} to {left:.2f}"
                )
        return ""

    def _ranked(self, text: str) -> list[int]:
        """Positions of words that can be edited, the one that matters most first."""
        words = list(WORD.finditer(text))
        open_ = [i for i, word in enumerate(words) if _spots(word[0])][:MOST_WORDS]
        if not open_:
            return []
        without = [text[: words[i].start()] + text[words[i].end() :] for i in open_]
        right = self._scores(without)[:, self._label]
        return [open_[i] for i in np.argsort(right, kind="stable").tolist()][:WORDS]

    def _tried(self, text: str, order: list[int]) -> list[tuple[str, str]]:
        """Variants of a text by one edit each, with what was done."""
        words, found = list(WORD.finditer(text)), []
        for number in order:
            word = words[number]
            edited = _edited(word[0])
            share = min(len(edited), max(1, self._tries // len(order)))
            for i in self._rng.choice(len(edited), share, replace=False).tolist():
                variant, edit = edited[i]
                new = text[: word.start()] + variant + text[word.end() :]
                found.append((new, f"word {number + 1}, {edit}"))
        return found[: self._tries]

    def _scores(self, texts: list[str]) -> np.ndarray:
        return self._model.predict(np.array(texts, TEXT))


def _spots(word: str) -> list[int]:
    """Letters that may be edited: inside a word, of a script with capitals."""
    if len(word) < SHORTEST:
        return []
    return [i for i in range(1, len(word) - 1) if word[i].lower() != word[i].upper()]


def _edited(word: str) -> list[tuple[str, str]]:
    """Every word that is one edit away, with what was done; the same word is none."""
    found: dict[str, str] = {}
    for i in _spots(word):
        if i + 1 in _spots(word):
            swapped = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
            found.setdefault(swapped, f"letters {i + 1} and {i + 2} swapped")
        if len(word) > SHORTEST:
            found.setdefault(word[:i] + word[i + 1 :], f"letter {i + 1} dropped")
        for key in NEAR.get(word[i].lower(), ""):
            new = key.upper() if word[i].isupper() else key
            found.setdefault(word[:i] + new + word[i + 1 :], f"letter {i + 1} of the next key")
    found.pop(word, None)
    return list(found.items())
