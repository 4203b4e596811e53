"""Somebody who signed in on a page: a signed cookie that stands for one of their tokens.

Knows the cookie, and what proves that a request comes from a page of this server and not from one elsewhere. Refuses to
know what a token allows. A session ends when its token does.
"""

import hmac
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from embedhub.errors import SignatureError
from embedhub.hub.signing import Signer

COOKIE = "embedhub_session"
PROOF_HEADER = "x-csrf-token"
PROOF_FIELD = "csrf"

_PURPOSE = "session"
_SECONDS = 14 * 86_400
_LONGEST_COOKIES = 8192


class Sessions:
    """Makes and reads sessions.

    Args:
        signer: gives what signs them; asked when first needed, because it keeps a file.
    """

    def __init__(self, signer: Callable[[], Signer]) -> None:
        self._signer = signer

    def begin(self, account_id: int, *, secure: bool) -> tuple[str, str]:
        """A new session for a token: its value, and the header that gives it to a browser."""
        value = self._signer().sign(_PURPOSE, {"account": account_id}, _SECONDS)
        return value, self._header(value, _SECONDS, secure=secure)

    def end(self, *, secure: bool) -> str:
        """The header that makes a browser forget it."""
        return self._header("", 0, secure=secure)

    def read(self, cookies: str) -> tuple[str, int] | None:
        """Value and token's number of the session in a `Cookie` header, if there is one that holds."""
        if COOKIE not in cookies or len(cookies) > _LONGEST_COOKIES:
            return None
        try:
            found = SimpleCookie(cookies).get(COOKIE)
            if found is None:
                return None
            return found.value, int(self._signer().verify(found.value, _PURPOSE)["account"])
        except (CookieError, SignatureError, KeyError, ValueError):
            return None

    def proof(self, value: str) -> str:
        """What a page of this server sends along, and no other page can know."""
        return self._signer().mark("csrf", value)

    def is_proven(self, value: str, proof: str) -> bool:
        """Whether that came along."""
        return bool(proof) and hmac.compare_digest(self.proof(value).encode(), proof.encode("utf-8", "replace"))

    @staticmethod
    def _header(value: str, seconds: int, *, secure: bool) -> str:
        # Lax: a link from elsewhere leads to a page of somebody who is signed in; a form from elsewhere does not.
        flags = "; Secure" if secure else ""
        return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{flags}"
