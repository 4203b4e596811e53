"""Passwords: set by whoever runs the server, checked when somebody signs in. What is kept gives none away.

Knows scrypt (RFC 7914) and the column that holds its results. Refuses to know what a password opens, and who has tried
too often.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading

from embedhub.errors import AccountError
from embedhub.hub.database import Connections

SHORTEST = 8
_LONGEST_BYTES = 1000

# 32 MB and about a tenth of a second for each guess.
_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 1
_MEMORY = 2 * 128 * _COST * _BLOCK
_SALT_BYTES = 16
_HASH_BYTES = 32

# Many who sign in at once are not to take the memory of models.
_at_once = threading.BoundedSemaphore(2)


class Passwords:
    """The passwords of a database.

    Args:
        connections: to its file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def set(self, user: str, password: str) -> None:
        """Give a user a password; the one before stops working.

        Raises:
            AccountError: there is no such user, or the password is too short or too long.
        """
        if len(password) < SHORTEST:
            raise AccountError(f"a password has at least {SHORTEST} characters")
        if len(password.encode("utf-8", "surrogatepass")) > _LONGEST_BYTES:
            raise AccountError(f"a password has at most {_LONGEST_BYTES} bytes")
        kept = _keep(password)
        with self._connections.write() as database:
            found = database.execute(
                "UPDATE users SET password = ? WHERE name = ? AND is_organisation = 0", (kept, user)
            )
            if not found.rowcount:
                raise AccountError(f"there is no user {user:.100}; `embedhub user create` makes one")

    def check(self, user: str, password: str) -> str | None:
        """The user's name as it is written, if that is their password.

        It takes as long for a user who is not there, or has none.
        """
        with self._connections.read() as database:
            row = database.execute("SELECT name, password FROM users WHERE name = ?", (user,)).fetchone()
        name, kept = row or ("", "")
        matches = _matches(password, kept or _nobodys())
        return name if kept and matches else None


def _keep(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _text(salt), _text(_hash(password, salt))])


def _matches(password: str, kept: str) -> bool:
    try:
        _, cost, block, parallel, salt, expected = kept.split("$")
        costs = int(cost), int(block), int(parallel)
        found = _hash(password, base64.b64decode(salt), costs)
        return hmac.compare_digest(found, base64.b64decode(expected))
    except (ValueError, binascii.Error, MemoryError):
        # Not written here.
        return False


def _hash(password: str, salt: bytes, costs: tuple[int, int, int] = (_COST, _BLOCK, _PARALLEL)) -> bytes:
    cost, block, parallel = costs
    sent = password.encode("utf-8", "surrogatepass")[: _LONGEST_BYTES + 1]
    with _at_once:
        return hashlib.scrypt(sent, salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=_HASH_BYTES)


def _nobodys() -> str:
    """What no password matches, at the same price."""
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _text(bytes(_SALT_BYTES)), _text(bytes(1))])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
