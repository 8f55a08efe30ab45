"""The report as a page, Markdown, JSON and JUnit XML, of a bundle whose words mean harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from surefoot.bundle.encode import encode
from surefoot.core.errors import PlanError
from surefoot.report.content import read_content
from surefoot.report.forms import in_form, write_report
from surefoot.report.junit import junit
from surefoot.report.markdown import MOST, code, markdown, table_markdown
from surefoot.report.page import page
from surefoot.report.tables import as_table

VOID = {"meta", "br", "img", "input", "link", "hr"}
EVIL = "<img src=x onerror=alert(1)>|`[x](http://evil.example) @all\x1b[2J\u202e"


class Page(HTMLParser):
    """Elements in order, with their attributes; what is open and not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.found.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, *tags):
        return [
            (tag, attributes, parents) for tag, attributes, parents in self.found if tag in tags
        ]


@pytest.fixture
def hostile(own):
    """Everything that others may name, named by somebody who means harm."""
    file = own / "verdict.json"
    data = json.loads(file.read_text())
    data["doubts"], data["warnings"] = [EVIL], [EVIL]
    data["failed"] = {EVIL: EVIL}
    file.write_text(json.dumps(renamed(data)))
    return own


def renamed(value):
    """The same data with names of others in place of the plan's."""
    if isinstance(value, dict):
        keys = {key: key + EVIL if key in ("vino", "main") else key for key in value}
        return {keys[key]: renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item) for item in value]
    return value + EVIL if value in ("vino", "main", "rounding", "left") else value


@pytest.fixture(params=["as it is", "hostile"])
def shown(request, rich):
    path = rich if request.param == "as it is" else request.getfixturevalue("hostile")
    return Page(page(read_content(path)))


def test_nothing_on_the_page_acts_or_is_fetched(shown):
    assert shown.of("script", "img", "iframe", "link", "object", "embed", "form", "base") == []
    for tag, attributes, _ in shown.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("href", "src", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    policies = [a["content"] for _, a, _ in shown.of("meta") if "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    style = "".join(shown.words)
    assert "@import" not in style
    assert "url(" not in style


def test_no_hidden_character_reaches_the_page(hostile):
    text = page(read_content(hostile))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "onerror=alert" in text  # as words
    assert "<img" not in text


def test_the_page_can_be_heard_and_walked_through(shown):
    assert len(shown.of("main")) == len(shown.of("header")) == len(shown.of("nav")) == 1
    assert shown.of("html")[0][1]["lang"] == "en"
    levels = [int(tag[1]) for tag, _, _ in shown.of("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a, _ in shown.found if "id" in a]
    assert len(ids) == len(set(ids))
    named = [a["aria-labelledby"] for _, a, _ in shown.of("section")]
    assert set(named) <= set(ids)
    assert {a["href"][1:] for _, a, _ in shown.of("a")} <= set(ids)
    assert len(shown.of("table")) == len(shown.of("caption"))
    assert all("scope" in a for _, a, _ in shown.of("th"))
    assert len(shown.of("details")) == len(shown.of("summary"))
    for _, a, parents in shown.of("svg"):
        assert "aria-label" in a or a.get("aria-hidden") == "true"
        assert "svg" not in parents
    for _, a, _ in shown.found:
        if a.get("tabindex"):
            assert (a["tabindex"], bool(a.get("aria-label"))) == ("0", True)


def test_every_figure_is_followed_by_its_table(shown):
    order = [tag for tag, _, _ in shown.found if tag in ("figure", "details", "section")]
    at = [i for i, tag in enumerate(order) if tag == "figure"]
    assert len(at) >= 5
    assert all(order[i + 1] == "details" for i in at)


def test_the_page_says_the_verdict_first_and_all_sections(rich):
    content = read_content(rich)
    text = page(content)
    body = text.index("<main>")
    assert (
        text.index("Verdict</h2>", body)
        < text.index("Budgets</h2>")
        < text.index("Candidates</h2>")
    )
    for words in (
        "Where it holds", "How far it holds", "Latency", "Confidence", "Changed answers",
        "Behaviour checks", "What it cost to make", "What was not tested", "How to reproduce it",
    ):  # fmt: skip
        assert f"{words}</h2>" in text
    words = " ".join("".join(Page(text).words).split())
    assert " ".join(content.line.split()) in words
    for line in next(s for s in content.standings if s.name == content.candidate).budgets:
        assert line.measured in words
    assert len(text) < 300_000


def test_a_page_of_a_bare_run_leaves_sections_out(own, edit):
    edit(
        own, checks=[], loads=[], latencies=[], noise=[], envelopes=[], calibration=None,
        deadlines=[], found_slices=None,
    )  # fmt: skip
    text = page(read_content(own))
    Page(text)
    for words in ("Latency", "Confidence", "Behaviour checks", "Search"):
        assert f"{words}</h2>" not in text


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_can_be_read_in_light_and_dark(theme):
    folder = resources.files("surefoot.report").joinpath("templates")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    pair = r"light-dark\((#\w{6}), (#\w{6})\)"
    named = {m[1]: m.groups()[1:][theme] for m in re.finditer(r"--([\w-]+): " + pair, style)}
    cells = {
        m[1]: m.groups()[1:][theme]
        for m in re.finditer(r"\.([du]\d) \{ background: " + pair, style)
    }
    assert len(named) > 15
    assert set(cells) == {"d1", "d2", "d3", "u1", "u2", "u3"}
    for word in ("ink", "soft", "link", "pass", "fail", "open"):
        assert contrast(named[word], named["back"]) >= 4.5, word
    for back in ("panel", "pass-soft", "fail-soft", "open-soft"):
        assert contrast(named["ink"], named[back]) >= 4.5, back
    for word in ("pass", "fail", "open"):
        assert contrast(named[word], named[f"{word}-soft"]) >= 3, word
    for shade, back in cells.items():
        assert contrast(named["ink"], back) >= 4.5, shade
    for i in range(6):
        assert contrast(named[f"s{i}"], named["back"]) >= 3, i


def outside_code(text):
    """What of a Markdown text stands outside code spans and fences."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", text)


def test_markdown_has_one_line_and_the_rest_folded(hostile):
    text = markdown(read_content(hostile))
    first = text.splitlines()[0]
    assert re.match(r"[✓✗?] \*\*(PASS|FAIL|INCONCLUSIVE)\*\* `", first)
    plain = outside_code(text)
    tags = set(re.findall(r"<[^>]*>", plain))
    assert tags == {"<details>", "</details>", "<summary>", "</summary>"}
    for sign in ("@", "http", "onerror", "\x1b", "\u202e"):
        assert sign not in plain
    assert text.count("<details>") == text.count("</details>") == 5
    assert "\x1b" not in text


def test_every_line_of_a_markdown_table_has_its_columns(hostile):
    tables = re.findall(r"(?:^\|.*\n)+", markdown(read_content(hostile)), re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.mark.parametrize("words", ["a", "a`b", "``", "`a", "a``b`", " a", "x|y", EVIL])
def test_a_code_span_holds_whatever_is_put_into_it(words):
    span = code(words)
    fence = re.match("`+", span)[0]
    assert span.endswith(fence)
    inside = span[len(fence) : -len(fence)]
    assert fence not in re.findall("`+", inside)
    assert not re.search(r"(?<!\\)\|", inside)


def test_a_long_table_ends():
    table = as_table("", ("a", "", "c"), [(str(i), "", "") for i in range(MOST + 3)])
    lines = table_markdown(table)
    assert lines[0] == "| a |"
    assert lines[-1].strip() == "and 3 more, in the report"
    assert len(code("x" * 1000)) < 310


def check(value, schema, root, where="$"):
    """The part of JSON Schema that report.schema.json uses."""
    schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    kinds = {
        "object": dict, "array": list, "string": str, "number": int | float, "integer": int,
        "boolean": bool, "null": type(None),
    }  # fmt: skip
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            try:
                return check(value, one, root, where)
            except AssertionError:
                continue
        raise AssertionError(where)
    if "type" in schema:
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        flat = tuple(kinds[name] for name in wanted)
        assert isinstance(value, flat), f"{where}: {value!r}"
        assert not isinstance(value, bool) or "boolean" in wanted, where
    assert value in schema.get("enum", [value]), f"{where}: {value!r}"
    assert value == schema.get("const", value), where
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), f"{where}: {set(value)}"
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False:
            assert set(value) <= set(known), f"{where}: {set(value) - set(known)}"
        for key in set(known) & set(value):
            check(value[key], known[key], root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for i, one in enumerate(value):
            check(one, schema["items"], root, f"{where}[{i}]")
    return None


@pytest.fixture(scope="module")
def schema():
    return json.loads(resources.files("surefoot.report").joinpath("report.schema.json").read_text())


def test_json_is_as_its_schema_says(hostile, schema):
    text = in_form("json", hostile, shown=hostile)
    assert text.isascii()
    found = json.loads(text, parse_constant=pytest.fail)
    check(found, schema, schema)
    content = read_content(hostile)
    assert found["places"] == encode(content.places)
    assert found["data"] == json.loads((hostile / "verdict.json").read_text())


@pytest.mark.parametrize(
    "break_it",
    [
        lambda d: d.update(gaps=[{"what": "x"}]),
        lambda d: d.update(more=1),
        lambda d: d.update(outcome="GOOD"),
        lambda d: d["places"][0].update(n=0.5),
        lambda d: d["standings"][1]["budgets"][0]["estimate"].pop("low"),
    ],
)
def test_the_schema_can_tell(rich, schema, break_it):
    found = json.loads(in_form("json", rich, shown=rich))
    break_it(found)
    with pytest.raises(AssertionError):
        check(found, schema, schema)


ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time", "disabled"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "hostname"},
    "testcase": {"name", "classname", "time", "status", "assertions"},
    "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"message"},
    "properties": set(), "property": {"name", "value"}, "system-out": set(),
}  # fmt: skip
"""What the schemas of Jenkins and of Ant's JUnit task have in common."""
INSIDE = {"testsuites": {"testsuite"}, "testsuite": {"properties", "testcase", "system-out"}}
INSIDE |= {"testcase": {"failure", "error", "skipped"}, "properties": {"property"}}


def test_junit_is_as_ci_systems_read_it(hostile):
    text = junit(read_content(hostile))
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= INSIDE.get(element.tag, set())
    (suite,) = root
    tags = [child.tag for child in suite]
    assert tags == sorted(tags, key=["properties", "testcase", "system-out"].index)
    for name in ("failure", "error", "skipped"):
        count = {"failure": "failures", "error": "errors", "skipped": "skipped"}[name]
        assert int(suite.get(count)) == len(list(suite.iter(name)))
    assert int(suite.get("tests")) == len(list(suite.iter("testcase")))
    names = [(case.get("classname"), case.get("name")) for case in suite.iter("testcase")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("outcome", "tag"), [("FAIL", "failure"), ("INCONCLUSIVE", "error")])
def test_what_releases_nothing_is_red(own, edit, outcome, tag):
    data = json.loads((own / "verdict.json").read_text())
    for verdict in data["verdicts"]:
        verdict["outcome"] = outcome
        for finding in verdict["findings"]:
            finding["outcome"] = outcome
    edit(own, verdicts=data["verdicts"])
    content = read_content(own)
    (suite,) = ET.fromstring(junit(content))
    cases = [c for c in suite.iter("testcase") if c.get("name") != "was not chosen"]
    assert len(cases) == 4
    assert all([child.tag for child in case] == [tag] for case in cases)
    assert [c.get("type") for case in cases for c in case] == [outcome] * 4
    others = [c for c in suite.iter("testcase") if c.get("name") == "was not chosen"]
    assert [[child.tag for child in case] for case in others] == [["skipped"]]


def test_xml_holds_no_character_that_xml_forbids(own, edit):
    edit(own, warnings=[])
    text = (own / "verdict.json").read_text().replace("accuracy on main", "a\\u0000b\\uffff\\ud800")
    (own / "verdict.json").write_text(text)
    ET.fromstring(junit(read_content(own)).encode())


def test_plain_text_ends_as_it_starts(hostile):
    lines = in_form("plain", hostile, shown=hostile).splitlines()
    assert lines[0] == lines[-1]
    assert any(line.startswith("what was not tested") for line in lines)
    assert "how to reproduce it:" in lines
    assert all(line.isprintable() for line in lines)


def test_a_report_is_written_where_it_does_no_harm(own, tmp_path):
    with pytest.raises(PlanError, match=r"lies in the bundle"):
        write_report(own / "report.html", "x", "html", own)
    with pytest.raises(PlanError, match=r"not called \.html"):
        write_report(tmp_path / "report.txt", "x", "html", own)
    assert write_report(tmp_path / "report.xml", "x", "junit", own).read_text() == "x"
