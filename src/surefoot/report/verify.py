"""What was found out about a bundle, for the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from surefoot.core.claims import Basis, Claim, Fault, Verification
from surefoot.core.printable import printable
from surefoot.report.drift import floor_lines
from surefoot.report.terminal import table

TITLES: dict[Basis, str] = {
    "files": "what follows from the bundle's own files:",
    "again": "what its models give here:",
    "recipe": "the winner made anew from its recipe:",
}
MOST = 40
"""Faults that are listed, at most; --json lists all."""


def verification_lines(found: Verification) -> list[str]:
    """What was found out, the summary first and last."""
    summary = [_summary(found)]
    if found.faults:
        named = [_fault(fault) for fault in found.faults[:MOST]]
        more = len(found.faults) - len(named)
        return [*summary, "", *named, *([f"and {more:,} more"] if more else []), "", *summary]
    parts = [
        summary,
        [f"{found.files:,} files are as the manifest says", printable(found.signature)],
        [printable(f"warning: {note}") for note in found.notes],
        _environment(found),
        *(_claims(found.claims, basis) for basis in TITLES),
        [*_remarks(found)],
        summary,
    ]
    return "\n\n".join("\n".join(part) for part in parts if part).splitlines()


def verification_exit_code(found: Verification) -> int:
    """1 where a file or a claim is not as the bundle says, 3 where too little could be run, else 0.

    Too little: a cell of a model that the bundle holds was not run, or none was; or a verdict could
    not be judged again from the bundle's files.
    """
    if found.faults or any(claim.status == "DIFFERS" for claim in found.claims):
        return 1
    again = [c for c in found.claims if c.basis == "again" and c.candidate in found.models]
    cells = [claim for claim in again if claim.subject.startswith("answers on ")]
    ran = any(claim.status == "REPRODUCED" for claim in cells)
    whole = all(claim.status == "REPRODUCED" for claim in cells)
    judged = all(
        c.status == "REPRODUCED" for c in found.claims if c.basis == "files" and c.candidate
    )
    return 0 if ran and whole and judged else 3


def _summary(found: Verification) -> str:
    if found.faults:
        what = "file of the bundle is" if len(found.faults) == 1 else "files of the bundle are"
        return f"NOT INTACT  {len(found.faults):,} {what} not as it was written"
    code = verification_exit_code(found)
    counts = Counter(claim.status for claim in found.claims)
    word = {0: "REPRODUCED", 1: "DIFFERS", 3: "NOT RUN"}[code]
    tried = counts["REPRODUCED"] + counts["DIFFERS"]
    return (
        f"{word}  {counts['REPRODUCED']} of {tried} claims that were looked into hold,"
        f" {counts['DIFFERS']} differ, {counts['NOT RUN']} were not run"
    )


def _fault(fault: Fault) -> str:
    why = f": {printable(fault.why)}" if fault.why else ""
    return f"{fault.what}: {printable(fault.file)}{why}"


def _environment(found: Verification) -> list[str]:
    if not found.environment:
        return ["the environment is the same"]
    rows = [(c.what, printable(c.there), printable(c.here)) for c in found.environment]
    lines = table(("environment", "there", "here"), rows)
    cells = [] if found.drift is None else found.drift.cells
    moved, ran = (
        sum(c.status in words for c in cells) for words in (("moved",), ("moved", "same"))
    )
    if ran:
        lines += ["", f"together they moved {moved} of {ran} cells beyond the noise floor"]
    return lines


def _claims(claims: Sequence[Claim], basis: Basis) -> list[str]:
    here = [claim for claim in claims if claim.basis == basis]
    if not here:
        return []
    header = ("", "candidate", "claim", "there", "here", "")
    return [TITLES[basis], *table(header, [*_rows(here)])]


def _rows(claims: Sequence[Claim]) -> Iterator[list[str]]:
    """A line a claim that differs or moved; the others of a candidate share one."""
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for claim in claims:
        plain = claim.status == "REPRODUCED" and claim.there == claim.here
        if plain or claim.status == "NOT RUN":
            alike[claim.status, claim.candidate, claim.why].append(claim.subject)
            continue
        texts = (claim.candidate, claim.subject, claim.there, claim.here, claim.why)
        yield [claim.status, *map(printable, texts)]
    for (status, candidate, why), subjects in alike.items():
        several = f"{subjects[0]} and {len(subjects) - 1} more"
        shown = several if len(subjects) > 1 else subjects[0]
        yield [status, *map(printable, (candidate, shown, "", "", why))]


def _remarks(found: Verification) -> Iterator[str]:
    if found.drift is None:
        yield "nothing was run again: the data of the plan are not at hand; --data says where"
        return
    yield from floor_lines(found.drift)
    if found.sample:
        seen = max((c.seen or 0.0 for c in found.drift.cells), default=0.0)
        yield (
            f"of each cell {found.sample.rows:,} rows or more were asked, in whole calls drawn from"
            f" seed {found.sample.seed}: a cell in which {seen:.1%} of the rows were changed is met"
            " in 19 of 20 draws, wherever they are"
        )
