"""A pytest plugin: this machine can be spoken to, no other; who tries fails at once.

Holds for sockets of this interpreter. Child processes and compiled clients are kept at home by the proxy variables that
`run.py` sets.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

_HOMES = ("localhost", "ip6-localhost", socket.gethostname())


class AwayError(TimeoutError):
    """A test wanted to leave this machine; it learns at once what it would learn late where no packet comes back."""


def _at_home(host: object) -> bool:
    if host is None or host in ("", b""):
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in _HOMES or name.endswith(".localhost")


def _guarded_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _at_home(address[0]):
            raise AwayError(f"no test may speak to {address[0]!r}: only to this machine")
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *arguments: Any, **named: Any) -> Any:
        if not _at_home(host):
            # What a machine without a network says, so that clients do what they do there.
            raise socket.gaierror(socket.EAI_NONAME, f"no test may look up {host!r}")
        return lookup(host, *arguments, **named)

    return guarded


def pytest_configure() -> None:
    """Close the doors before anything of the tests is imported."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded_connect(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname"):
        setattr(socket, name, _guarded_lookup(getattr(socket, name)))
