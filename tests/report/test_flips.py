"""Changed answers, from a real run of a linear model to lines and pages."""

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.errors import BundleError, DataError, PlanError
from surefoot.core.estimate import Estimate
from surefoot.core.progress import Silent
from surefoot.plan import read_plan
from surefoot.report.flips import Flip, FlipPlace, Flips, inputs_of, other_source, read_flips
from surefoot.report.flips_lines import flips_json, flips_lines
from surefoot.report.flips_page import MOST, page, write_page
from surefoot.run import run_plan

T = np.dtypes.StringDType()
PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"], by = "year" }
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[[candidate]]
name = "ruined"
steps = [{ use = "quantize_dynamic", per_channel = false, head = true }]
[evaluate]
shifts = [{ use = "rounding", severity = 5 }]
class_slices = true
find_slices = { least_rows = 20 }
latency = { batch = [1], calls = 10, seconds = 10 }
[[budget]]
quantity = "accuracy"
max_drop = 0.5
slice = "*"
"""  # noqa: E501


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear):
    """A folder with a finished run: one candidate answers as the baseline, one loses many."""
    import onnx

    folder = tmp_path_factory.mktemp("flips")
    proto = onnx.load(linear(folder / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[3] = 1000  # on a column of zeros: leaves the other weights no place in 8 bits
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, folder / "model.onnx")
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((400, 4)).astype(np.float32)
    inputs[:, 3] = 0
    labels = (inputs @ weight).argmax(axis=1)
    labels[:60] = (labels[:60] + 1) % 3  # the baseline is wrong in these
    names = np.array(["ash", "birch", "oak"])[labels]
    with (folder / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "d", "tree", "year"])
        for i, (row, name) in enumerate(zip(inputs.tolist(), names, strict=True)):
            writer.writerow([*row, name, 2024 + i % 2])
    (folder / "surefoot.toml").write_text(PLAN)
    run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "folder")


def read(folder, **asked):
    options = {"candidate": None, "dataset": None, "shift": None, **asked}
    return read_flips(folder / "surefoot-run" / "bundle", **options)


def inputs(folder, flips):
    plan = read_plan(folder / "surefoot.toml")
    return inputs_of(plan, folder / "surefoot-run" / "bundle", flips, Silent())


def test_flips_are_those_that_the_cells_hold(made):
    flips = read(made, candidate="ruined")
    cells = made / "surefoot-run" / "bundle" / "cells"
    assert [p.name for p in flips.places] == [
        "main year=2024",
        "main year=2025",
        "main year=2024 + rounding 5",
        "main year=2025 + rounding 5",
    ]
    for i, place in enumerate(flips.places):
        file = f"main year={2024 + i % 2}{'+rounding-5' if i > 1 else ''}.parquet"
        counts = duckdb.sql(
            "SELECT count(*), count(*) FILTER (b.correct AND NOT c.correct),"
            " count(*) FILTER (c.correct AND NOT b.correct), count(*) FILTER ("
            " NOT b.correct AND NOT c.correct AND b.predicted <> c.predicted)"
            f" FROM '{cells}/baseline/{file}' b JOIN '{cells}/ruined/{file}' c USING (id)"
        ).fetchall()[0]
        assert (place.n, *place.counts.values()) == counts
        here = [flip.kind for flip in flips.flips if flip.place == i]
        assert [here.count(kind) for kind in place.counts] == [*counts[1:]]
        for kind, estimate in place.shares.items():
            assert estimate.value == place.counts[kind] / place.n
            assert estimate.low <= estimate.value <= estimate.high
    assert min(map(len, map(flips.of, ("lost", "won", "other")))) > 0


def test_the_worst_come_first(made):
    flips = read(made, candidate="ruined")
    kinds = [flip.kind for flip in flips.flips]
    assert kinds == sorted(kinds, key=["lost", "won", "other"].index)
    lost = [flip.moved for flip in flips.of("lost")]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0 > flips.of("won")[0].moved
    won = [flip.moved for flip in flips.of("won")]
    assert won == sorted(won)


def test_rows_are_those_of_the_data(made):
    flips = read(made, candidate="ruined", shift="")
    found = inputs(made, flips)
    rows = list(csv.reader((made / "test.csv").read_text().splitlines()))[1:]
    for flip in flips.flips[:20]:
        dataset, came = found[flip.place]
        assert dataset is came
        assert str(dataset.ids[flip.row]) == flip.id
        original = rows[2 * flip.row + flip.place]
        assert dataset.inputs[flip.row].tolist() == pytest.approx(list(map(float, original[:4])))
        assert original[4] == flip.label


def test_shifted_rows_are_shown_as_the_model_was_given_them(made):
    flips = read(made, candidate="ruined", shift="rounding", dataset="main year=2025")
    assert [p.name for p in flips.places] == ["main year=2025 + rounding 5"]
    given, came = inputs(made, flips)[0]
    assert given.shift == "rounding"
    assert not np.array_equal(given.inputs, came.inputs)
    listed = flips_json(flips, {0: (given, came)}, {"main": ["a", "b", "c", "d"]})
    first = flips.flips[0]
    assert listed["flips"][0]["input"].startswith(f"a = {given.inputs[first.row][0]:.6g}, b = ")
    text = page(flips, {0: (given, came)}, {"main": ["a", "b", "c", "d"]})
    assert text.count("as shifted by rounding") == text.count("as it came") == len(flips.flips)
    assert f"a = {came.inputs[first.row][0]:.6g}, b = " in text


def test_filters(made):
    assert {p.dataset for p in read(made, dataset="main", shift="").places} == {
        "main year=2024",
        "main year=2025",
    }
    assert read(made).candidate == "vino"  # the winner
    assert read(made).flips == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"candidate": "ruind"}, "'ruind' was not judged; did you mean 'ruined'?"),
        ({"candidate": "baseline"}, "'baseline' is the baseline"),
        ({"dataset": "mian"}, "no test set 'mian' in the run"),
        ({"shift": "roundings"}, "no shift 'roundings' in the run; did you mean 'rounding'?"),
    ],
)
def test_what_the_run_has_not_is_named_with_the_nearest(made, asked, said):
    with pytest.raises(BundleError, match=re.escape(said)):
        read(made, **asked)


def test_a_run_that_is_not_finished(tmp_path):
    with pytest.raises(BundleError, match="no finished run"):
        read_flips(tmp_path / "bundle", candidate=None, dataset=None, shift=None)


def test_changed_data_are_refused(folder):
    flips = read(folder, candidate="ruined")
    text = (folder / "test.csv").read_text()
    (folder / "test.csv").write_text(text.replace("ash,2025", "oak,2025", 1))
    with pytest.raises(DataError, match=r"main year=2025: the data have changed since the run"):
        inputs(folder, flips)


def test_a_plan_that_lost_a_shift_or_a_test_set_is_refused(folder):
    flips = read(folder, candidate="ruined")
    plan = (folder / "surefoot.toml").read_text()
    (folder / "surefoot.toml").write_text(plan.replace("severity = 5", "severity = 4"))
    with pytest.raises(DataError, match="has no shift 'rounding 5' any more"):
        inputs(folder, flips)
    (folder / "surefoot.toml").write_text(plan.replace(', by = "year"', ""))
    with pytest.raises(DataError, match="the run had this test set, and the plan has not"):
        inputs(folder, flips)


def test_a_lost_cell_and_another_version_are_noticed(folder):
    bundle = folder / "surefoot-run" / "bundle"
    assert not other_source(bundle)
    made = json.loads((bundle / "environment.json").read_text())
    (bundle / "environment.json").write_text(json.dumps(made | {"surefoot": "older"}))
    assert other_source(bundle)
    (bundle / "cells" / "vino" / "main year=2024.parquet").unlink()
    with pytest.raises(BundleError, match="lacks a file"):
        read(folder)


def test_the_bundle_tells_the_worst_slice_and_what_was_explored(made):
    from surefoot.report.bundle import bundle_lines

    bundle = made / "surefoot-run" / "bundle"
    told = json.loads((bundle / "verdict.json").read_text())
    assert [one["candidate"] for one in told["worst"]] == ["vino", "ruined"]
    ruined = told["worst"][1]
    (same,) = (
        c for c in told["comparisons"]
        if (c["candidate"], c["dataset"], c["slice"], c["shift"])
        == ("ruined", ruined["dataset"], ruined["slice"], ruined["shift"])
    )  # fmt: skip
    assert ruined["estimate"]["value"] == pytest.approx(same["value"] - same["baseline"])
    assert ruined["slices"] == 2 * 2 * 4  # years, with and without the shift, all rows and classes
    assert told["found_slices"]["looked_at"] >= 50
    lines = bundle_lines(bundle)
    assert sum(line.startswith("worst slice: accuracy on main year=20") for line in lines) == 1
    assert sum(line.startswith("explored, no part of the verdict: ") for line in lines) == 1
    # No row of the data is in the bundle.
    secret = next(csv.reader((made / "test.csv").read_text().splitlines()[1:]))[0]
    assert not any(secret.encode() in f.read_bytes() for f in bundle.rglob("*.json"))


EVIL = [
    '<script>alert(1)</script><img src=x onerror="alert(2)">',
    "\x1b[2J\x1b]0;title\x07 cleared",
    "\u202eright to left\u2066",
    "two\nlines\r\nand\ttabs",
    "{{ 7 * 7 }} {% raw %}",
    "long " * 2000,
]


def evil(texts, kind="lost"):
    """Flips on rows that hold anything."""
    data = Dataset(
        name="main", ids=np.array([f"<{i}>\x1b" for i in range(len(texts))], T),
        inputs=np.array(texts, T), labels=np.zeros(len(texts), int), classes=("a",),
    )  # fmt: skip
    share = Estimate(value=0.5, low=0.25, high=0.75, level=0.95, method="exact", n=len(texts))
    shares = dict.fromkeys(("lost", "won", "other"), share)
    counts = {"lost": len(texts), "won": 0, "other": 0}
    place = FlipPlace(dataset="main", shift="", severity=0, n=9, counts=counts, shares=shares)
    flips = tuple(
        Flip(
            kind=kind, place=0, row=i, id=str(data.ids[i]), label="<b>\x1b[1m", before="\u202ea",
            after='"><svg onload=x>', moved=0.5,
        )
        for i in range(len(texts))
    )  # fmt: skip
    return Flips(candidate="<i>lean", baseline="base", places=(place,), flips=flips), {
        0: (data, data)
    }


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)


def test_whatever_stands_in_a_row_is_text_on_the_page():
    flips, rows = evil(EVIL)
    text = page(flips, rows, {})
    found = Tags(text)
    assert not found.tags & {"script", "i", "b svg", "svg", "img", "iframe", "link", "form"}
    assert not {name for name in found.attributes if name.startswith("on")}
    words = "".join(found.words)
    assert EVIL[0] in words
    assert "{{ 7 * 7 }}" in words
    assert "\\x1b[2J" in words
    assert "two\nlines\nand\\ttabs" in words
    assert not set(text) & set("\x1b\x07\u202e\u2066\x00")
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert " and 8,000 characters more" in words
    assert "no bundle" in words


def test_whatever_stands_in_a_row_is_one_harmless_line_in_the_terminal():
    flips, rows = evil(EVIL)
    lines = flips_lines(flips, rows, {})
    assert not set("".join(lines)) & set("\x1b\x07\u202e\u2066\n\r\t")
    assert sum("\\x1b[2J" in line for line in lines) == 1
    assert any("two lines and tabs" in line for line in lines)
    assert max(map(len, lines)) < 300
    assert json.loads(json.dumps(flips_json(flips, rows, {})))["flips"][0]["input"] == EVIL[0]


def test_a_page_and_the_terminal_say_how_many_they_leave_out():
    flips, rows = evil([f"row {i}" for i in range(MOST + 5)])
    text = page(flips, rows, {})
    assert text.count("<article>") == MOST
    assert f"the {MOST} that moved furthest are shown, and 5 more are not" in text
    assert flips_lines(flips, rows, {})[-1].startswith(f"and {MOST + 5 - 20} more")


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 1), (2, 300, 200, 3), (2, 8, 8, 4)])
def test_images_are_small_pictures_inside_the_page(shape):
    flips, rows = evil(["", ""])
    images = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    data = replace(rows[0][0], inputs=images)
    text = page(flips, {0: (data, data)}, {})
    assert text.count('<img src="data:image/png;base64,') == 2
    assert len(text) < 200_000
    assert "(image)" in flips_lines(flips, {0: (data, data)}, {})[-1]
    assert flips_json(flips, {0: (data, data)}, {})["flips"][0]["input"] is None


def test_a_page_is_written_whole_and_only_as_html(tmp_path):
    flips, rows = evil(["a row"])
    target = write_page(tmp_path / "deep" / "flips.html", flips, rows, {}, note="<note>")
    assert "&lt;note&gt;" in target.read_text()
    with pytest.raises(PlanError, match=r"is not called \.html"):
        write_page(tmp_path / "surefoot.toml", flips, rows, {})


def test_the_verb(folder, cli, monkeypatch):
    plan = folder / "surefoot.toml"
    said = cli("flips", plan, "--candidate", "ruined", "--html", folder / "f.html")
    assert said.code == 0, said.err
    assert said.out.startswith("answers of ruined that differ from baseline's:")
    assert "it holds rows of your data" in said.err
    assert (folder / "f.html").read_text().startswith("<!doctype html>")
    shown = json.loads(cli("flips", plan, "--candidate", "ruined", "--json").out)
    assert len(shown["flips"]) == len(read(folder, candidate="ruined").flips)
    wrong = cli("flips", plan, "--candidate", "x")
    assert (wrong.code, wrong.out) == (2, "")
    assert "'x' was not judged" in wrong.err
    shutil.rmtree(folder / "surefoot-run")
    gone = cli("flips", plan)
    assert gone.code == 2
    assert "surefoot-run: there is no bundle" in gone.err
