"""The file of `--config`: what it may say, and how each mistake in it is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from surefoot.core.errors import PlanError
from surefoot.serve.deployment import Deployment, read_deployment


def written(folder, text):
    (folder / "serve.toml").write_text(text)
    return folder / "serve.toml"


def problems(path, said=None):
    with pytest.raises(PlanError) as found:
        read_deployment(path, said)
    assert found.value.where == (str(path) if path else None)
    return found.value.problems


def test_without_a_file_there_are_defaults():
    assert read_deployment(None) == Deployment()
    assert read_deployment(None, {"port": 0}).port == 0


def test_every_key_is_read(tmp_path):
    for name in ("a.pem", "a.key", "keys"):
        (tmp_path / name).write_text("x")
    path = written(
        tmp_path,
        """
        host = "::1"
        port = 9
        grpc_port = 10
        workers = 2
        threads = 3
        log = "decisions"
        log_inputs = "rows"
        tls_certificate = "a.pem"
        tls_key = "a.key"
        api_key_file = "keys"
        traces = true
        body_bytes = 11
        body_seconds = 1
        grace_seconds = 2.5
        """,
    )
    found = read_deployment(path, {"port": 12})
    assert found == Deployment(
        host="::1", port=12, grpc_port=10, workers=2, threads=3, log=tmp_path / "decisions",
        log_inputs="rows", tls_certificate=tmp_path / "a.pem", tls_key=tmp_path / "a.key",
        api_key_file=tmp_path / "keys", traces=True, body_bytes=11, body_seconds=1,
        grace_seconds=2.5,
    )  # fmt: skip
    defaults = Deployment()
    for field in dataclasses.fields(Deployment):
        assert getattr(found, field.name) != getattr(defaults, field.name), field.name


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    (tmp_path / "server.key").write_text("x")
    path = written(
        tmp_path,
        """
        host = 1
        prot = 80
        workers = 0
        threads = true
        port = 65536
        grpc_port = 0
        log_inputs = "row"
        traces = "yes"
        body_bytes = 1.5
        body_seconds = inf
        grace_seconds = -1
        tls_key = "sever.key"
        """,
    )
    assert sorted(problems(path)) == sorted(
        [
            "prot: unknown key; did you mean 'port'?",
            "host: should be text, found 1",
            "workers: must be at least 1, found 0",
            "threads: should be a whole number, found True",
            "port: must be at most 65,535, found 65,536",
            "grpc_port: must be at least 1, found 0",
            "log_inputs: 'row' is not allowed; did you mean 'rows'?",
            "traces: should be true or false, found 'yes'",
            "body_bytes: should be a whole number, found 1.5",
            "body_seconds: must be above 0 and finite, found inf",
            "grace_seconds: must be above 0, found -1",
            "tls_certificate: missing, and tls_key is of no use without it",
            f"tls_key: no such file {tmp_path / 'sever.key'}; did you mean 'server.key'?",
        ]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = ", "not valid TOML"),
        ("grpc_port = 8080", "grpc_port: is the port of HTTP; choose another"),
        ("[port]", "port: should be a whole number, found {}"),
        ("host = []", "host: should be text"),
        ("body_bytes = 10_000_000_000", "body_bytes: must be at most 1,000,000,000"),
        ("log_inputs = 3", "log_inputs: '3' is not allowed; known: hashes, rows"),
    ],
)
def test_each_mistake_has_its_words(tmp_path, text, said):
    (found,) = problems(written(tmp_path, text))
    assert found.startswith(said)


def test_a_file_that_is_not_there_has_its_neighbours_named(tmp_path):
    written(tmp_path, "")
    assert "did you mean 'serve.toml'?" in problems(tmp_path / "server.toml")[0]
    assert "no such file" in problems(Path("/nowhere/at/all.toml"))[0]
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    assert "cannot be read" in problems(tmp_path / "bad.toml")[0]
    assert "cannot be read" in problems(tmp_path)[0]


def test_options_are_checked_as_the_file_is():
    assert problems(None, {"port": -1, "workers": 5_000}) == (
        "port: must be at least 0, found -1",
        "workers: must be at most 1,024, found 5,000",
    )
