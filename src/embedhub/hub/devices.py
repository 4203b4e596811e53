"""Clients without a token that wait until somebody says who they are. Source: RFC 8628, the device grant of OAuth.

Knows codes and how long they last. Refuses to know how somebody says so, and makes no token.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum

from embedhub.errors import AccountError, RateLimitedError
from embedhub.hub.accounts import SCOPES
from embedhub.hub.database import Connections
from embedhub.hub.organisations import Namespace

EXPIRES_SECONDS = 900
INTERVAL_SECONDS = 5

# Of clients that wait at once: anybody may begin.
_MOST = 1000
_MOST_OF_AN_ADDRESS = 10

# No vowels, so that no words, and nothing that is read as something else. 20 to the 8th is guessed by nobody in time.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"

_LENGTH = 8
_LONGEST_TYPED = 40

# In place of a scope.
_DENIED = "denied"


class Progress(StrEnum):
    """How far a client's wait is, in the words of OAuth."""

    PENDING = "authorization_pending"
    TOO_SOON = "slow_down"
    EXPIRED = "expired_token"
    DENIED = "access_denied"


@dataclass(frozen=True, slots=True)
class Approval:
    """Whose token a client is to get, what it may do, and for how many days; None is for ever."""

    user: str
    scope: str
    days: float | None


class Devices:
    """The waiting clients of a database.

    Args:
        connections: to its file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def begin(self, address: str) -> tuple[str, str]:
        """A secret by which a client asks again, and a code that it shows to its user.

        Raises:
            RateLimitedError: too many wait.
        """
        now = time.time()
        secret = secrets.token_urlsafe(32)
        code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        code = f"{code[:4]}-{code[4:]}"
        with self._connections.write() as database:
            database.execute("DELETE FROM devices WHERE expires_at <= ?", (now,))
            waiting, of_address = database.execute(
                "SELECT COUNT(*), COALESCE(SUM(address = ?), 0) FROM devices", (address,)
            ).fetchone()
            if waiting >= _MOST or of_address >= _MOST_OF_AN_ADDRESS:
                raise RateLimitedError("too many clients wait for a token; try again later", retry_after=60)
            database.execute(
                "INSERT INTO devices (sha256, code, address, expires_at, asked_at) VALUES (?, ?, ?, ?, 0)",
                (_hash(secret), code, address, now + EXPIRES_SECONDS),
            )
        return secret, code

    def approve(self, code: str, user: Namespace, scope: str, days: float | None = None) -> None:
        """Say who a client is, by the code that it shows. The first word counts.

        Raises:
            AccountError: no client waits with that code, the user is an organisation, an impossible scope or time.
        """
        if scope not in SCOPES:
            raise AccountError(f"scope {scope!r}: one of {', '.join(SCOPES)}")
        if user.is_organisation:
            raise AccountError(f"{user.name} is an organisation; tokens are of its members (`embedhub org add`)")
        if days is not None and not 0 < days < 1_000_000:
            raise AccountError(f"a token cannot expire in {days:g} days")
        with self._connections.write() as database:
            found = database.execute(
                "UPDATE devices SET user = ?, scope = ?, token_days = ?"
                " WHERE code = ? AND scope = '' AND expires_at > ?",
                (user.name, scope, days, read_code(code), time.time()),
            )
            if not found.rowcount:
                raise _nobody_waits(code)

    def deny(self, code: str) -> None:
        """Say that a client is to get nothing.

        Raises:
            AccountError: no client waits with that code.
        """
        with self._connections.write() as database:
            found = database.execute(
                "UPDATE devices SET scope = ? WHERE code = ? AND scope = '' AND expires_at > ?",
                (_DENIED, read_code(code), time.time()),
            )
            if not found.rowcount:
                raise _nobody_waits(code)

    def waiting(self, code: str) -> str | None:
        """The address of the client that waits with a code; None if none does."""
        with self._connections.read() as database:
            row = database.execute(
                "SELECT address FROM devices WHERE code = ? AND scope = '' AND expires_at > ?",
                (read_code(code), time.time()),
            ).fetchone()
        return None if row is None else str(row[0])

    def ask(self, secret: str) -> Approval | Progress:
        """What became of a client. One that was approved is told so once.

        A client that asks more often than it was told to is told to slow down, also if it was approved meanwhile.
        """
        now = time.time()
        with self._connections.write() as database:
            row = database.execute(
                "SELECT user, scope, token_days, expires_at, asked_at FROM devices WHERE sha256 = ?", (_hash(secret),)
            ).fetchone()
            if row is None:
                return Progress.EXPIRED
            user, scope, days, expires_at, asked_at = row
            if now >= expires_at:
                database.execute("DELETE FROM devices WHERE sha256 = ?", (_hash(secret),))
                return Progress.EXPIRED
            # Clocks of both sides differ a little.
            if now - asked_at < INTERVAL_SECONDS * 0.8:
                return Progress.TOO_SOON
            if scope == _DENIED:
                database.execute("DELETE FROM devices WHERE sha256 = ?", (_hash(secret),))
                return Progress.DENIED
            if user:
                database.execute("DELETE FROM devices WHERE sha256 = ?", (_hash(secret),))
                return Approval(user, scope, days)
            database.execute("UPDATE devices SET asked_at = ? WHERE sha256 = ?", (now, _hash(secret)))
            return Progress.PENDING


def read_code(text: str) -> str:
    """A code as it is kept, however it was typed; empty if that is none."""
    letters = "".join(letter for letter in text[:_LONGEST_TYPED].upper() if letter not in " -")
    is_code = len(letters) == _LENGTH and all(letter in _LETTERS for letter in letters)
    return f"{letters[:4]}-{letters[4:]}" if is_code else ""


def _nobody_waits(code: str) -> AccountError:
    return AccountError(f"no client waits with the code {code!r:.40}; it may have expired: begin again")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
