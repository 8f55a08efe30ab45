"""What a real browser makes of a report: `python benchmarks/report_browser.py PAGE [--axe FILE]`.

Headless Chromium opens a copy of the page into which a script was put that looks and tells; the
page itself has none. It prints the time to first paint, whether anything is wider than the window
at phone width, and what axe-core (`npm install axe-core`, then
`--axe node_modules/axe-core/axe.min.js`) finds, in light and dark. `--shots FOLDER` keeps pictures
and a PDF.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENT = "--virtual-time-budget=30000"
"""Waits for promises, but not in true time."""
DARK = "--blink-settings=preferredColorScheme=0"
PAINT = """
new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))
  .observe({type: 'paint', buffered: true}))
"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
AXE = """
axe.run({resultTypes: ['violations']}).then(found => found.violations.map(v => ({
  id: v.id, impact: v.impact, nodes: v.nodes.length, first: v.nodes[0].html.slice(0, 200),
  why: v.nodes[0].failureSummary})))
"""


def main() -> None:
    """Open the page, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core")
    parser.add_argument("--shots", type=Path, help="keep pictures and a PDF in this folder")
    asked = parser.parse_args()
    paints = sorted(ask(asked.page, PAINT) for _ in range(5))
    print(f"first paint: median of 5 {paints[2]:.0f} ms, from {paints[0]:.0f} to {paints[-1]:.0f}")
    print(
        f"wider than a window of 390 px by {ask(asked.page, WIDE, width=390, options=[PATIENT])} px"
    )
    if asked.axe:
        for name, more in (("light", [PATIENT]), ("dark", [PATIENT, DARK])):
            found = ask(asked.page, AXE, before=asked.axe.read_text(), options=more)
            print(f"axe-core, {name}: {len(found)} faults")
            for fault in found:
                print(f"  {json.dumps(fault, indent=2)}")
    if asked.shots:
        shoot(asked.page, asked.shots)


def chromium() -> str | None:
    """The browser's program; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def ask(
    page: Path,
    script: str,
    *,
    before: str = "",
    width: int = 1100,
    options: list[str] | None = None,
) -> Any:
    """What a script says of a page once every fold of it is open.

    Args:
        page: The page.
        script: JavaScript, one expression; may be a promise.
        before: A library that it needs.
        width: The window's.
        options: Further options of the browser.
    """
    text = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text())
    tell = (
        f"<script>{before}</script><script>addEventListener('load', async () => {{"
        f" const said = x => console.log('SAID' + JSON.stringify(x) + 'DIAS');"
        f" try {{ said(await ({script.strip()})); }} catch (e) {{ said(String(e)); }} }});"
        "</script></head>"
    )
    opened = re.sub(r"<details", "<details open", text)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(opened.replace("</head>", tell, 1))
        shot = f"--screenshot={folder}/page.png"
        log = ["--enable-logging=stderr", f"--window-size={width},900", shot]
        done = _browser([*log, *(options or [])], copy)
    found = re.search("SAID(.*)DIAS", done, re.DOTALL)
    if found is None:
        raise RuntimeError(f"the page said nothing: {done[-400:]}")
    return json.loads(found[1])


def shoot(page: Path, folder: Path) -> None:
    """Pictures of the page in light, dark and at phone width, and the PDF that it prints to.

    Args:
        page: The page.
        folder: Where they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, more in (("light", 1100, []), ("dark", 1100, [DARK]), ("phone", 500, [])):
        shot = f"--screenshot={folder / name}.png"
        _browser(["--hide-scrollbars", f"--window-size={width},9000", *more, shot], page)
    print_pdf(page, folder / "report.pdf")


def print_pdf(page: Path, path: Path) -> Path:
    """Print the page.

    Args:
        page: The page.
        path: The PDF.
    """
    _browser(["--no-pdf-header-footer", f"--print-to-pdf={path}"], page)
    return path


def _browser(options: list[str], page: Path) -> str:
    program = chromium()
    assert program is not None, "no Chromium on this machine"
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--timeout=60000"]
    command = [program, *fixed, *options, page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stderr


if __name__ == "__main__":
    main()
