"""`surefoot power`: answers from a plan and its test sets alone."""

import json
import re
from pathlib import Path

import pytest

from surefoot.data import read, sketch
from surefoot.ledger import LEDGER, record_use

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "main.csv", text = "text", label = "label" }
test.talks = { use = "csv", path = "talks.csv", text = "text", label = "label", group = "speaker" }
[model]
path = "big.onnx"
[evaluate]
slices = { spanish = "lang = 'es'" }
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[[candidate]]
name = "int8-per-channel"
steps = [{ use = "quantize_dynamic", per_channel = true }]
[[budget]]
quantity = "accuracy"
max_drop = 0.03
dataset = "main"
[[budget]]
quantity = "accuracy"
max_drop = 0.05
slice = "spanish"
[[budget]]
quantity = "p99_ms"
at_most = 20
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A plan on 2,000 rows, a tenth Spanish, and 600 in groups of four; the model is no model."""
    for name, rows in (("main", 2_000), ("talks", 600)):
        lines = (
            f"{name} {i},{'ab'[i % 2]},{'es' if i % 10 < 1 else 'en'},{i // 4}" for i in range(rows)
        )
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label,lang,speaker", *lines]))
    (tmp_path / "big.onnx").write_bytes(b"no model at all")
    (tmp_path / "surefoot.toml").write_text(PLAN)
    return tmp_path


def test_the_answer_is_the_first_and_the_last_line(folder, cli):
    said = cli("power")
    lines = said.out.splitlines()
    assert said.code == 3
    assert lines[0] == lines[-1]
    found = re.fullmatch(
        r"POWER  2 of 3 budgets can be decided at 90 % power if 5 % of the answers change;"
        r" accuracy on talks \[spanish\] misses (\d+) rows",
        lines[0],
    )
    assert found
    (row,) = (line for line in lines if line.startswith("accuracy on talks [spanish]"))
    assert "60 rows in 60 groups" in row
    assert found[1] in row.split(" / ")
    assert sum(line.startswith("accuracy on ") for line in lines) == 3


def test_what_was_assumed_is_said(folder, cli):
    said = cli("power").out
    assert "divided by 2 candidates" in said
    assert "the first use of these test sets, which spends 60.8 % of alpha" in said
    assert "(1 + (group size - 1) * 0.3)" in said


def test_nothing_is_written(folder, cli):
    before = sorted(folder.iterdir())
    cli("power")
    assert sorted(folder.iterdir()) == before


def test_json_is_the_same_object(folder, cli):
    text, said = cli("power").out, cli("power", "--json")
    outlook = json.loads(said.out)
    assert said.code == 3
    assert (outlook["decided"], outlook["budgets"]) == (2, 3)
    assert outlook["flips"] == [0.02, 0.05, 0.1]
    for prospect in outlook["prospects"]:
        (row,) = (x for x in text.splitlines() if x.startswith(prospect["subject"] + "  "))
        assert f"{prospect['n']:,} {prospect['unit']}" in row
        assert all(f"{needed:,}" in row for needed in prospect["needed"])


def test_enough_rows_are_exit_code_0(folder, cli):
    roomy = ["--set", "budget[1].max_drop=0.2", "--set", "budget[1].dataset='main'"]
    said = cli("power", *roomy)
    assert said.code == 0
    assert said.out.splitlines()[0] == (
        "POWER  3 of 3 budgets can be decided at 90 % power if 5 % of the answers change"
    )


def test_flips_replace_the_assumptions(folder, cli):
    outlook = json.loads(cli("power", "--json", "--flips", 0.03).out)
    assert outlook["flips"] == [0.03]
    assert {len(p["decided"]) for p in outlook["prospects"]} == {1}
    assert "if 3 % of the answers change" in cli("power", "--flips", 0.03).out.splitlines()[0]


def test_too_few_calls_are_missing(folder, cli):
    said = cli("power", "--json", "--set", "evaluate.latency.calls=200")
    (timed,) = (p for p in json.loads(said.out)["prospects"] if p["unit"] == "calls")
    assert timed["n"] == 200
    assert timed["missing"][0] == timed["needed"][0] - 200 > 0


def test_an_earlier_use_of_the_test_sets_costs_power(folder, cli):
    first = json.loads(cli("power", "--json").out)
    options = {"path": str(folder / "main.csv"), "text": "text", "label": "label"}
    main = read("csv", options, name="main", slices={})
    record_use(folder / LEDGER, "an earlier run", {"main": sketch(main.inputs)})
    second = json.loads(cli("power", "--json").out)
    assert [x["design"]["use"]["count"] for x in (first, second)] == [1, 2]
    assert second["prospects"][0]["power"][1] < first["prospects"][0]["power"][1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.toml"], "no such plan"),
        (["--flips", "1.5"], "an assumed share of changed answers is not one"),
        (["--flips", "x"], "not a valid float"),
        (["--set", "budget[0].max_drop=0"], "max_drop: must be between 0 and 1"),
        (["--set", "evaluate.slices.spanish='lang = 7 days'"], "spanish"),
        (["--set", "evaluate.slices.spanish=\"lang = 'fr'\""], "slice 'spanish' is empty"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, cli, arguments, said):
    done = cli("power", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_a_budget_under_a_shift_is_foreseen_as_the_rows_of_its_data_set(folder, cli):
    shifts = 'evaluate.shifts=[{ use = "case", severity = 2.0 }]'
    rows = {}
    for key, where in (("", ""), ("case", ', shift = "case"')):
        limits = 'quantity = "accuracy", max_drop = 0.03, dataset = "main"'
        budget = f"budget=[{{ {limits}{where} }}]"
        said = json.loads(cli("power", "--json", "--set", shifts, "--set", budget).out)
        (rows[key],) = said["prospects"]
    assert rows["case"]["subject"] == "accuracy on main + case 2"
    assert rows["case"]["power"] == rows[""]["power"]


def test_a_run_says_which_slices_are_too_small_before_any_work(folder, cli):
    """The model is no model, so the run ends before a candidate could be made."""
    done = cli("run")
    assert done.code == 2
    notes = [line for line in done.err.splitlines() if line.startswith("note: ")]
    (note,) = notes
    assert note == (
        "note: talks [spanish]: 60 rows cannot pass the budget on accuracy (drop at most 5 pp),"
        " which takes 82 even if no answer changes; surefoot power says more"
    )
    assert done.err.splitlines()[-1].startswith("surefoot: ")
    enough = cli("run", "--set", "budget[1].max_drop=0.07")
    assert "note: " not in enough.err


PEAK = 'evaluate.load.peak={scenario="server",target_qps=50,seconds=12}'
ON_PEAK = 'budget=[{quantity="p99_ms",at_most=20,load="peak"}]'


def test_a_run_says_which_load_is_too_short_for_a_later_use_of_the_test_sets(folder, cli):
    """A load that is long enough for a first use is read; with less alpha it is too short."""
    first = cli("run", "--set", PEAK, "--set", ON_PEAK)
    assert "note: " not in first.err
    options = {"path": str(folder / "main.csv"), "text": "text", "label": "label"}
    main = read("csv", options, name="main", slices={})
    record_use(folder / LEDGER, "an earlier run", {"main": sketch(main.inputs)})
    (note,) = (
        line
        for line in cli("run", "--set", PEAK, "--set", ON_PEAK).err.splitlines()
        if line.startswith("note: ")
    )
    (timed,) = json.loads(cli("power", "--json", "--set", PEAK, "--set", ON_PEAK).out)["prospects"]
    assert timed["missing"][0] == timed["needed"][0] - 600 > 0
    assert note == (
        f"note: p99_ms under peak: 600 requests give no bound, which takes {timed['needed'][0]:,}"
        " however fast they are; raise evaluate.load.peak.seconds"
    )


def test_a_run_says_that_its_calls_are_too_few(folder, cli):
    notes = cli("run", "--set", "evaluate.latency.calls=50").err
    assert re.search(
        r"note: p99_ms at batch 1: 50 calls give .*raise evaluate.latency.calls", notes
    )


def test_the_advice_for_a_load_names_its_own_seconds(folder, cli):
    alone = cli("power", "--set", PEAK, "--set", ON_PEAK).out
    assert "evaluate.load.peak.seconds bring" in alone
    assert "evaluate.latency.seconds" not in alone
    calls = cli("power", "--set", PEAK).out
    assert "evaluate.latency.seconds may" in calls
    assert "evaluate.load.peak" not in calls


SEARCH = """
[search]
finalists = 4
"""


def test_finalists_of_a_search_share_alpha_with_the_candidates_named(folder, cli):
    """What a search may judge is counted before it runs: by its most finalists."""
    found = {}
    for key, text in (("named", PLAN), ("searched", PLAN + SEARCH)):
        train = 'train = { use = "csv", path = "main.csv", text = "text", label = "label" }'
        (folder / "surefoot.toml").write_text(text.replace("[task]", f"[task]\n{train}"))
        found[key] = json.loads(cli("power", "--json").out)
    assert [found[key]["design"]["candidates"] for key in ("named", "searched")] == [2, 6]
    for less, more in zip(found["searched"]["prospects"], found["named"]["prospects"], strict=True):
        assert less["alpha"] == pytest.approx(more["alpha"] * 2 / 6)
        assert less["needed"][1] >= more["needed"][1]


def test_a_search_alone_is_foreseen_by_its_finalists_alone(folder, cli):
    """No candidate stands in for those that are still to be found."""
    start, _, rest = PLAN.partition("[[candidate]]")
    text = start + rest[rest.index("[[budget]]") :] + SEARCH
    train = 'train = { use = "csv", path = "main.csv", text = "text", label = "label" }'
    (folder / "surefoot.toml").write_text(text.replace("[task]", f"[task]\n{train}"))
    assert json.loads(cli("power", "--json").out)["design"]["candidates"] == 4
    one = json.loads(cli("power", "--json", "--set", "search.finalists=1").out)
    assert one["design"]["candidates"] == 1
    assert "divided by 4 candidates" in cli("power").out
