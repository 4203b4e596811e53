"""Users and their tokens. A token is kept as its hash only: whoever reads the file cannot use what is in it.

Knows which tokens there are and what they may do; what a scope opens is decided by who asks.
"""

import contextlib
import hashlib
import re
import secrets
import sqlite3
import string
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedhub.errors import AccountError
from embedhub.hub.database import open_database, readable_errors, transaction
from embedhub.hub.names import RESERVED

SCOPES = ("read", "write", "admin")

DATABASE = "hub.sqlite"

# Clients of the Hugging Face Hub refuse a token that begins otherwise.
_PREFIX = "hf_"
_ALPHABET = string.ascii_letters + string.digits
# 43 of 62 characters are 256 bits: nothing that is guessed, so a plain hash keeps it.
_LENGTH = 43

# A user's name is to become the first part of the names of repositories, and so of paths and addresses.
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.)){0,95}")

_DAY_SECONDS = 86_400

_COLUMNS = (
    "tokens.id, users.name, scope, tokens.name, tokens.created_at, expires_at, revoked_at, rate, daily_tokens, sha256"
)


@dataclass(frozen=True, slots=True)
class Account:
    """A token's owner and what the token may do; the token itself is not known.

    Attributes:
        id: number of the token.
        user: whose it is.
        scope: read, write or admin; each holds those before it.
        name: what its owner calls it.
        created_at: seconds since 1970, like the other times.
        expires_at: when it stops working; None is never.
        revoked_at: when it was revoked, if it was.
        rate: requests a minute; None is the server's setting, 0 no limit.
        daily_tokens: of texts, a day; as `rate`.
    """

    id: int
    user: str
    scope: str
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    rate: int | None
    daily_tokens: int | None

    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and time.time() >= self.expires_at


class Accounts:
    """The users and tokens of a file. Several processes may use it at once; of one process, one thread.

    Args:
        path: the file. It is made when the first token is, and may come and go while this lives.

    Each method raises `HubDatabaseError` if the file is damaged or cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[sqlite3.Connection, tuple[int, int]] | None = None

    def create_token(
        self,
        user: str,
        scope: str,
        expires_days: float | None = None,
        name: str = "",
        *,
        rate: int | None = None,
        daily_tokens: int | None = None,
    ) -> tuple[str, Account]:
        """A new token and its account; the user is made if there is none of that name. The token is not kept.

        Args:
            user: letters, digits, `_`, `-` and single dots; case does not tell two users apart.
            scope: one of `SCOPES`.
            expires_days: from now; None never expires.
            name: for its owner.
            rate: see `Account`.
            daily_tokens: see `Account`.

        Raises:
            AccountError: an impossible name, scope, time or limit.
        """
        if not _USER.fullmatch(user):
            raise AccountError(f"user {user!r:.100}: a name has letters, digits, _ and -, 96 at most, and single dots")
        if scope not in SCOPES:
            raise AccountError(f"scope {scope!r}: one of {', '.join(SCOPES)}")
        if expires_days is not None and not 0 < expires_days < 1_000_000:
            raise AccountError(f"a token cannot expire in {expires_days:g} days")
        if min(rate or 0, daily_tokens or 0) < 0:
            raise AccountError("a limit is not negative; 0 is none")
        token = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        now = time.time()
        expires_at = None if expires_days is None else now + expires_days * _DAY_SECONDS
        with self._database() as database, transaction(database):
            known = database.execute("SELECT 1 FROM users WHERE name = ?", (user,)).fetchone()
            if known is None and user.lower() in RESERVED:
                raise AccountError(f"user {user!r} has another meaning in addresses; choose another name")
            database.execute("INSERT INTO users (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (user, now))
            # The spelling of whoever came first is the user's.
            user_id, user, is_organisation = database.execute(
                "SELECT id, name, is_organisation FROM users WHERE name = ?", (user,)
            ).fetchone()
            if is_organisation:
                raise AccountError(f"{user} is an organisation; tokens are of its members (`embedhub org add`)")
            row = (token_hash(token), user_id, scope, name, now, expires_at, rate, daily_tokens)
            cursor = database.execute(
                "INSERT INTO tokens (sha256, user_id, scope, name, created_at, expires_at, rate, daily_tokens)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        assert cursor.lastrowid is not None
        return token, Account(cursor.lastrowid, user, scope, name, now, expires_at, None, rate, daily_tokens)

    def list_tokens(self) -> list[Account]:
        """Every token there ever was, oldest first."""
        return sorted(self.by_hash().values(), key=lambda account: account.id)

    def revoke(self, id: int) -> Account:
        """End a token at once; its account stays, for the record.

        Raises:
            AccountError: there is no such token.
        """
        if self.path.exists():
            with self._database() as database, transaction(database):
                database.execute(
                    "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (time.time(), id)
                )
        for account in self.list_tokens():
            if account.id == id:
                return account
        raise AccountError(f"there is no token {id}; `embedhub token list` shows them")

    def find(self, token: str) -> Account | None:
        """The account of a token that works; None if it is unknown, revoked or expired."""
        account = self.by_hash().get(token_hash(token))
        return None if account is None or account.revoked_at is not None or account.expired() else account

    def by_hash(self) -> dict[bytes, Account]:
        """Every account by its token's hash (`token_hash`), for who looks up often. Empty without a file."""
        if not self.path.exists():
            return {}
        with self._database() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM tokens JOIN users ON users.id = user_id").fetchall()
        return {row[-1]: Account(*row[:-1]) for row in rows}

    def mark(self) -> object:
        """Something that is not equal to what it was before once somebody else has changed the file; cheap."""
        if not self.path.exists():
            return None
        with self._database() as database:
            assert self._open is not None
            return self._open[1], database.execute("PRAGMA data_version").fetchone()[0]

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The connection, opened anew if another file has taken the path's place."""
        with readable_errors(self.path):
            if self._open is not None and self._open[1] != _identity(self.path):
                self.close()
            if self._open is None:
                connection = open_database(self.path)
                self._open = connection, _identity(self.path)
            yield self._open[0]


def token_hash(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
