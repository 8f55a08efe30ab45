"""One report in each of its forms, and where it is written."""

from __future__ import annotations

from pathlib import Path

from surefoot.core.errors import PlanError
from surefoot.report.content import read_content
from surefoot.report.junit import junit
from surefoot.report.machine_form import report_json
from surefoot.report.markdown import markdown
from surefoot.report.page import page
from surefoot.report.plain import plain_lines
from surefoot.store import whole_file

DRAWN = ("html", "json")
"""The forms that show calls and changed answers, which lie in other files than verdict.json."""
ENDINGS = {"html": (".html", ".htm")}
"""How a file must be called, where another name would not be opened as what it is."""


def in_form(form: str, folder: Path, *, shown: Path) -> str:
    """The report of a bundle as text.

    Args:
        form: `html`, `plain`, `markdown`, `json` or `junit`.
        folder: The bundle's.
        shown: What the user called it, for commands.

    Returns:
        The text, with the end of its last line.

    Raises:
        BundleError: There is no bundle that can be read.
    """
    content = read_content(folder, shown=shown, drawn=form in DRAWN)
    if form == "plain":
        return "\n".join(plain_lines(folder, content)) + "\n"
    if form == "html":
        return page(content)
    if form == "markdown":
        return markdown(content)
    return junit(content) if form == "junit" else report_json(content) + "\n"


def beside(named: Path, folder: Path) -> Path:
    """Where a page goes by default: into the run's folder, or beside a zip file.

    Never into a bundle: its manifest would no longer be right.

    Args:
        named: What the user named.
        folder: The bundle's folder.
    """
    if named.is_file():
        return named.with_suffix(".html")
    return folder.parent / "report.html"


def write_report(path: Path, text: str, form: str, bundle: Path) -> Path:
    """Write a report in place of an older one.

    Args:
        path: The file.
        text: The report.
        form: Its form.
        bundle: The bundle's folder, which nothing may be written into.

    Returns:
        The file.

    Raises:
        PlanError: The name does not fit the form, or it lies in the bundle.
        BundleError: It cannot be written.
    """
    endings = ENDINGS.get(form, ())
    if endings and path.suffix.lower() not in endings:
        raise PlanError(f"--out: '{path}' is not called .html; give the page another name")
    if path.resolve().is_relative_to(bundle.resolve()):
        raise PlanError(
            f"--out: '{path}' lies in the bundle, which is whole as it is; name another folder"
        )
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
