"""How a service is doing, as one page for people and as JSON for programs."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from html import escape
from importlib import resources
from itertools import accumulate, pairwise
from math import isfinite
from typing import Any

from surefoot.core.evidence import Outcome
from surefoot.core.printable import printable
from surefoot.core.serving import Cascade
from surefoot.report.cascade import promise_line
from surefoot.serve.flow import ABSTAIN, HELD, Standing
from surefoot.serve.meters import STATUSES, Meters
from surefoot.serve.readiness import Readiness

LATELY_S = 60.0
"""Seconds that count as lately."""
NOTE_S = 1.0
"""Seconds between two readings that are kept."""
BAD = frozenset((ABSTAIN, *(status for status in STATUSES if status[0] != "2")))
"""Answers that are none, in another colour."""
WATCH_S = 5.0
"""Seconds between two readings that nobody asks for."""
Numbers = Mapping[str, Mapping[str, float]]
"""What `Meters.read` gives."""
_STYLE = """
.bars td:nth-child(2) { width: 60%; min-width: 3rem; vertical-align: middle; }
.bars table, .pair > section { width: 100%; } .pair > section { flex: 1 1 20rem; min-width: 0; }
.pair h2 { margin-top: 1.5rem; } svg.share { width: 100%; height: 12px; }
svg.share .good { fill: var(--s1); } svg.share .bad { fill: var(--s2); }
.bars tbody th { min-width: 0; white-space: nowrap; } .bars th:first-child { width: 1%; }
.bars .n { padding-right: 0; padding-left: .6rem; }
"""
_SCRIPT = """
setInterval(async () => {
  if (document.hidden) return;
  const told = document.getElementById('told');
  try {
    const sent = await fetch('status', {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    if (!sent.ok) throw new Error('status ' + sent.status);
    const page = new DOMParser().parseFromString(await sent.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
    told.textContent = 'It looks again every 2 seconds.';
  } catch (error) {
    told.textContent = 'No answer (' + error.message + '): what stands here is old.';
  }
}, 2000);
"""
_SNAPSHOT = "This is how it was when the page was opened; with scripts it looks again by itself."


class Status:
    """What a service tells of itself.

    Args:
        found: What is promised.
        verdict: The lean model's own.
        fingerprint: The lean model's.
        meters: What the service has counted.
        readiness: Whether its models answer as they must.
        standing: Gives what counts now.
    """

    def __init__(
        self,
        found: Cascade,
        verdict: Outcome,
        fingerprint: str,
        meters: Meters,
        readiness: Readiness,
        standing: Callable[[], Standing],
    ) -> None:
        self._found, self._verdict, self._fingerprint = found, verdict, fingerprint
        self.bundle = ""
        """SHA-256 of the manifest of what is served."""
        self._meters, self._readiness, self._standing = meters, readiness, standing
        self._began, self._noted = time.monotonic(), deque[tuple[float, Numbers]]()
        self.note()

    def note(self) -> Numbers:
        """Read the numbers, and keep them to tell later what has changed; cheap enough for a timer.

        Returns:
            The numbers.
        """
        now, numbers = time.monotonic(), self._meters.read()
        if not self._noted or now - self._noted[-1][0] >= NOTE_S:
            self._noted.append((now, numbers))
        while len(self._noted) > 1 and now - self._noted[1][0] > LATELY_S:
            self._noted.popleft()
        return numbers

    async def watch(self) -> None:
        """Read the numbers again and again, so that there is a lately for whoever looks."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.note()

    def data(self) -> Mapping[str, Any]:
        """Everything that the page tells, and the numbers behind it."""
        numbers, standing = self.note(), self._standing()
        since, before = self._noted[0]
        return {
            "name": self._found.lean,
            "fallback": self._found.fallback,
            "verdict": self._verdict,
            "model": self._fingerprint,
            "bundle": self.bundle,
            "promised": promise_line(self._found),
            "promise": standing.promise,
            "fallback_left_alone": numbers["fallback_left_alone"][""] > 0,
            "between": list(self._found.between),
            "alarm": standing.alarm,
            "threshold": standing.threshold if isfinite(standing.threshold) else None,
            "ready": self._readiness.ready,
            "why": self._readiness.why() or ("leaving" if self._readiness.leaving else ""),
            "seconds": time.monotonic() - self._began,
            "lately_seconds": time.monotonic() - since,
            "numbers": numbers,
            "lately": _changed(numbers, before),
        }

    def page(self) -> bytes:
        """The page; it stands alone, and without scripts too."""
        data = self.data()
        name, style = escape(printable(data["name"])), _style()
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{name}: surefoot serve</title><style>{style}</style></head><body>"
            f"<header><h1>{name}</h1></header><main>{''.join(_main(data))}</main>"
            f'<footer><p id="told" role="status">{_SNAPSHOT}</p>'
            f"</footer><script>{_SCRIPT}</script></body></html>\n"
        ).encode()


def page_headers() -> tuple[tuple[bytes, bytes], ...]:
    """What the page may do: show itself, and ask where it came from."""
    allowed = (
        f"default-src 'none'; style-src '{_hash(_style())}'; script-src '{_hash(_SCRIPT)}';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", allowed.encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _style() -> str:
    """The report's own look."""
    file = resources.files("surefoot.report").joinpath("templates", "style.css")
    return file.read_text(encoding="utf-8") + _STYLE


def _changed(now: Numbers, before: Numbers) -> Numbers:
    """What was added; a gauge has no such thing, and nobody shows it."""
    return {
        name: {label: value - before[name].get(label, 0.0) for label, value in values.items()}
        for name, values in now.items()
    }


def _main(data: Mapping[str, Any]) -> Iterator[str]:
    """The page between its head and its foot."""
    numbers, lately = data["numbers"], data["lately"]
    yield _state(data)
    workers = numbers["workers"][""]
    told = f", of {workers:.0f} workers together" if workers > 1 else ""
    yield (
        f'<p class="soft">Up for {_span(data["seconds"])}; “lately” is the last'
        f" {_span(data['lately_seconds'])}{told}. Shares are of what came"
        " lately, or of all if nothing did.</p>"
    )
    yield '<div class="pair bars">'
    yield _shares("Who answers", "rows by route", numbers["rows"], lately["rows"])
    yield _shares("Requests", "by status", numbers["requests"], lately["requests"])
    yield _parts("Time of a request", numbers["request_seconds"], lately["request_seconds"], _ms)
    yield _parts("Confidence in answers", numbers["confidence"], lately["confidence"], str)
    yield "</div>"
    yield _others(numbers, lately)
    named = {"Manifest of the bundle": data["bundle"], "Lean model": data["model"]}
    told = "; ".join(f"{text} <code>{escape(sha)}</code>" for text, sha in named.items() if sha)
    yield f'<p class="soft">{told}</p>'


def _state(data: Mapping[str, Any]) -> str:
    """What counts at this moment, worst first."""
    alone, promise = data["fallback_left_alone"], escape(printable(data["promise"]))
    void = alone or data["promise"] != HELD
    mark = "FAIL" if data["alarm"] or not data["ready"] else "INCONCLUSIVE" if void else "PASS"
    why = f": {escape(printable(data['why']))}" if data["why"] else ""
    alarm = "; <b>alarm</b>" if data["alarm"] else ""
    if alone:
        alarm += "; <b>the fallback has been failing</b>, and answers that need it promise nothing"
    return (
        f'<div class="verdict {mark}"><p class="line">'
        f'<b class="{mark}">{"Ready" if data["ready"] else "Not ready"}</b>{why};'
        f" the promise is <b>{promise}</b>{alarm}.</p><p>{escape(data['promised'])}.</p>"
        f"<p>The verdict of {escape(printable(data['name']))} itself is <b>{data['verdict']}</b>;"
        f" {_behind(data)}.</p></div>"
    )


def _behind(data: Mapping[str, Any]) -> str:
    fallback, threshold = escape(printable(data["fallback"])), data["threshold"]
    if threshold is None:
        return f"every request goes to {fallback}"
    if threshold == 0:
        return "it answers every request"
    asked = [*(escape(printable(name)) for name in data["between"]), fallback]
    return f"below a confidence of {threshold:.6g} of its own it is {', then '.join(asked)}"


def _shares(title: str, head: str, ever: Mapping[str, float], late: Mapping[str, float]) -> str:
    """Counts by name, and the share of each."""
    rows = {name: (count, late.get(name, 0.0)) for name, count in ever.items() if count}
    return _table(title, head, rows)


def _parts(
    title: str,
    ever: Mapping[str, float],
    late: Mapping[str, float],
    said: Callable[[str], str],
) -> str:
    """A histogram, from its first part that holds anything to its last."""
    ends = [end for end in ever if end != "sum"]
    held = [i for i, end in enumerate(ends) if ever[end]]
    names = [f"up to {said(ends[0])}"]
    names += [
        f"above {said(low)}" if high == "+Inf" else f"{said(low)} to {said(high)}"
        for low, high in pairwise(ends)
    ]
    shown = range(held[0], held[-1] + 1) if held else range(0)
    return _table(
        title,
        _quantiles(ever, said),
        {names[i]: (ever[ends[i]], late.get(ends[i], 0.0)) for i in shown},
    )


def _quantiles(ever: Mapping[str, float], said: Callable[[str], str]) -> str:
    """Below what half of the values lie, and 99 of 100, as far as the parts tell."""
    ends = [end for end in ever if end != "sum"]
    below = list(accumulate(ever[end] for end in ends))
    if not below[-1]:
        return ""
    half, most = (
        ends[next(i for i, n in enumerate(below) if n >= share * below[-1])]
        for share in (0.5, 0.99)
    )
    if most == "+Inf":
        return f"half up to {said(half)}" if half != "+Inf" else ""
    return f"half up to {said(half)}, 99 of 100 up to {said(most)}"


def _table(title: str, head: str, rows: Mapping[str, tuple[float, float]]) -> str:
    """Names, bars, counts: of what there was lately, or else of all."""
    every, recent = (sum(counts) for counts in zip(*rows.values(), strict=True)) if rows else (0, 0)
    which, whole = (1, recent) if recent else (0, every)
    body = "".join(
        f'<tr><th scope="row">{escape(printable(name))}</th>'
        f"<td>{_bar(counts[which] / (whole or 1), good=name not in BAD)}</td>"
        f'<td class="n">{counts[which] / (whole or 1):.1%}</td>'
        f'<td class="n">{counts[1]:,.0f}</td><td class="n">{counts[0]:,.0f}</td></tr>'
        for name, counts in rows.items()
    )
    if not body:
        return f"<section><h2>{title}</h2><p>Nothing yet.</p></section>"
    caption = f"<caption>{head}</caption>" if head else ""
    return (
        f"<section><h2>{title}</h2><table>{caption}<thead><tr><td></td><td></td>"
        f'<th class="n">share</th><th class="n">lately</th><th class="n">ever</th></tr></thead>'
        f"<tbody>{body}</tbody></table></section>"
    )


def _bar(share: float, *, good: bool) -> str:
    return (
        '<svg class="share" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 12">'
        f'<rect class="{"good" if good else "bad"}" width="{100 * share:.1f}" height="12"/></svg>'
    )


_OTHERS: Mapping[str, str] = {
    "void_rows": "rows whose promise was void",
    "workers_died": "workers that died",
    "records_dropped": "records dropped before the supervisor",
    "decisions_dropped": "decisions not logged",
}
"""Single counts that are told if they are counted, and what they are."""


def _others(numbers: Numbers, lately: Numbers) -> str:
    told = "".join(
        f'<tr><th scope="row">{text}</th><td class="n">{sum(lately[name].values()):,.0f}</td>'
        f'<td class="n">{sum(numbers[name].values()):,.0f}</td></tr>'
        for name, text in _OTHERS.items()
        if name in numbers
    )
    heads = '<td></td><th class="n">lately</th><th class="n">ever</th>'
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{told}</tbody></table>"
    return f"<h2>What went wrong</h2>{table}"


def _ms(end: str) -> str:
    seconds = float(end)
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"
