"""Claims that are believed without looking anything up: this server has signed them, for a while and for one use.

Knows how a claim becomes a token and back. Refuses to know what the claims mean.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from embedhub.errors import HubStorageError, SignatureError
from embedhub.hub.staging import hub_storage_errors
from embedhub.storage import sync

Claim = str | int

SECRET = "signing.key"
_SECRET_BYTES = 32

# A link has to fit into a line of HTTP, with room for the rest of it.
_MAX_TOKEN = 2048

_EXPIRES = "exp"


class Signer:
    """Signs and verifies with one secret.

    Args:
        secret: at least 32 bytes that nobody else knows.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes can be guessed")
        self._secret = secret

    @classmethod
    def of(cls, home: Path) -> "Signer":
        """The signer of a home folder. Its secret is made once and readable by its owner only.

        Raises:
            HubStorageError: the folder cannot be written, or the file cannot be read or is damaged.
        """
        path = home / SECRET
        with hub_storage_errors():
            if not path.exists():
                _make_secret(path)
            secret = path.read_bytes()
        if len(secret) != _SECRET_BYTES:
            raise HubStorageError(f"{path} is damaged: remove it; links and tokens that were given out end with that")
        return cls(secret)

    def sign(self, purpose: str, claims: Mapping[str, Claim], seconds: float) -> str:
        """A token of letters, digits, `-`, `_` and one dot.

        Args:
            purpose: what it is for; it is of no use for anything else.
            claims: what it says. Anybody can read it.
            seconds: how long it says so.
        """
        body = json.dumps({**claims, _EXPIRES: int(time.time() + seconds)}, separators=(",", ":"), sort_keys=True)
        payload = _encode(body.encode())
        token = f"{payload}.{self._signature(purpose, payload)}"
        if len(token) > _MAX_TOKEN:
            raise ValueError(f"claims of {len(body)} bytes are too long for a link")
        return token

    def verify(self, token: str, purpose: str) -> dict[str, Claim]:
        """What a token claims.

        Raises:
            SignatureError: it was altered, not made here, made for another purpose, or has expired.
        """
        payload, _, signature = token.partition(".")
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise SignatureError("this link or token is not valid: ask for a new one")
        if not hmac.compare_digest(signature, self._signature(purpose, payload)):
            raise SignatureError("this link or token is not valid for this: ask for a new one")
        try:
            claims: dict[str, Claim] = json.loads(_decode(payload))
            expires = int(claims.pop(_EXPIRES))
        except (ValueError, KeyError, binascii.Error) as error:
            # Signed by this secret, and yet not by this class.
            raise SignatureError("this link or token is of another version: ask for a new one") from error
        if time.time() >= expires:
            raise SignatureError("this link or token has expired: ask for a new one")
        return claims

    def mark(self, purpose: str, text: str) -> str:
        """What only this server can say of a text; always the same."""
        return self._signature(f"mark {purpose}", _encode(text.encode()))

    def _signature(self, purpose: str, payload: str) -> str:
        # A zero byte is in no payload, so purpose and payload cannot be cut apart elsewhere.
        signed = hmac.digest(self._secret, f"{payload}\0{purpose}".encode(), hashlib.sha256)
        return _encode(signed)


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(_SECRET_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link never replaces: of two processes that come at once, both use the secret of the first.
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
