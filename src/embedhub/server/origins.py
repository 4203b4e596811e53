"""Which web pages may ask. Pure: names of hosts and origins, as browsers send them.

An origin is the `Origin` header: scheme, name and port of the page. Source: the Fetch standard. Why it matters even
where no page can read an answer is told in docs/decisions/0004.
"""

import ipaddress
import re

# What a browser writes between `//` and the path. A port may be left out, also behind its colon.
_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:/?#@\[\]\\]+))(?::(?P<port>[0-9]{0,5}))?")
_LARGEST_PORT = 65535


def is_loopback(host: str) -> bool:
    """Whether an address or name, without a port, can only be this machine."""
    name = host.lower().rstrip(".")
    if name in ("127.0.0.1", "localhost", "::1") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(authority: str) -> str:
    """The name in a `Host` header: `[::1]:8080` is `::1`. Empty for what is no name with or without a port."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None or int(found["port"] or 0) > _LARGEST_PORT:
        return ""
    return found["address"] or found["name"]


def is_allowed(origin: str, host: str, allowed: tuple[str, ...], *, guarded: bool) -> bool:
    """Whether pages of an origin may ask.

    Args:
        origin: theirs, such as `http://localhost:3000`, or `null`.
        host: the `Host` header of the request: pages that this server itself delivered always may.
        allowed: origins that may, or `*`; empty decides by `guarded`.
        guarded: a token is needed. A page that has one was given it, any other gets nothing.
    """
    scheme, separator, authority = origin.partition("://")
    if separator and host and authority.lower() == host.lower():
        return True
    if allowed:
        return "*" in allowed or origin in allowed
    return guarded or (scheme in ("http", "https") and is_loopback(host_name(authority)))
