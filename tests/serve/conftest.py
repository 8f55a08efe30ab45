"""What a bundle is made of, what its calibration rows show, and a finished run to serve."""

import subprocess
from dataclasses import replace

import pytest
from tests.bundle.conftest import contents
from tests.cli.test_cascade import write_plan
from tests.serve.live import COMMAND, served

from surefoot.core.estimate import Estimate
from surefoot.core.serving import Cascade, Tradeoff

__all__ = ["a_cascade", "contents", "run"]

NOTHING = Estimate(value=0, low=0, high=0, level=0.9, method="none", n=1)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Two certificates with their keys, and one of the keys once more, encrypted."""
    cryptography = pytest.importorskip("cryptography", reason="makes certificates")
    del cryptography
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    for name in "ab":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(address, critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / f"{name}.pem").write_bytes(made.public_bytes(pem))
        form = serialization.PrivateFormat.PKCS8
        plain = key.private_bytes(pem, form, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(plain)
        secret = serialization.BestAvailableEncryption(b"password")
        (folder / f"{name}.secret").write_bytes(key.private_bytes(pem, form, secret))
    return folder


def a_cascade(**changes):
    """A lean model named `lean`, whose answers may all stand."""
    chosen = Tradeoff(threshold=0, share=NOTHING, lost=NOTHING, accuracy=1, shown=True)
    one = Cascade(
        lean="lean", fallback="baseline", max_error=0.02, delta=0.1, slices=(), rows=500,
        needed=114, chosen=chosen, curve=(), fallback_accuracy=0.9, lean_ms=0.1, fallback_ms=1.0,
        fallback_slow_ms=2.0,
    )  # fmt: skip
    return replace(one, **changes)


@pytest.fixture(scope="session")
def run(tmp_path_factory, linear):
    """A finished run whose candidate is the baseline once more, and passed."""
    folder = tmp_path_factory.mktemp("served")
    write_plan(folder, linear)
    subprocess.run([*COMMAND, "run"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def port(run):
    """Where it is served."""
    with served(run) as (_, port, _):
        yield port
