"""The container: its command is run as it stands, on a bundle in one file."""

import json
import re
import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest
from tests.serve.live import listening

from surefoot.bundle import pack_bundle
from surefoot.core.errors import ModelError
from surefoot.report.exports.dockerfile import dockerfile


def command_of(export):
    (line,) = re.findall(r"^CMD (.*)$", export.files["Dockerfile"], re.MULTILINE)
    return json.loads(line)


def test_the_command_serves_a_packed_bundle(release, tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
    pack_bundle(release.cells.parents[1], tmp_path / "bundle.zip")
    program, verb, _, *rest = command_of(dockerfile(release))
    assert program == "surefoot"
    options = ["127.0.0.1" if one == "0.0.0.0" else "0" if one == "8080" else one for one in rest]
    process = subprocess.Popen(
        [sys.executable, "-c", "from surefoot.cli import main; main()", verb,
         str(tmp_path / "bundle.zip"), *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _, said = listening(process)
        address = re.search(r"http://\S+", said)[0]
        with urllib.request.urlopen(f"{address}/readyz") as answer:
            assert answer.status == 200
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_pins_what_the_models_were_measured_with(release):
    pins = dockerfile(release).files["requirements.txt"]
    version = release.environment["libraries"]["onnxruntime"]
    assert pins == f"onnxruntime=={version}\n"


def test_a_model_in_torch_is_said_to_be_large(release):
    versions = {**release.environment["libraries"], "torch": "2.13.0+cpu"}
    heavy = replace(
        release,
        baseline=replace(release.baseline, runtime="torch"),
        environment={**release.environment, "libraries": versions},
    )
    found = dockerfile(heavy)
    assert "torch==2.13.0\n" in found.files["requirements.txt"]
    assert "runs in torch" in found.notes[0]
    alone = replace(heavy, plan={**heavy.plan, "serve": {"fallback": "abstain"}})
    assert "torch" not in dockerfile(alone).files["requirements.txt"]
    assert dockerfile(alone).notes == ()


def test_what_did_not_pass_is_forced_and_told(release):
    failed = replace(release, verdict=replace(release.verdict, outcome="FAIL"))
    found = dockerfile(failed)
    assert command_of(found)[-1] == "--force"
    assert "whose verdict is FAIL" in found.files["Dockerfile"].splitlines()[1]
    assert "--force" not in command_of(dockerfile(release))


def test_names_and_versions_of_others_add_no_line(release):
    evil = replace(
        release,
        candidate=replace(release.candidate, name="a\nRUN rm -rf /"),
        environment={"libraries": {"onnxruntime": "1.0\n--index-url http://evil.example"}},
    )
    found = dockerfile(evil)
    assert not [line for line in found.files["Dockerfile"].splitlines() if "rm -rf" in line]
    assert found.files["requirements.txt"] == ""


def test_without_the_model_there_is_nothing_to_serve(release):
    with pytest.raises(ModelError, match=r"does not hold the model"):
        dockerfile(replace(release, candidate=replace(release.candidate, folder=None)))
