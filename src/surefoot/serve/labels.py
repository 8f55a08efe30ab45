"""`POST /labels`: what turned out to be true, told by the id of the decision."""

from __future__ import annotations

import re
from collections.abc import Sequence

from surefoot.serve.decisions import Label
from surefoot.serve.requests import MOST_ROWS, Refused, decoded, sized

MARKS = 3
"""Of a label in JSON: a bracket, a comma within and one behind it."""

ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
"""How the id of a decision is written."""
_ID = re.compile(ID)


def read_labels(sent: bytes, classes: Sequence[str]) -> list[Label]:
    """The labels of `{"labels": [{"id": "...", "label": "..."}]}`.

    Whether a decision of that id was logged is not looked up: its label may come first, and from
    another process than the one that answered. `surefoot decisions` counts those that find none.

    Args:
        sent: The body of a request.
        classes: What a label can be.

    Raises:
        Refused: No such body, too many labels, an id that is none, or a class that there is not.
    """
    sized(sent, each=MARKS)
    body = decoded(sent)
    labels = body.get("labels")
    if set(body) != {"labels"} or not isinstance(labels, list) or not labels:
        raise Refused('the body must hold "labels" alone, a list of at least one')
    if len(labels) > MOST_ROWS:
        raise Refused(f"{len(labels)} labels, at most {MOST_ROWS} in a request", 413)
    return [_label(one, i, classes) for i, one in enumerate(labels)]


def _label(one: object, place: int, classes: Sequence[str]) -> Label:
    if not isinstance(one, dict) or set(one) != {"id", "label"}:
        raise Refused(f'labels[{place}] must have "id" and "label" alone')
    number, label = one["id"], one["label"]
    if not isinstance(number, str) or not _ID.fullmatch(number):
        raise Refused(f"labels[{place}].id is not the id of a decision")
    if label not in classes:
        known = ", ".join(classes[:12]) + ", …" * (len(classes) > 12)
        raise Refused(f"labels[{place}].label '{str(label)[:40]}' is no class; known: {known}")
    return Label(id=number, label=label)
