"""Signatures, made here and looked into by two programs that know nothing of surefoot."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys

import pytest

from surefoot.bundle import check_files, read_verdict_json, write_bundle
from surefoot.bundle.sign import sign_bundle, signed, signers
from surefoot.core.errors import BundleError

pytest.importorskip("cryptography", reason="needs the extra `sign`")
FILE = "manifest.dsse.json"


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two pairs of Ed25519 keys as openssl makes them: `mine.pem` and `mine.pub`, `other…`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        openssl("genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem")
        openssl("pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub")
    return folder


@pytest.fixture
def bundle(contents, tmp_path):
    return write_bundle(tmp_path / "bundle", "key", contents).path


def sign(bundle, key):
    return sign_bundle(bundle, key, read_verdict_json(bundle))


def envelope(bundle):
    return json.loads((bundle / FILE).read_text())


def test_a_signature_is_that_of_its_key_and_of_no_other(bundle, keys):
    name = sign(bundle, keys / "mine.pem")
    assert signers(bundle) == (name,)
    assert signed(bundle, keys / "mine.pub") == ""
    assert signed(bundle, keys / "other.pub") == "no signature in it is by this key"
    assert check_files(bundle) == ()  # the manifest cannot name what signs it


def test_openssl_finds_the_signature_right(bundle, keys, tmp_path):
    sign(bundle, keys / "mine.pem")
    found = envelope(bundle)
    payload = base64.b64decode(found["payload"])
    kind = found["payloadType"]
    text = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "sig").write_bytes(base64.b64decode(found["signatures"][0]["sig"]))
    said = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", keys / "mine.pub", "-rawin",
        "-in", tmp_path / "text", "-sigfile", tmp_path / "sig",
    )  # fmt: skip
    assert "Verified Successfully" in said
    der = openssl(
        "pkey", "-pubin", "-in", keys / "mine.pub", "-outform", "DER", "-out", tmp_path / "d"
    )
    assert der == ""
    sha = openssl("dgst", "-sha256", "-r", tmp_path / "d").split()[0]
    assert found["signatures"][0]["keyid"] == sha


def test_the_envelope_is_one_for_others_too(bundle, keys):
    """As securesystemslib, the library of in-toto and TUF, reads and checks it."""
    dsse = pytest.importorskip("securesystemslib.dsse", reason="securesystemslib is not installed")
    signer = pytest.importorskip("securesystemslib.signer")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    name = sign(bundle, keys / "mine.pem")
    public = load_pem_public_key((keys / "mine.pub").read_bytes())
    key = signer.SSlibKey.from_crypto(public, keyid=name)
    found = dsse.Envelope.from_dict(envelope(bundle))
    assert set(found.verify([key], 1)) == {name}


def test_the_statement_is_one_of_in_toto(bundle, keys):
    sign(bundle, keys / "mine.pem")
    statement = json.loads(base64.b64decode(envelope(bundle)["payload"]))
    sha = openssl("dgst", "-sha256", "-r", bundle / "manifest.json").split()[0]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "manifest.json", "digest": {"sha256": sha}}]
    assert statement["predicate"]["verdicts"] == {"same": "PASS", "turned": "FAIL"}


def test_two_may_sign_and_one_may_sign_twice(bundle, keys):
    first, second = (sign(bundle, keys / f"{who}.pem") for who in ("mine", "other"))
    assert sign(bundle, keys / "mine.pem") == first
    assert sorted(signers(bundle)) == sorted([first, second])
    assert [signed(bundle, keys / f"{who}.pub") for who in ("mine", "other")] == ["", ""]


def test_a_signature_of_another_manifest_is_none_of_this_one(bundle, keys):
    sign(bundle, keys / "mine.pem")
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace("\n", "", 1))
    assert signed(bundle, keys / "mine.pub") == "signs another manifest than this"
    sign(bundle, keys / "other.pem")  # and what was signed before is not kept beside it
    assert len(signers(bundle)) == 1


def forged(change):
    def forge(bundle):
        found = envelope(bundle)
        change(found)
        (bundle / FILE).write_text(json.dumps(found))

    return forge


FORGERIES = {
    "no file": lambda bundle: (bundle / FILE).unlink(),
    "no JSON": lambda bundle: (bundle / FILE).write_text("{"),
    "a list": lambda bundle: (bundle / FILE).write_text("[]"),
    "deep": lambda bundle: (bundle / FILE).write_text("[" * 100_000),
    "a link": lambda bundle: (
        (bundle / FILE).rename(bundle.parent / "x"),
        (bundle / FILE).symlink_to(bundle.parent / "x"),
    ),
    "no signature": forged(lambda e: e.update(signatures=[])),
    "signatures that are none": forged(lambda e: e.update(signatures=["x"])),
    "another type": forged(lambda e: e.update(payloadType="text/plain")),
    "another payload": forged(lambda e: e.update(payload=base64.b64encode(b"{}").decode())),
    "a payload that is no base64": forged(lambda e: e.update(payload="%%%")),
    "a short signature": forged(lambda e: e["signatures"][0].update(sig="AAAA")),
    "a signature that is no base64": forged(lambda e: e["signatures"][0].update(sig="%")),
    "no sig": forged(lambda e: e["signatures"][0].pop("sig")),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_signature_is_refused(bundle, keys, name):
    sign(bundle, keys / "mine.pem")
    FORGERIES[name](bundle)
    assert signed(bundle, keys / "mine.pub")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: f.write_text("x"), "is no private Ed25519 key in PEM"),
        (lambda f: f.write_bytes(b"\xff\x00"), "is no private Ed25519 key in PEM"),
        (lambda f: openssl("genpkey", "-algorithm", "x25519", "-out", f), "is no private Ed25519"),
        (lambda f: openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x",
                           "-out", f), "is encrypted"),
        (lambda f: None, "cannot be read: No such file"),
        (lambda f: f.mkdir(), "cannot be read: Is a directory"),
    ],
    ids=["text", "bytes", "another kind", "encrypted", "nothing", "a folder"],
)  # fmt: skip
def test_what_is_no_key_is_refused_with_what_to_do(bundle, keys, tmp_path, make, said):
    make(tmp_path / "key")
    with pytest.raises(BundleError, match=said) as caught:
        sign(bundle, tmp_path / "key")
    assert caught.value.where == str(tmp_path / "key")
    assert not (bundle / FILE).exists()
    with pytest.raises(BundleError):
        signed(bundle, keys / "mine.pem")  # the private half


def test_the_verbs(bundle, keys, cli, tmp_path):
    assert cli("sign", bundle, "--key", keys / "mine.pem").code == 0
    assert cli("pack", bundle, tmp_path / "one.zip").code == 0
    for place in (bundle, tmp_path / "one.zip"):
        said = cli("verify", place, "--key", keys / "mine.pub")
        assert "it is signed by the key that was given" in said.out
        said = cli("verify", place, "--key", keys / "other.pub")
        assert said.code == 1
        assert said.out.startswith("NOT INTACT")
        assert (
            "not signed by the key: manifest.dsse.json: no signature in it is by this" in said.out
        )
    said = cli("verify", bundle)
    assert "it carries a signature that was not looked at" in said.out
    said = cli("sign", tmp_path / "one.zip", "--key", keys / "mine.pem")
    assert said.code == 2
    assert "sign the folder of the run" in said.err
    (bundle / "plan.toml").write_text("")
    assert "plan.toml: changed since" in cli("sign", bundle, "--key", keys / "mine.pem").err


def test_without_the_library_it_is_said_what_to_install(bundle, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [name for name in sys.modules if name.startswith("cryptography.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BundleError, match=r"pip install 'surefoot\[sign\]'"):
        sign(bundle, keys / "mine.pem")
