"""Every page can be reached from the README, and every link of a page leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links(page):
    """The pages and the anchors that a page links."""
    for name, anchor in LINK.findall(FENCED.sub("", page.read_text())):
        yield (page.parent / name).resolve() if name else page, anchor


def anchors(page):
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_readme_links_every_page():
    linked = {page for page, _ in links(ROOT / "README.md")}
    pages = {page for page in PAGES if page.parent == ROOT / "docs"}
    assert len(pages) >= 14
    assert pages - linked == set()


def test_every_decision_can_be_reached():
    linked = {target for page in PAGES for target, _ in links(page)}
    decisions = ROOT / "docs" / "decisions"
    assert decisions in linked or {*decisions.glob("*.md")} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target.name}#{anchor}"
