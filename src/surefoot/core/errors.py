"""The errors that reach a user.

    SurefootError            anything surefoot can explain
    ├── PlanError            surefoot.toml, or an argument on the command line
    ├── DataError            a data file, a column, a row
    ├── ModelError           a model file, its tokenizer, its outputs
    │   └── RemoteError      an endpoint that gave no answer
    ├── PluginError          a plugin that is missing, or breaks its contract
    ├── BundleError          a run folder or a bundle that cannot be read or written
    │   ├── DamageError      a bundle's zip file that is damaged, or made to do harm
    │   └── MismatchError    one in another format, or of other rows than those at hand
    ├── BudgetError          a budget that contradicts itself or that nothing measured
    └── MachineError         this machine cannot judge: too noisy, other instruction set

A failed gate is no error: it is a `Verdict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal


class SurefootError(Exception):
    """An error with one line for the user: what is wrong, where, and what to do.

    Args:
        what: What is wrong, in one sentence without a full stop at its end.
        where: The file, key or row it was found at, for example `surefoot.toml: budget[0].level`.
        fix: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message on one line: `where: what; fix`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.fix}" if self.fix else text


class PlanError(SurefootError):
    """A plan that cannot be run; carries every problem found, not only the first.

    Args:
        problems: One line per problem, each of the form `key: what; fix`.
        where: The plan file.
    """

    def __init__(self, problems: str | Iterable[str], *, where: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems), where=where)

    def line(self) -> str:
        """Every problem on a line of its own, each with the plan file before it."""
        prefix = f"{self.where}: " if self.where else ""
        return "\n".join(prefix + problem for problem in self.problems)


class DataError(SurefootError):
    """Data that cannot be read, or that does not fit the task."""


class ModelError(SurefootError):
    """A model that cannot be read, run, or trusted."""


RemoteFault = Literal["refused", "deadline", "slow", "down", "failed", "rubbish"]


class RemoteError(ModelError):
    """An endpoint that gave no answer, and whose fault that is.

    Args:
        fault: `refused`: it will not take the request (3xx, 4xx); `deadline`: whoever asked had no
            more time; `slow`: it took longer than it may; `down`: it cannot be reached, or broke
            off; `failed`: 5xx; `rubbish`: what came is no answer.
        what: What happened, in words.
        where: The address.
        fix: What to do about it.
    """

    def __init__(
        self, fault: RemoteFault, what: str, *, where: str | None = None, fix: str | None = None
    ) -> None:
        self.fault = fault
        super().__init__(what, where=where, fix=fix)

    @property
    def is_its_own(self) -> bool:
        """Whether the endpoint is at fault, and not whoever asked: what may open a breaker."""
        return self.fault not in ("refused", "deadline")


class PluginError(SurefootError):
    """A plugin that does not exist, or that does not keep its contract."""


class BundleError(SurefootError):
    """A run folder or bundle that cannot be read or written."""


class MismatchError(BundleError):
    """A bundle in a format that this surefoot does not read, or of other rows than those here."""


class DamageError(BundleError):
    """A bundle's zip file that is damaged, or that holds what no bundle holds."""


class BudgetError(SurefootError):
    """A budget that contradicts itself, or whose quantity nothing measured."""


class MachineError(SurefootError):
    """A machine that cannot judge: too noisy, or not the one the baseline was measured on."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The suggestion that ends an "unknown name" message.

    Returns:
        `did you mean 'x'?`, or the first known names when none is close.
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    shown = [*names[:12], "…"] if len(names) > 12 else names
    return f"known: {', '.join(shown) or 'none'}"
