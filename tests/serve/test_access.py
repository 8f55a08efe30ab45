"""Keys and certificates: what opens, what does not, and what a mistake is told by."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess

import pytest
from tests.serve.live import COMMAND, ask, served

from surefoot.core.errors import PlanError
from surefoot.serve.access import FREE, Access, read_access, read_certificate

KEY, OTHER = "a" * 16 + "!", "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "opens"),
    [
        ({}, False),
        ({b"authorization": b"Bearer " + KEY.encode()}, True),
        ({b"authorization": b"bearer  " + KEY.encode() + b" "}, True),
        ({b"x-api-key": OTHER.encode()}, True),
        ({b"authorization": b"Basic " + KEY.encode()}, False),
        ({b"authorization": KEY.encode()}, False),
        ({b"authorization": b"Bearer " + KEY.encode()[:-1]}, False),
        ({b"authorization": b"Bearer " + KEY.encode() + b"x"}, False),
        ({b"authorization": b"Bearer "}, False),
        ({b"x-api-key": b""}, False),
        ({b"x-api-key": b"\xff" * 20}, False),
    ],
)
def test_a_key_opens_and_nothing_else_does(headers, opens):
    access = Access((KEY.encode(), OTHER.encode()))
    assert access.allowed("/predict", headers) is opens
    assert all(access.allowed(path, {}) for path in FREE)
    assert Access().allowed("/predict", headers)


def test_keys_are_read_one_a_line(tmp_path):
    (tmp_path / "keys").write_text(f"{KEY}\r\n\n  {OTHER}  \n")
    access = read_access(tmp_path / "keys")
    for key in (KEY, OTHER):
        assert access.allowed("/metrics", {b"x-api-key": key.encode()})
    assert read_access(None).allowed("/metrics", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no key"),
        (b"\n  \n", "holds no key"),
        (b"short\n" + KEY.encode() + b"\nwith a blank in it", "line 1: no key"),
        ("schlüssel-schlüssel".encode(), "not ASCII"),
    ],
)
def test_what_is_no_key_is_told_without_showing_it(tmp_path, content, said):
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(PlanError, match=said) as found:
        read_access(tmp_path / "keys")
    assert str(tmp_path / "keys") in str(found.value)
    assert KEY not in str(found.value)
    assert "short" not in str(found.value)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PlanError, match="cannot be read: Is a directory"):
        read_access(tmp_path)


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("a.pem", "b.key", "the key is not that of the certificate"),
        ("a.pem", "a.secret", "is encrypted"),
        ("a.pem", "a.pem", "hold no certificate and key in PEM"),
        ("a.key", "a.key", "hold no certificate and key in PEM"),
        ("a.pem", "none", "cannot be read: No such file"),
        (".", "a.key", "cannot be read: Is a directory"),
    ],
)
def test_certificates_that_do_not_serve_are_told(certificates, certificate, key, said):
    with pytest.raises(PlanError, match=said):
        read_certificate(certificates / certificate, certificates / key)
    assert read_certificate(certificates / "a.pem", certificates / "a.key") is not None
    assert read_certificate(None, None) is None


def test_a_service_with_keys_and_a_certificate(run, certificates, tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "serve.toml").write_text(
        f'api_key_file = "keys"\ntls_certificate = "{certificates}/a.pem"\n'
        f'tls_key = "{certificates}/a.key"\n'
    )
    trust = ssl.create_default_context(cafile=str(certificates / "a.pem"))

    def sent(method, path, headers, body=None):
        link = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trust)
        link.request(method, path, body, headers)
        answer = link.getresponse()
        found = answer.status, answer.headers, answer.read().decode()
        link.close()
        return found

    with served(run, "--config", str(tmp_path / "serve.toml")) as (process, port, said):
        assert "listening at https://127.0.0.1:" in said
        body = json.dumps({"inputs": [[0, 0, 0, 0]]})
        assert sent("POST", "/predict", {"Authorization": f"Bearer {KEY}"}, body)[0] == 200
        assert sent("POST", "/predict", {"X-Api-Key": KEY}, body)[0] == 200
        for path in ("/predict", "/metrics", "/v2/models/same", "/nothing"):
            status, headers, text = sent("GET", path, {"Authorization": f"Bearer {OTHER}"})
            assert status == 401
            assert headers["www-authenticate"] == "Bearer"
            assert OTHER not in text
        for path in FREE:
            assert sent("GET", path, {})[0] == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(port, "GET", "/healthz")  # in the clear
        process.terminate()
        assert KEY not in process.stderr.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="who is root reads every file")
def test_a_key_that_may_not_be_read_is_told(certificates, tmp_path):
    (tmp_path / "a.key").write_bytes((certificates / "a.key").read_bytes())
    (tmp_path / "a.key").chmod(0)
    with pytest.raises(PlanError, match="cannot be read: Permission denied"):
        read_certificate(certificates / "a.pem", tmp_path / "a.key")


def test_a_wrong_key_ends_the_start_with_one_line(run, certificates, tmp_path):
    (tmp_path / "serve.toml").write_text(
        f'tls_certificate = "{certificates}/a.pem"\ntls_key = "{certificates}/b.key"\n'
    )
    said = subprocess.run(
        [*COMMAND, "serve", "--port", "0", "--config", str(tmp_path / "serve.toml")],
        cwd=run, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert "the key is not that of the certificate" in line
