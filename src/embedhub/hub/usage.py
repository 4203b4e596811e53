"""How much everybody used today, so that a daily limit survives a restart and holds for several servers together."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from embedhub.hub.database import open_database, readable_errors, transaction

# Past days are kept for a while, for whoever wants to look.
_KEPT_DAYS = 90


class Usage:
    """Tokens used, by day and consumer. Each call opens the file: it is made for one every few seconds.

    Args:
        path: the file of `accounts`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, day: str) -> dict[str, int]:
        """Tokens used on a day (`2026-11-30`), by consumer.

        Raises:
            HubDatabaseError: the file is damaged or cannot be used.
        """
        if not self.path.exists():
            return {}
        with readable_errors(self.path), closing(open_database(self.path)) as database:
            return dict(database.execute("SELECT consumer, tokens FROM usage WHERE day = ?", (day,)))

    def add(self, day: str, tokens: Mapping[str, int]) -> dict[str, int]:
        """Count what was used since the last call; gives what `read` gives then, other processes' share included.

        Raises:
            HubDatabaseError: the file is damaged or cannot be used; nothing was counted.
        """
        with readable_errors(self.path), closing(open_database(self.path)) as database:
            with transaction(database):
                database.executemany(
                    "INSERT INTO usage (day, consumer, tokens) VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens",
                    [(day, consumer, count) for consumer, count in tokens.items()],
                )
                database.execute("DELETE FROM usage WHERE day < date(?, ?)", (day, f"-{_KEPT_DAYS} days"))
            return dict(database.execute("SELECT consumer, tokens FROM usage WHERE day = ?", (day,)))
