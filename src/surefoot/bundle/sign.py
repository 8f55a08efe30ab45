"""Signs a bundle's manifest, and tells whether a signature is that of a key.

The statement is one of in-toto (v1) whose subject is the manifest; it is signed with Ed25519 in an
envelope of the Dead Simple Signing Envelope (DSSE v1), so that other programs can check it too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.bundle.intact import LARGEST, MANIFEST, SIGNATURE
from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.core.hashing import hash_file
from surefoot.core.nested import from_json
from surefoot.store import whole_file

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
PREDICATE = "urn:surefoot:bundle"


def sign_bundle(folder: Path, key: Path, data: Mapping[str, Any]) -> str:
    """Sign a bundle; signatures of others of the same manifest stay.

    Args:
        folder: The bundle.
        key: A private Ed25519 key as PEM, not encrypted.
        data: The content of its verdict.json, of which the statement repeats the outcome.

    Returns:
        The name of the key: the SHA-256 of its public half.

    Raises:
        BundleError: The key is none, `cryptography` is missing, or the bundle cannot be written.
    """
    private = _private(key)
    payload = _statement(folder, data)
    name = key_name(private.public_key())
    signature = private.sign(_encoded(PAYLOAD, payload))
    before = _envelope(folder)
    kept = []
    if before is not None and _payload(before) == payload:
        kept = [one for one in before["signatures"] if one.get("keyid") != name]
    envelope = {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [*kept, {"keyid": name, "sig": base64.b64encode(signature).decode()}],
    }
    with whole_file(folder / SIGNATURE) as part:
        part.write_text(json.dumps(envelope, indent=1) + "\n")
    return name


def signed(folder: Path, key: Path) -> str:
    """Why a bundle is not signed by a key; empty where it is.

    Args:
        folder: The bundle.
        key: A public Ed25519 key as PEM.

    Raises:
        BundleError: The key is none, or `cryptography` is missing.
    """
    public = _public(key)
    if not (folder / SIGNATURE).exists():
        return "there is no signature"
    envelope = _envelope(folder)
    if envelope is None or envelope.get("payloadType") != PAYLOAD:
        return "is no signature that can be read"
    payload = _payload(envelope)
    if not any(_is_by(public, one, payload) for one in envelope["signatures"]):
        return "no signature in it is by this key"
    try:
        statement = from_json(payload)
        (subject,) = statement["subject"]
        right = statement["_type"] == STATEMENT and subject["name"] == MANIFEST
        sha = subject["digest"]["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "is signed, but says nothing of a manifest"
    if not right or sha != hash_file(folder / MANIFEST):
        return "signs another manifest than this"
    return ""


def signers(folder: Path) -> tuple[str, ...]:
    """The names of the keys that a signature claims, none of which is looked at.

    Args:
        folder: The bundle.
    """
    envelope = _envelope(folder)
    return tuple(str(one.get("keyid")) for one in envelope["signatures"]) if envelope else ()


def key_name(public: Any) -> str:
    """What a public key is called: the SHA-256 of its DER form (SubjectPublicKeyInfo)."""
    kinds = _library("serialization")
    form = kinds.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(kinds.Encoding.DER, form)).hexdigest()


def _statement(folder: Path, data: Mapping[str, Any]) -> bytes:
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": MANIFEST, "digest": {"sha256": hash_file(folder / MANIFEST)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "format": data["format"],
            "key": data["key"],
            "winner": data["winner"],
            "verdicts": {one["candidate"]: one["outcome"] for one in data["verdicts"]},
        },
    }
    return json.dumps(statement, ensure_ascii=False, sort_keys=True).encode()


def _encoded(kind: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def _is_by(public: Any, signature: Mapping[str, Any], payload: bytes) -> bool:
    broken = require("cryptography.exceptions", extra="sign", error=BundleError)
    try:
        raw = base64.b64decode(str(signature["sig"]), validate=True)
        public.verify(raw, _encoded(PAYLOAD, payload))
    except (broken.InvalidSignature, ValueError, KeyError):
        return False
    return True


def _envelope(folder: Path) -> dict[str, Any] | None:
    """A bundle's envelope, if it is one."""
    file = folder / SIGNATURE
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST:
            return None
        found = from_json(file.read_bytes())
        base64.b64decode(found["payload"], validate=True)
        known = isinstance(found, dict) and all(isinstance(s, dict) for s in found["signatures"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if known else None


def _payload(envelope: Mapping[str, Any]) -> bytes:
    return base64.b64decode(envelope["payload"], validate=True)


def _private(path: Path) -> Any:
    kinds = _library("asymmetric.ed25519")
    try:
        key = _library("serialization").load_pem_private_key(_bytes(path), password=None)
    except TypeError as error:
        fix = "decrypt it first: openssl pkey -in KEY -out PLAIN"
        raise BundleError("is encrypted", where=str(path), fix=fix) from error
    except ValueError as error:
        raise _no_key(path, "private") from error
    if not isinstance(key, kinds.Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def _public(path: Path) -> Any:
    kinds = _library("asymmetric.ed25519")
    try:
        key = _library("serialization").load_pem_public_key(_bytes(path))
    except ValueError as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, kinds.Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def _no_key(path: Path, half: str) -> BundleError:
    make = {
        "private": "openssl genpkey -algorithm ed25519 -out KEY",
        "public": "openssl pkey -in KEY -pubout -out PUBLIC",
    }
    return BundleError(f"is no {half} Ed25519 key in PEM", where=str(path), fix=make[half])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _library(name: str) -> Any:
    return require(f"cryptography.hazmat.primitives.{name}", extra="sign", error=BundleError)
