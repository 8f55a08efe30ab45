"""`surefoot waive`, and what `run` and `gate` make of it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.conftest import write_numbers

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "same"
steps = []
[evaluate]
slices = { left = "a < 0" }
latency = { batch = [1], calls = 20, seconds = 1 }
[[budget]]
quantity = "accuracy"
at_least = 0.99
[[budget]]
quantity = "accuracy"
max_drop = 0.001
[[budget]]
quantity = "size_mb"
at_most = 0.000001
"""
SOON = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()
FILE = "surefoot-waivers.toml"


@pytest.fixture
def folder(tmp_path, linear) -> Path:
    """A plan that fails twice and leaves a third budget open."""
    linear(tmp_path / "linear.onnx")
    write_numbers(tmp_path / "test.csv", 300)
    (tmp_path / "surefoot.toml").write_text(PLAN)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "config", key, value], cwd=tmp_path, check=True)
    return tmp_path


def verdict_of(folder: Path) -> dict:
    return json.loads((folder / "surefoot-run" / "bundle" / "verdict.json").read_text())


def waive(cli, budget, until=SOON, reason="a fix is on its way"):
    return cli("waive", budget, "--until", until, "--reason", reason)


def test_the_road_from_a_failure_to_a_signed_release(cli, folder):
    first = cli("run")
    assert first.code == 1
    assert first.out.startswith("FAIL  same")
    said = waive(cli, "size_mb")
    assert said.code == 0, said.err
    assert (
        said.out
        == f"size_mb of same: waived until {SOON} by Ada <ada@example.org>: a fix is on its way\n"
    )
    assert "accuracy on main (at_least), accuracy on main (max_drop)" in said.err
    # The evidence says nothing of it until the next run, which measures nothing and counts as the
    # same use.
    assert cli("gate").code == 2
    said = cli("run")
    assert said.code == 1
    assert "filling" not in said.err
    assert "; 1 of these 3 are waived" in said.out.splitlines()[0]
    for name in ("accuracy on main (at_least)", "accuracy on main (max_drop)"):
        assert waive(cli, name).code == 0
    said = cli("run")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("FAIL  same")
    assert f"waived until {SOON} by Ada <ada@example.org>: a fix is on its way" in lines[0]
    assert sum(line.startswith("counts") for line in lines) == 3
    data = verdict_of(folder)
    assert [v["outcome"] for v in data["verdicts"]] == ["FAIL"]
    assert data["winner"] is None
    assert [w["limit"] for w in data["waivers"]] == ["at_most", "at_least", "max_drop"]
    assert len((folder / "surefoot-ledger.jsonl").read_text().splitlines()) == 1
    shown = cli("gate")
    assert (shown.code, shown.out) == (0, said.out)
    # Taken back.
    (folder / FILE).unlink()
    assert cli("run").code == 1
    # Expired: still shown, and no longer counted.
    (folder / FILE).write_text(expired(data))
    said = cli("run")
    assert said.code == 1
    assert "it ended on 2025-12-31" in said.out
    assert "waived" not in said.out.splitlines()[0]
    # A clock that was set back.
    data = verdict_of(folder)
    file = folder / "surefoot-run" / "bundle" / "verdict.json"
    file.write_text(json.dumps({**data, "written": "2999-01-01T00:00:00+00:00"}))
    assert "and the verdict is dated 2999-01-01: one of them is wrong" in cli("gate").out


def expired(data: dict) -> str:
    told = [{**w, "made": "2025-12-01", "until": "2025-12-31"} for w in data["waivers"]]
    lines = [
        "\n".join(
            [
                "[[waiver]]",
                *(
                    f"{key} = {value if key in ('made', 'until') else json.dumps(value)}"
                    for key, value in one.items()
                    if value is not None
                ),
            ]
        )
        for one in told
    ]
    return "\n".join(lines) + "\n"


def test_what_cannot_be_waived_is_one_clear_line(cli, folder):
    said = waive(cli, "size_mb")
    assert said.code == 2
    assert "no bundle" in said.err
    assert cli("run").code == 1
    late = (datetime.now(UTC).date() + timedelta(days=91)).isoformat()
    past = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    for wanted, arguments in {
        "same has no open budget 'size'; did you mean 'size_mb'?": ("size",),
        "no open budget 'accuracy on main'": ("accuracy on main",),
        "--until: 'soon' is no day": ("size_mb", "soon"),
        "a waiver lasts 90 days at most": ("size_mb", late),
        f"--until: {past} is not between": ("size_mb", past),
        "--reason: say why": ("size_mb", SOON, "  "),
    }.items():
        said = waive(cli, *arguments)
        assert said.code == 2
        assert wanted in said.err, said.err
        assert said.err.count("\n") == 1
        assert not (folder / FILE).exists()
    said = cli("waive", "size_mb", "--until", SOON)
    assert said.code == 2
    assert "--reason" in said.err
    (folder / FILE).write_text("[[waiver]]\n")
    said = waive(cli, "size_mb")
    assert said.code == 2
    assert f"{FILE}: waiver[0].budget: missing" in said.err
    assert (folder / FILE).read_text() == "[[waiver]]\n"
    assert cli("run").code == 2


def test_a_reason_of_others_cannot_mislead_the_terminal(cli, folder):
    cli("run")
    for name in ("size_mb", "accuracy on main (at_least)", "accuracy on main (max_drop)"):
        said = waive(cli, name, reason="\x1b[2Kfine\u202e\nPASS  same")
        assert said.code == 0
        assert "\x1b" not in said.out
        assert said.out.count("\n") == 1
    said = cli("run")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert not any(line.startswith("PASS") for line in said.out.splitlines()[:1])
    assert r"\x1b[2Kfine\u202e\nPASS" in said.out
