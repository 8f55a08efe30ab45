"""The unit of systemd, read back by systemd's own checker where there is one."""

import configparser
import shutil
import subprocess
from dataclasses import replace

import pytest

from surefoot.core.errors import ModelError, PlanError
from surefoot.report.exports.systemd import systemd


def unit(release, **options):
    found = configparser.RawConfigParser(strict=False)
    found.optionxform = str
    found.read_string(systemd(release, **options).files[""])
    return found


def test_it_starts_reloads_and_stops_the_service(release):
    service = unit(release, config="/etc/surefoot/serve.toml")["Service"]
    assert service["ExecStart"] == (
        "/opt/surefoot/bin/surefoot serve /srv/surefoot/bundle.zip"
        " --config /etc/surefoot/serve.toml"
    )
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2 4"
    assert "--config" not in unit(release)["Service"]["ExecStart"]


def test_what_did_not_pass_is_forced_and_told(release):
    failed = replace(release, verdict=replace(release.verdict, outcome="FAIL"))
    assert unit(failed)["Service"]["ExecStart"].endswith("bundle.zip --force")
    assert "# whose verdict is FAIL\n" in systemd(failed).files[""]
    assert "--force" not in unit(release)["Service"]["ExecStart"]


@pytest.mark.parametrize(
    "path", ["bundle.zip", "/a b", "/a\nExecStartPre=/bin/rm", "/100%", "/$HOME", '/"a"', "/a;b"]
)
def test_a_path_that_systemd_would_read_otherwise_is_refused(release, path):
    for option in ("program", "bundle", "config"):
        with pytest.raises(PlanError, match=rf"systemd\.{option}: must be a path"):
            systemd(release, **{option: path})


def test_names_of_others_add_no_line(release):
    evil = replace(release, candidate=replace(release.candidate, name="a\nExecStartPre=/bin/rm"))
    assert not [
        line for line in systemd(evil).files[""].splitlines() if line.startswith("ExecStartPre")
    ]


def test_without_the_model_there_is_nothing_to_serve(release):
    with pytest.raises(ModelError, match="does not hold the model"):
        systemd(replace(release, candidate=replace(release.candidate, folder=None)))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_to_say(release, tmp_path):
    file = tmp_path / "surefoot.service"
    (tmp_path / "bundle.zip").write_text("")
    file.write_text(systemd(release, program=shutil.which("true")).files[""])
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True
    )
    own = [line for line in said.stderr.splitlines() if "surefoot.service" in line]
    assert own == []
    assert said.returncode == 0
