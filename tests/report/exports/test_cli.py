"""`surefoot export` and `surefoot card`, as a user calls them."""

import json
import shutil

import pytest

from surefoot.bundle import pack_bundle

FORMATS = {
    "croissant": "metadata.json",
    "cyclonedx": "bom.json",
    "every_eval_ever": "records",
    "mlflow": "model",
    "model_card": "card",
    "open_inference": "metadata.json",
}


@pytest.mark.parametrize(("form", "out"), FORMATS.items())
def test_export(cli, bundle, tmp_path, form, out):
    said = cli("export", form, bundle, "--out", out)
    assert (said.code, said.out) == (0, f"{out}\n"), said.err
    written = tmp_path / out
    assert written.is_file() if out.endswith(".json") else any(written.iterdir())
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_a_run_and_a_zip_file_give_what_the_folder_gives(cli, bundle, tmp_path):
    pack_bundle(bundle, tmp_path / "bundle.zip")
    for i, place in enumerate((bundle, bundle.parent, tmp_path / "bundle.zip")):
        assert cli("export", "cyclonedx", place, "--out", f"{i}.json").code == 0
    texts = {(tmp_path / f"{i}.json").read_text() for i in range(3)}
    assert len(texts) == 1


def test_options_and_candidates(cli, bundle, tmp_path):
    said = cli(
        "export", "every_eval_ever", bundle, "--out", "out", "--candidate", "ruined",
        "--set", "model_id=owner/ruined", "--set", "samples=true",
    )  # fmt: skip
    assert said.code == 0, said.err
    (aggregate,) = (tmp_path / "out" / "data").rglob("*.json")
    record = json.loads(aggregate.read_text())
    assert record["model_info"]["id"] == "owner/ruined"
    assert record["model_info"]["additional_details"]["surefoot_verdict"] == "FAIL"
    assert list(aggregate.parent.glob("*_samples.jsonl"))
    assert "note: left out: p99_ms batch 1" in said.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cyclonedy"], "no export called 'cyclonedy'; did you mean 'cyclonedx'?"),
        (
            ["cyclonedx", "--candidate", "sam"],
            "no verdict on a candidate 'sam'; did you mean 'same'",
        ),
        (["cyclonedx", "--set", "colour=1"], "cyclonedx.colour: unknown option of export"),
        (["every_eval_ever", "--set", "samples=1"], "samples: should be true or false, found 1"),
        (["model_card", "--set", "hub=1"], "hub: should be a table"),
        (["model_card", "--set", "hub"], "--set 'hub': is not of the form"),
        (["model_card", "--set", "use=1"], "the format is the first argument"),
        (["mlflow", "--candidate", "ruined"], "does not hold the model of 'ruined'"),
        (["mlflow", "--set", "tracking_uri=http://127.0.0.1:1"], "MLflow"),
        (["croissant", "--set", "data=nowhere"], "main.csv: No such file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(cli, bundle, tmp_path, arguments, complaint):
    form, *rest = arguments
    said = cli("export", form, bundle, "--out", "out", *rest)
    assert (said.code, said.out) == (2, "")
    assert complaint.lower() in said.err.lower()
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_users_is_not_replaced(cli, bundle, tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "mine.txt").write_text("mine")
    said = cli("export", "model_card", bundle, "--out", "card")
    assert said.code == 2
    assert "card: lies there already" in said.err
    assert (tmp_path / "card" / "mine.txt").read_text() == "mine"


def test_no_bundle_is_said(cli, tmp_path):
    for verb in (["export", "cyclonedx"], ["card"]):
        said = cli(*verb, tmp_path / "nowhere", "--out", "out")
        assert said.code == 2
        assert "there is no bundle" in said.err


def test_card_and_dossier(cli, bundle, tmp_path):
    assert cli("card", bundle, "--out", "CARD.md").out == "CARD.md\n"
    assert cli("card", bundle, "--dossier", "--candidate", "ruined", "--out", "d.md").code == 0
    assert (tmp_path / "CARD.md").read_text().splitlines()[2] == (
        "**Verdict: PASS.** Every budget was shown to hold on data like the test sets."
    )
    assert "# Technical documentation of ruined" in (tmp_path / "d.md").read_text()


def test_a_bundle_of_a_newer_surefoot_is_refused(cli, bundle, tmp_path):
    newer = shutil.copytree(bundle, tmp_path / "newer")
    data = json.loads((newer / "verdict.json").read_text())
    (newer / "verdict.json").write_text(json.dumps(data | {"format": 99}))
    said = cli("export", "cyclonedx", newer, "--out", "bom.json")
    assert said.code == 4
    assert "format 99" in said.err
    assert not (tmp_path / "bom.json").exists()
