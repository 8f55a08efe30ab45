"""Who may ask: keys that clients send, and the certificate that they see."""

from __future__ import annotations

import hmac
import re
import ssl
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from surefoot.core.errors import PlanError

FREE = frozenset(("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"))
"""Pages that need no key: a probe has none, and they tell no more than that it runs."""
SHORTEST = 16
"""Characters of a key at least."""
_KEY = re.compile(rf"[!-~]{{{SHORTEST},512}}")  # what a header can hold as it stands
_BEARER, _OWN = b"authorization", b"x-api-key"


class Access:
    """The keys, of which none is ever shown again.

    Args:
        keys: Any of which opens; none: everybody may ask.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        # Hashes are equally long, so that a comparison does not tell how long a key is.
        self._keys = tuple(sha256(key).digest() for key in keys)

    @property
    def keyed(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def allowed(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request may be answered, found out in the same time for every wrong key.

        Args:
            path: The page that it asks for.
            headers: By name in lower case.
        """
        if not self._keys or path in FREE:
            return True
        scheme, _, token = headers.get(_BEARER, b"").partition(b" ")
        sent = token.strip() if scheme.lower() == b"bearer" else headers.get(_OWN, b"")
        said = sha256(sent).digest()
        # Every key is looked at: how many were would tell which one it is.
        return sum(hmac.compare_digest(said, key) for key in self._keys) > 0


def read_access(path: Path | None) -> Access:
    """The keys of a file, one a line.

    Args:
        path: The file; None where everybody may ask.

    Raises:
        PlanError: It cannot be read, or holds what is no key; the key itself is not shown.
    """
    if path is None:
        return Access()
    where = f"api_key_file {path}"
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError:
        raise PlanError("holds what is not ASCII; a key is sent as a header", where=where) from None
    except OSError as error:
        raise PlanError(f"cannot be read: {error.strerror}", where=where) from error
    keys = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    wrong = [
        f"line {number}: no key of {SHORTEST} to 512 visible characters; `openssl rand -hex 32`"
        " makes one"
        for number, key in keys.items()
        if not _KEY.fullmatch(key)
    ]
    if wrong or not keys:
        raise PlanError(wrong or "holds no key; write one a line", where=where)
    return Access(tuple(key.encode() for key in keys.values()))


def read_certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What connections are encrypted with; None where they are not.

    Args:
        certificate: In PEM, with those that lead to its root.
        key: Its private key, in PEM and not encrypted.

    Raises:
        PlanError: One of them cannot be read, or they do not belong together.
    """
    if certificate is None or key is None:
        return None
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise PlanError(f"cannot be read: {error.strerror}", where=f"{name} {path}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key would else ask for its password at the terminal, and wait.
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedError:
        fix = "`openssl pkey` writes it without"
        raise PlanError(f"is encrypted; {fix}", where=f"tls_key {key}") from None
    except ssl.SSLError as error:
        raise PlanError(
            _explained(error), where=f"tls_certificate {certificate}, tls_key {key}"
        ) from None
    return context


class _EncryptedError(Exception):
    """A key that asks for a password."""


def _no_password() -> str:
    raise _EncryptedError


def _explained(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate; name the two that were made together"
    reason = f": {error.reason.lower().replace('_', ' ')}" if error.reason else ""
    return f"hold no certificate and key in PEM that can be read{reason}"
