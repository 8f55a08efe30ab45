"""Bundles looked into: real runs of a linear model, whole, edited, and on other data."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from surefoot.bundle import check_files, read_verdict_json
from surefoot.bundle.evidence import recorded
from surefoot.bundle.rederive import claims_of_files, first_difference
from surefoot.bundle.write import FORMAT
from surefoot.core.drift import Sample
from surefoot.core.hashing import hash_file
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.plan import read_plan
from surefoot.plan.resolved import plan_of
from surefoot.report.verify import verification_exit_code, verification_lines
from surefoot.run import run_plan
from surefoot.verify import Wanted, verify

ROWS = 400
PLAN = """
[task]
kind = "tabular-classification"
test.main = {{ use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "tree", id = "id" }}
test.grouped = {{ use = "csv", path = "more.csv", columns = ["a", "b", "c", "d"], label = "tree", group = "who", id = "id" }}
[model]
path = "linear.onnx"
classes = ["ash", "birch", "chêne"]
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "int8"
steps = [{{ use = "quantize_dynamic", per_channel = false, head = true }}]
[evaluate]
evidence = "{evidence}"
shifts = [{{ use = "rounding", severity = 2 }}]
slices = {{ high = "a > 0" }}
checks = ["batch_invariance"]
latency = {{ batch = [4], calls = 200, seconds = 5 }}
load.peak = {{ scenario = "server", target_qps = 100, seconds = 1 }}
[[budget]]
quantity = "accuracy"
max_drop = 0.2
[[budget]]
quantity = "accuracy"
max_drop = 0.4
slice = "high"
shift = "*"
[[budget]]
quantity = "flips"
at_most = 0.2
[[budget]]
quantity = "size_mb"
at_most = 5
[[budget]]
quantity = "batch_invariance"
at_most = 0.3
"""  # noqa: E501
MORE = """
[[budget]]
quantity = "log_loss"
max_drop = 0.9
[[budget]]
quantity = "p50_ms"
at_most = 1000
batch = 4
"""


def make(folder, linear, evidence="rows", more=MORE):
    """A plan on labels that are what its model answers but for a tenth, and its finished run."""
    linear(folder / "linear.onnx")
    session = onnxruntime.InferenceSession(str(folder / "linear.onnx"))
    rng = np.random.default_rng(0)
    for name in ("test.csv", "more.csv"):
        inputs = rng.standard_normal((ROWS, 4)).astype(np.float32)
        answers = session.run(None, {session.get_inputs()[0].name: inputs})[0].argmax(axis=1)
        labels = np.where(rng.uniform(size=ROWS) < 0.1, (answers + 1) % 3, answers)
        trees = np.array(["ash", "birch", "chêne"])[labels]
        lines = [
            f"secret-{i},{','.join(f'{x:.6f}' for x in row)},{tree},group-{i % 80}\n"
            for i, (row, tree) in enumerate(zip(inputs, trees, strict=True))
        ]
        (folder / name).write_text("".join(["id,a,b,c,d,tree,who\n", *lines]))
    (folder / "surefoot.toml").write_text(PLAN.format(evidence=evidence) + more)
    run_plan(read_plan(folder / "surefoot.toml"), folder / "surefoot-run")
    return folder


@pytest.fixture(scope="module", autouse=True)
def calm():
    """No machine counts as noisy, neither when the runs are made nor when they are looked into."""
    with pytest.MonkeyPatch.context() as patched:
        for limit in ("NOISIEST", "MOST_STEAL", "MOST_FOREIGN"):
            patched.setattr(f"surefoot.evaluate.machine.{limit}", float("inf"))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear):
    return make(tmp_path_factory.mktemp("verified"), linear)


@pytest.fixture(scope="module")
def hashed(tmp_path_factory, linear):
    return make(tmp_path_factory.mktemp("hashed"), linear, evidence="hashed", more="")


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "folder")


@pytest.fixture
def bundle(folder):
    return folder / "surefoot-run" / "bundle"


def sealed(bundle):
    """The manifest written anew, as somebody would who edits a bundle with care."""
    files = [f for f in bundle.rglob("*") if f.is_file() and f.name != "manifest.json"]
    hashes = {f.relative_to(bundle).as_posix(): hash_file(f) for f in files}
    (bundle / "manifest.json").write_text(json.dumps(hashes))


def edit(bundle, change, name="verdict.json"):
    data = json.loads((bundle / name).read_text())
    change(data)
    (bundle / name).write_text(json.dumps(data))
    sealed(bundle)


def from_files(bundle):
    return claims_of_files(bundle, recorded(bundle, read_verdict_json(bundle)))


def differing(claims):
    return [claim for claim in claims if claim.status == "DIFFERS"]


def test_what_a_run_wrote_follows_from_its_files(bundle):
    claims = from_files(bundle)
    assert {claim.status for claim in claims} == {"REPRODUCED"}, differing(claims)
    findings = [f for v in read_verdict_json(bundle)["verdicts"] for f in v["findings"]]
    assert {"flips", "log_loss"} <= {f["budget"]["quantity"] for f in findings}
    assert len(claims) == len(findings) + 2 + 2 + 7  # verdicts; plan and ledger; tables
    tables = {claim.subject.split()[0] for claim in claims[-7:]}
    assert {"comparisons", "latencies", "loads", "checks", "costs", "winner"} <= tables


def finding(data, i=0):
    return data["verdicts"][1]["findings"][i]


EDITS = {
    "an outcome": (lambda d: finding(d).update(outcome="FAIL"), "accuracy on main"),
    "a verdict": (lambda d: d["verdicts"][1].update(outcome="FAIL"), "verdict"),
    "an estimate": (lambda d: finding(d)["estimate"].update(value=0.01), "accuracy on main"),
    "an interval": (lambda d: finding(d)["estimate"].update(low=-0.001), "accuracy on main"),
    "a limit": (lambda d: finding(d).update(limit=-0.1), "accuracy on main"),
    "a p-value": (lambda d: finding(d).update(p_pass=1e-9), "accuracy on main"),
    "a finding left out": (lambda d: d["verdicts"][1]["findings"].pop(), "verdict"),
    "the winner": (lambda d: d.update(winner=None), "winner in verdict.json"),
    "a cost": (lambda d: d["costs"].update(same=1e-6), "costs in verdict.json"),
    "a count": (lambda d: d["comparisons"][0].update(lost=3), "comparisons in verdict.json"),
    "a latency": (
        lambda d: d["latencies"][0]["p50_ms"].update(value=1e-3),
        "latencies in verdict.json",
    ),
    "a load": (lambda d: d["loads"][0].update(waiting=99), "loads in verdict.json"),
    "a check": (lambda d: d["checks"][0].update(failed=99), "checks in verdict.json"),
    "the use of the data": (
        lambda d: [v["use"].update(count=9, share=1.0) for v in d["verdicts"]],
        "use of the test sets",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_verdict_is_found_though_its_manifest_is_right(bundle, name):
    change, subject = EDITS[name]
    edit(bundle, change)
    assert check_files(bundle) == ()
    found = differing(from_files(bundle))
    assert subject in {claim.subject for claim in found}
    assert all(claim.why for claim in found if claim.subject != "verdict")


def test_a_budget_that_the_plan_file_does_not_name_is_found(bundle):
    edit(bundle, lambda plan: plan["budgets"][0].update(max_drop=0.9), "plan.json")
    assert "budgets of plan.toml" in {claim.subject for claim in differing(from_files(bundle))}


def test_a_plan_that_was_overridden_says_so(bundle):
    text = (bundle / "plan.toml").read_text()
    (bundle / "plan.toml").write_text(f"{text}\n# overridden: --set task.name=x\n")
    sealed(bundle)
    (claim,) = (c for c in from_files(bundle) if c.subject == "budgets of plan.toml")
    assert (claim.status, claim.why) == ("NOT RUN", "the plan file was overridden with --set")


def test_an_edited_cell_is_found(bundle):
    """A candidate that was given the right answer to ten rows: the verdict does not follow."""
    file = bundle / "cells" / "int8" / "main.parquet"
    columns = read_parquet(file)
    wrong = np.flatnonzero(~columns["correct"])[:10]
    columns["predicted"][wrong] = columns["label"][wrong]
    columns["correct"][wrong] = True
    columns["accuracy"][wrong] = 1
    write_parquet(file, columns)
    sealed(bundle)
    assert "accuracy on main" in {claim.subject for claim in differing(from_files(bundle))}


def test_a_bundle_of_format_2_is_read_as_far_as_it_goes(bundle):
    """Without classes, ledger, or what the machine did beside each call."""
    file = bundle / "latency.parquet"
    columns = read_parquet(file)
    write_parquet(file, {k: v for k, v in columns.items() if k not in ("steal", "foreign")})
    (bundle / "load.parquet").unlink()
    (bundle / "ledger.jsonl").unlink()

    def old(data):
        data.update(format=2, loads=[])
        for key in ("classes", "written", "evidence"):
            del data[key]

    edit(bundle, old)
    claims = [claim for claim in from_files(bundle) if claim.candidate]
    assert {claim.status for claim in claims} == {"REPRODUCED"}


def test_every_claim_holds_where_it_was_made(folder, bundle):
    found = verify(bundle, Wanted(data=folder, from_scratch=True))
    assert differing(found.claims) == []
    assert verification_exit_code(found) == 0
    assert found.environment == ()
    again = [c for c in found.claims if c.basis == "again"]
    assert {c.status for c in again if c.subject.startswith("answers on")} == {"REPRODUCED"}
    (recipe,) = (c for c in found.claims if c.basis == "recipe")
    assert (recipe.status, recipe.why) == ("REPRODUCED", "equal to the last bit")
    lines = verification_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0].startswith("REPRODUCED  ")


def test_answers_that_the_models_do_not_give_differ(folder, bundle):
    """Cells and verdict edited together, as by somebody who knows how: only running them tells."""
    for file in bundle.glob("cells/*/main.parquet"):
        columns = read_parquet(file)
        columns["score"] = columns["score"] * np.float32(0.9)
        write_parquet(file, columns)
    sealed(bundle)
    found = verify(bundle, Wanted(data=folder))
    assert {c.subject for c in differing(found.claims)} == {"answers on main"}
    assert {c.basis for c in differing(found.claims)} == {"again"}
    assert "a probability moved by" in differing(found.claims)[0].why
    assert verification_exit_code(found) == 1


def test_another_model_under_the_same_name_is_refused(folder, bundle):
    winner = read_verdict_json(bundle)["winner"]
    shutil.rmtree(folder / "surefoot-run" / "models")
    for model in bundle.glob("models/*/model.onnx"):  # one may be a copy of the other
        content = bytearray(model.read_bytes())
        content[-5] ^= 64
        model.write_bytes(content)
    assert {(f.file, f.what) for f in check_files(bundle)} == {
        (f"models/{name}/model.onnx", "changed") for name in ("baseline", winner)
    }
    sealed(bundle)
    found = verify(bundle, Wanted(data=folder))
    whys = {c.why for c in found.claims if c.basis == "again" and "changed after" in c.why}
    assert whys
    assert all(why.endswith("put the file back") for why in whys)
    assert verification_exit_code(found) == 3


def test_a_sample_asks_some_rows_and_says_what_it_would_have_seen(folder, bundle):
    found = verify(bundle, Wanted(data=folder, sample=Sample(rows=64, seed=5)))
    ran = [c.moved for c in found.drift.cells if c.moved]
    assert {moved.rows for moved in ran} <= {64, 48}  # whole calls, of which the last is shorter
    assert verification_exit_code(found) == 0
    (line,) = (line for line in verification_lines(found) if "drawn from seed 5" in line)
    assert "in 19 of 20 draws" in line
    assert any("only some rows were asked" in c.why for c in found.claims)


@pytest.mark.parametrize("gone", ["test.csv", "*.csv"])
def test_data_that_are_not_at_hand_leave_claims_open(folder, bundle, gone):
    for file in folder.glob(gone):
        file.unlink()
    found = verify(bundle, Wanted(data=folder))
    assert differing(found.claims) == []
    idle = [c.why for c in found.claims if c.subject == "answers on main" and c.basis == "again"]
    assert "test.csv" in idle[0]
    assert verification_exit_code(found) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [rows[0], *rows[2:]], "1 ids are gone"),
        (lambda rows: [rows[0], rows[1].replace("secret-0", "other"), *rows[2:]], "1 new"),
        (lambda rows: [rows[0], "secret-0,9,9,9,9" + rows[1][rows[1].index(",", 38) :], *rows[2:]],
         "others"),
    ],
    ids=["a row less", "another id", "another input"],
)  # fmt: skip
def test_other_rows_are_not_taken_for_those_of_the_bundle(folder, bundle, change, said):
    rows = (folder / "test.csv").read_text().splitlines(keepends=True)
    (folder / "test.csv").write_text("".join(change(rows)))
    found = verify(bundle, Wanted(data=folder))
    idle = [c.why for c in found.claims if c.subject == "answers on main" and c.basis == "again"]
    assert said in idle[0]
    assert verification_exit_code(found) == 3


def test_without_data_only_the_files_are_looked_into(bundle):
    found = verify(bundle, Wanted())
    assert {c.basis for c in found.claims} == {"files"}
    assert verification_exit_code(found) == 3
    assert any("the data of the plan are not at hand" in line for line in verification_lines(found))


def test_hashed_evidence_names_no_row_and_can_be_paired_at_home(hashed, tmp_path):
    folder = shutil.copytree(hashed, tmp_path / "home")
    bundle = folder / "surefoot-run" / "bundle"
    for file in (f for f in bundle.rglob("*") if f.is_file()):
        assert b"secret-" not in file.read_bytes(), file
        assert b"group-" not in file.read_bytes(), file
    columns = read_parquet(bundle / "cells" / "int8" / "grouped.parquet")
    texts = {name for name, values in columns.items() if values.dtype.kind == "T"}
    assert texts == {"candidate", "dataset", "shift", "id", "label", "predicted", "group"}
    for name in ("id", "label", "predicted"):
        assert len(np.unique(columns[name])) == ROWS
    assert len(np.unique(columns["group"])) == 80
    assert not [*bundle.rglob("golden.npz")]
    assert (folder / "surefoot-salt").stat().st_mode & 0o77 == 0
    salt = (folder / "surefoot-salt").read_text().strip()
    assert not any(salt in f.read_text(errors="replace") for f in bundle.glob("*.json*"))
    found = verify(bundle, Wanted(data=folder))
    assert differing(found.claims) == []
    assert verification_exit_code(found) == 0
    ran = [c for c in found.claims if c.basis == "again" and c.subject == "flips on grouped"]
    assert {c.status for c in ran} == {"REPRODUCED"}


@pytest.mark.parametrize(
    ("salt", "said"), [(None, "is not at hand"), ("ab" * 32, "is not their salt")]
)
def test_hashed_evidence_cannot_be_paired_elsewhere(hashed, tmp_path, salt, said):
    folder = shutil.copytree(hashed, tmp_path / "elsewhere")
    (folder / "surefoot-salt").unlink()
    if salt:
        (folder / "surefoot-salt").write_text(salt)
    found = verify(folder / "surefoot-run" / "bundle", Wanted(data=folder))
    again = [c for c in found.claims if c.basis == "again"]
    assert {c.status for c in found.claims if c.basis == "files"} == {"REPRODUCED"}
    assert {c.status for c in again if c.subject.startswith("answers")} == {"NOT RUN"}
    assert any(said in c.why for c in again)
    assert verification_exit_code(found) == 3


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ((datetime.now(UTC) + timedelta(days=400)).isoformat(), "which is still to come"),
        ("yesterday", "its date, yesterday, is none"),
        ("2026-01-01T00:00:00", "its date, 2026-01-01T00:00:00, is none"),  # no zone
        (17, "its date, 17, is none"),
        ((datetime.now(UTC) - timedelta(days=400)).isoformat(), None),
    ],
)
def test_a_clock_that_lies_is_told(bundle, written, said):
    edit(bundle, lambda data: data.update(written=written))
    notes = verify(bundle, Wanted()).notes
    assert [said in note for note in notes] == ([True] if said else [])


def test_a_bundle_of_a_newer_version_is_refused_with_what_to_do(bundle, cli):
    edit(bundle, lambda data: data.update(format=FORMAT + 1))
    said = cli("verify", bundle)
    assert said.code == 4
    assert f"format {FORMAT + 1} of verdict.json is none that this surefoot reads" in said.err
    assert "use the surefoot that wrote it" in said.err


ODD = [
    lambda data: data.pop("comparisons"),
    lambda data: data.update(comparisons=[]),
    lambda data: data.update(comparisons=[{"metric": "accuracy"}]),
    lambda data: data["comparisons"][0].update(dataset="../../../../etc/passwd"),
    lambda data: data.update(candidates=[]),
    lambda data: data.update(candidates={"name": "x"}),
    lambda data: data["candidates"][1].pop("size_bytes"),
    lambda data: data["verdicts"][0].pop("use"),
    lambda data: data.update(rows=[1, 2]),
    lambda data: data.update(memory=3),
    lambda data: data.update(evidence="hashed"),
    lambda data: data["checks"][0].update(check="no_such_check"),
]


@pytest.mark.parametrize("i", range(len(ODD)))
def test_a_verdict_of_another_form_is_one_clear_line(folder, bundle, cli, i):
    edit(bundle, ODD[i])
    said = cli("verify", bundle, "--data", folder)
    assert said.code in (1, 2, 3)
    assert "internal error" not in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["verdicts"].append({**data["verdicts"][0], "candidate": "nobody"}),
        lambda data: data["verdicts"][0]["findings"].append(data["verdicts"][0]["findings"][0]),
    ],
)
def test_a_verdict_or_a_finding_too_many_differs(folder, bundle, cli, change):
    edit(bundle, change)
    said = cli("verify", bundle, "--data", folder)
    assert (said.code, "internal error" in said.err) == (1, False), said.err
    assert said.out.startswith("DIFFERS")


def test_text_of_others_cannot_write_to_the_terminal(bundle, cli):
    evil = "\x1b[2Jsame\u202e<script>"

    def change(data):
        data["written"] = "2999-01-01T00:00:00+00:00"
        data["verdicts"][1]["findings"][0].update(subject=evil, outcome="FAIL")

    edit(bundle, change)
    edit(bundle, lambda data: data.update(cpu=evil), "environment.json")
    said = cli("verify", bundle, "--data", bundle)
    assert said.code == 1
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert "\\x1b[2Jsame" in said.out
    assert "still to come" in said.out


def test_the_verbs(folder, bundle, cli):
    assert cli("pack", folder / "surefoot-run", folder / "one.zip").code == 0
    said = cli("verify", folder / "one.zip", "--rows", "64", "--seed", "1", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["faults"] == []
    assert told["sample"] == {"rows": 64, "seed": 1}
    # The zip holds the baseline and the winner, and no other model.
    why = {c["why"] for c in told["claims"] if c["status"] == "NOT RUN"}
    assert "its model is not in that run" in why or len(told["models"]) == 3
    (bundle / "notes.txt").write_text("mine")
    said = cli("verify", bundle)
    assert (said.code, said.out.splitlines()[2]) == (1, "added: notes.txt")
    said = cli("pack", folder / "surefoot-run", folder / "two.zip")
    assert (said.code, (folder / "two.zip").exists()) == (2, False)
    assert "notes.txt: added since the bundle was written" in said.err
    assert cli("verify", folder / "nothing").code == 2
    (folder / "cut.zip").write_bytes((folder / "one.zip").read_bytes()[:-9])
    said = cli("verify", folder / "cut.zip")
    assert (said.code, said.out.startswith("NOT INTACT  ")) == (1, True)


def test_a_plan_comes_back_from_a_bundle_as_it_was(made):
    plan = read_plan(made / "surefoot.toml")
    resolved = json.loads(json.dumps(plan.resolved(), default=list))
    again = plan_of(resolved, made, plan.text)
    assert again == replace(plan, runtimes=dict(plan.runtimes))
    assert str(Path(made).parent) not in json.dumps(resolved)


@pytest.mark.parametrize(
    ("told", "found", "said"),
    [
        ({"a": 1}, {"a": 1.0000000001}, ""),
        ({"a": 1}, {"a": 1.001}, "a is 1, not 1.001"),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, "a.1.b is x, not y"),
        ({"a": []}, {"a": [1]}, "a has 0 entries, not 1"),
        ({"a": 1}, {}, "a is not derived"),
        ({}, {"a": 1}, "a is missing"),
        ({"a": True}, {"a": 1}, "a is True, not 1"),
        ({"a": None}, {"a": None}, ""),
        ({"a": float("nan")}, {"a": 1.0}, "a is nan, not 1.0"),
    ],
)
def test_where_two_values_first_differ(told, found, said):
    assert first_difference(told, found) == said
