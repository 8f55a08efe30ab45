"""Ids and answers made unreadable, so that evidence can leave the house and its rows cannot."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

TEXT = np.dtypes.StringDType()
LENGTH = 24
"""Characters of a hash: of a billion rows two share one with probability 1e-11."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hider:
    """Replaces texts by keyed hashes (HMAC-SHA-256, RFC 2104); without the salt nobody can guess.

    An answer is hashed together with its row's id: the answers of two candidates to one row can be
    compared with each other and with its label, and those to two rows cannot.
    """

    salt: bytes
    """What is kept at home."""

    @property
    def name(self) -> str:
        """What a salt is recognised by; it says nothing about the salt."""
        return self._hash("the name of this salt")[:16]

    def ids(self, dataset: str, ids: np.ndarray) -> np.ndarray:
        """(n,) StringDType, what stands for ids of one test set.

        Args:
            dataset: Its name: one id in two test sets is two rows.
            ids: (n,) StringDType.
        """
        return self._all(("id", dataset, one) for one in ids.tolist())

    def answers(self, dataset: str, ids: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(n,) StringDType, what stands for a label or an answer of each row.

        Args:
            dataset: The name of the test set.
            ids: (n,) StringDType, as they are.
            answers: (n,) StringDType, classes.
        """
        pairs = zip(ids.tolist(), answers.tolist(), strict=True)
        return self._all(("answer", dataset, one, str(answer)) for one, answer in pairs)

    def groups(self, groups: np.ndarray) -> np.ndarray:
        """(n,) StringDType, what stands for groups, in every test set alike.

        Args:
            groups: (n,) StringDType.
        """
        return self._all(("group", one) for one in groups.tolist())

    def _all(self, parts: Iterable[tuple[str, ...]]) -> np.ndarray:
        return np.array([self._hash(*part) for part in parts], TEXT)

    def _hash(self, *parts: str) -> str:
        # Each with its length, so that ("a", "bc") is not ("ab", "c").
        raw = [part.encode("utf-8", "surrogatepass") for part in parts]
        text = b"".join(len(part).to_bytes(8, "little") + part for part in raw)
        return hmac.new(self.salt, text, hashlib.sha256).hexdigest()[:LENGTH]
