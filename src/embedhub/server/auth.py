"""Who may ask: a token to an identity, and what that identity is allowed.

Knows `Authorization`, and sessions of pages; where tokens are kept it leaves to the hub, how much they may use to
`quota`. Lives in one event loop, and asks the disk twice a second, and when it is shown a token that it does not know.
"""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from embedhub.config import Settings
from embedhub.errors import ForbiddenError, HubDatabaseError, UnauthorizedError
from embedhub.hub.accounts import DATABASE, SCOPES, Account, Accounts, token_hash
from embedhub.hub.signing import Signer
from embedhub.hub.usage import Usage
from embedhub.server.attempts import Attempts
from embedhub.server.origins import host_name, is_allowed, is_loopback
from embedhub.server.quota import Quota
from embedhub.server.sessions import PROOF_HEADER, Sessions

logger = logging.getLogger(__name__)

# How long a token may still work after it was revoked.
_LOOK_EVERY_SECONDS = 0.5

# No client's own; longer ones are not worth a hash.
_LONGEST_TOKEN = 1000

# Told word for word to clients of the Hugging Face Hub, who know it.
_UNKNOWN = "Invalid credentials in Authorization header"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose request it is.

    Attributes:
        user: empty for somebody without a token.
        account: of the token; None without one.
        address: where the request came from.
        session: value of the session that stands for the token; empty where the token itself came.
        scope: what this request may do at most: of a session without proof less than its token.
    """

    user: str = ""
    account: Account | None = None
    address: str = ""
    session: str = ""
    scope: str = ""


class Gate:
    """Lets requests in.

    Without any token in the file a server that only this machine reaches belongs to whoever sits at it. Once there was
    a token, those without one are let in only where the settings say so, and may only read.

    Args:
        config: the settings.

    Raises:
        HubDatabaseError: the file of tokens is damaged or cannot be used.
    """

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._accounts = Accounts(config.home / DATABASE)
        self._mark: object = None
        self._by_hash: dict[bytes, Account] = {}
        self._looked_at = float("-inf")
        self._only_here = is_loopback(config.host)
        # Stays set while the server runs: losing the file must not open the door.
        self._has_tokens = False
        self._by_id: dict[int, Account] = {}
        self._signer: Signer | None = None
        self.sessions = Sessions(self._get_signer)
        self.attempts = Attempts()
        self.quota = Quota(config, Usage(config.home / DATABASE))
        self._look()

    @property
    def has_tokens(self) -> bool:
        """Whether there is, or was, a token."""
        self._refresh()
        return self._has_tokens

    @property
    def anonymous_scope(self) -> str:
        """What those without a token may do: a scope, or nothing."""
        if self._only_here and not self.has_tokens:
            return "admin"
        return "read" if self._config.allow_anonymous else ""

    def admit(self, headers: Mapping[str, str], scope: str, address: str = "", *, counts: bool = True) -> Identity:
        """Whose request it is.

        Args:
            headers: of the request, by lower-case name.
            scope: what it needs: `public`, or one of the scopes of tokens.
            address: where it came from.
            counts: whether it is one more request; one that was admitted before is not.

        Raises:
            UnauthorizedError: it needs a token and has none, or one that does not work.
            ForbiddenError: its token allows less, or it came from a web page that may not ask.
            RateLimitedError: it has asked too often, or used too much.
        """
        if scope == "public":
            return Identity(address=address)
        self._refresh()
        token = bearer_token(headers.get("authorization", ""))
        if token and not self._knows(token):
            # It may have been made a moment ago, by this server too: whoever has logged in asks at once who they are.
            self._refresh(at_once=True)
        if token and self._has_tokens:
            account = self._account(token)
            identity = Identity(account.user, account, address, scope=account.scope)
            allowed = account.scope
        elif (session := self._session(headers)) is not None:
            value, account = session
            # Without that it may have been sent by a page elsewhere.
            proven = self.sessions.is_proven(value, headers.get(PROOF_HEADER, ""))
            allowed = account.scope if proven else "read"
            identity = Identity(account.user, account, address, value, allowed)
        else:
            identity = Identity(address=address)
            allowed = self._anonymous(headers)
        if SCOPES.index(scope) > SCOPES.index(allowed):
            whose = "this token allows" if identity.account else "without a token one may"
            raise ForbiddenError(f"{whose} {allowed}, this needs {scope}")
        if counts:
            self.quota.check(identity.account, address)
        return identity

    def may_use(self, origin: str, host: str) -> bool:
        """Whether web pages of an origin may use this server; see `origins`."""
        return is_allowed(origin, host, self._config.cors_origins, guarded=not self.anonymous_scope)

    def close(self) -> None:
        """Let go of the file."""
        self._accounts.close()

    def _anonymous(self, headers: Mapping[str, str]) -> str:
        allowed = self.anonymous_scope
        if not allowed:
            raise UnauthorizedError(
                "a token is needed in the header `Authorization: Bearer hf_…`; whoever runs this server makes one with "
                "`embedhub token create --user NAME`"
            )
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and not self.may_use(origin, host):
            raise ForbiddenError(f"web pages of {origin:.100} may not ask here (EMBEDHUB_CORS_ORIGINS)")
        if allowed == "admin" and host and not is_loopback(host_name(host)):
            # A page of that name whose address was bent to this machine is a page of the same origin to its browser.
            raise ForbiddenError(
                f"{host:.100} is not a name of this machine: ask localhost, make a token with `embedhub token create`, "
                "or let everybody read with --allow-anonymous"
            )
        return allowed

    def _knows(self, token: str) -> bool:
        return len(token) > _LONGEST_TOKEN or token_hash(token) in self._by_hash

    def _session(self, headers: Mapping[str, str]) -> tuple[str, Account] | None:
        found = self.sessions.read(headers.get("cookie", "")) if self._has_tokens else None
        if found is not None and found[1] not in self._by_id:
            # Made a moment ago, when somebody signed in with a password.
            self._refresh(at_once=True)
        account = self._by_id.get(found[1]) if found is not None else None
        if found is None or account is None or account.revoked_at is not None or account.expired():
            return None
        return found[0], account

    def _get_signer(self) -> Signer:
        if self._signer is None:
            self._signer = Signer.of(self._config.home)
        return self._signer

    def _account(self, token: str) -> Account:
        account = self._by_hash.get(token_hash(token)) if len(token) <= _LONGEST_TOKEN else None
        if account is None or account.revoked_at is not None:
            raise UnauthorizedError(_UNKNOWN)
        if account.expired():
            raise UnauthorizedError("the token has expired; `embedhub token create` makes a new one")
        return account

    def _refresh(self, *, at_once: bool = False) -> None:
        now = monotonic()
        if not at_once and now - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        try:
            self._look()
        except HubDatabaseError as error:
            # Those who are known stay known: nobody can have been revoked in a file that cannot be written.
            logger.error("%s", error)  # noqa: TRY400 - the line says it all
        self._looked_at = monotonic()

    def _look(self) -> None:
        mark = self._accounts.mark()
        if mark != self._mark or self._looked_at == float("-inf"):
            self._by_hash = self._accounts.by_hash()
            self._by_id = {account.id: account for account in self._by_hash.values()}
            if self._by_hash and not self._has_tokens and self._looked_at != float("-inf"):
                logger.warning("the first token was made: from now on requests without one are refused")
            self._has_tokens = self._has_tokens or bool(self._by_hash)
            self._mark = mark
        self._looked_at = monotonic()


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization` header; empty if it has none of a scheme that is known here."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        # git and git-lfs know nothing else: any name, and the token for a password.
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return credentials.strip() if scheme.lower() == "bearer" else ""
