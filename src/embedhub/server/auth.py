"""Who may ask: tokens to identities. Knows `Authorization: Bearer`; where tokens are kept it leaves to the hub."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Whose request it is. `user` is empty for somebody without a token."""

    user: str = ""


class Gate:
    """Lets requests in."""

    @property
    def has_tokens(self) -> bool:
        """Whether anybody needs a token."""
        return False

    def admit(self, headers: Mapping[str, str], scope: str) -> Identity:
        """Whose request it is."""
        return Identity()
