"""Addresses of the Hub: patterns over the path as it was sent, because a branch's name may hold an escaped slash.

A pattern's `{name}` is a segment, `{name*}` all that follow (perhaps none), `{kinds}` one of models, datasets and
spaces, `{prefix}` `datasets/`, `spaces/` or, for models, nothing, and `{owner}` a namespace that means nothing else as
the first part of an address. Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from embedhub.errors import RequestError
from embedhub.hub.names import RESERVED, Kind

_PART = re.compile(r"\{(\w+)(\*?)\}")
_KINDS = "|".join(kind.plural for kind in Kind)
_OWNER = f"(?!(?i:{'|'.join(sorted(RESERVED))})/)[^/]+"


@dataclass(frozen=True, slots=True)
class HubRoute:
    """One address.

    Attributes:
        method: of HTTP; GET answers HEAD too.
        pattern: see above.
        handler: a function of an `Exchange` that gives a response; a plain one runs in a thread, with the body read.
        scope: what a token must be for at least; `public` needs none.
        streams: whether the handler, a coroutine, reads the body itself.
        large: whether the body may be as large as the settings allow for one request's, instead of a megabyte.
        page: whether people look at it: who asks for HTML sees errors as pages, and is led to where one signs in; who
            takes none is not meant.
    """

    method: str
    pattern: str
    handler: Callable[..., Any]
    scope: str = "read"
    streams: bool = False
    large: bool = False
    page: bool = False

    @property
    def path(self) -> str:
        """What the metrics call it."""
        return self.pattern

    @property
    def dialect(self) -> str:
        """As of other endpoints."""
        return "hub"


class Router:
    """Finds the route of a request.

    Args:
        routes: asked in order.
    """

    def __init__(self, routes: Iterable[HubRoute]) -> None:
        self._routes = [(re.compile(_expression(route.pattern)), route) for route in routes]

    def find(self, method: str, raw_path: str) -> tuple[HubRoute, dict[str, str]] | set[str]:
        """The route and its unescaped parameters; else the methods that the path is there for, if any.

        Raises:
            RequestError: a segment is no UTF-8 once it is unescaped.
        """
        wanted = "GET" if method == "HEAD" else method
        others: set[str] = set()
        for expression, route in self._routes:
            found = expression.fullmatch(raw_path)
            if found is None:
                continue
            if route.method != wanted:
                others.add(route.method)
                continue
            try:
                parts = {
                    name: unquote(value or "", errors="strict") for name, value in found.groupdict(default="").items()
                }
            except UnicodeDecodeError as error:
                raise RequestError("the path is not UTF-8") from error
            return route, parts
        return others


def kind_of(path: Mapping[str, str]) -> Kind:
    """The kind of repository that a path is about."""
    plural = path.get("kinds") or path.get("prefix") or "models"
    return Kind(plural.rstrip("/").removesuffix("s"))


def _expression(pattern: str) -> str:
    made = ""
    at = 0
    for part in _PART.finditer(pattern):
        made += re.escape(pattern[at : part.start()])
        name, rest = part.groups()
        if name == "kinds":
            made += f"(?P<kinds>{_KINDS})"
        elif name == "prefix":
            made += "(?P<prefix>datasets/|spaces/|)"
        elif name == "owner":
            made += f"(?P<namespace>{_OWNER})"
        elif rest:
            # With the slash before it, so that `/tree/main` and `/tree/main/` are the same folder.
            made = made.removesuffix("/") + f"(?:/(?P<{name}>.*))?"
        else:
            made += f"(?P<{name}>[^/]+)"
        at = part.end()
    return made + re.escape(pattern[at:])
