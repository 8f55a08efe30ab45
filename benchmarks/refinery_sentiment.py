"""The sentiment baseline of the searches: the demo's data and model, and a plan of its own.

    python benchmarks/refinery_sentiment.py FOLDER

Judged on the five test sets of the demo, four of them other kinds of text than the head learnt
from, and under typos and noise on each. About two minutes where the packages are fetched.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from surefoot.core.progress import Silent
from surefoot.demos.sentiment import sentiment

PLAN = Path(__file__).with_name("refinery_sentiment.toml")


def main(folder: str) -> None:
    """Write FOLDER/data, FOLDER/minilm and FOLDER/surefoot.toml."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PLAN, sentiment(out, Silent()))


if __name__ == "__main__":
    main(*sys.argv[1:])
