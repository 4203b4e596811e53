"""Files downloaded, whole or in ranges, with the headers by which clients cache and verify them.

Source of ranges and conditions: RFC 9110, sections 13 and 14.
"""

import mimetypes
import re
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response

from embedhub.hub.access import Action, repository_not_found
from embedhub.hub.trees import Entry
from embedhub.server.hub.download import FilePart
from embedhub.server.hub.exchange import Exchange, answer, header_text
from embedhub.server.hub.routing import HubRoute, kind_of

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

# Shown by browsers as what they are. Nothing that could run as a page of this server is among them.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "audio/wav", "audio/x-wav", "application/json")


def resolve(exchange: Exchange) -> Response:
    """A file's content; of a large file its own, not the pointer's."""
    repository = exchange.repository(Action.READ)
    path = exchange.path["path"]
    with exchange.hub.open(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        entry = git.entry(commit, path)
        if entry is None or entry.is_folder:
            return no_file(path, commit)
        content = b"" if entry.pointer is not None or exchange.request.method == "HEAD" else git.read(entry)
    headers = file_headers(exchange, entry, commit)
    file: Path | None = None
    if entry.pointer is not None:
        file = exchange.hub.large_file(repository, entry)
    return ranged(exchange, headers, entry.etag, entry.size, file, content)


def raw(exchange: Exchange) -> Response:
    """What git keeps of a file; of a large one the pointer."""
    repository = exchange.repository(Action.READ)
    with exchange.hub.open(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        path = exchange.path["path"]
        entry = git.entry(commit, path)
        if entry is None or entry.is_folder:
            return no_file(path, commit)
        content = git.read(entry)
    headers = file_headers(exchange, Entry(path, entry.oid, len(content)), commit)
    return ranged(exchange, headers, entry.oid, len(content), None, content)


def ranged(
    exchange: Exchange, headers: dict[str, str], etag: str, size: int, file: Path | None, content: bytes
) -> Response:
    """The whole, the range that was asked for, or word that the client has it already.

    Args:
        exchange: the request.
        headers: of the answer.
        etag: what identifies the content.
        size: in bytes.
        file: holds the content; None takes `content`.
        content: if it is not in a file; may be empty for HEAD.
    """
    known = exchange.headers.get("if-none-match", "")
    if f'"{etag}"' in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    # Ranges are of GET alone.
    asked = exchange.headers.get("range", "") if exchange.request.method == "GET" else ""
    condition = exchange.headers.get("if-range", f'"{etag}"')
    found = _RANGE.fullmatch(asked.replace(" ", "")) if condition == f'"{etag}"' else None
    first, end, status = 0, size, 200
    if found is not None and not size:
        # No range of nothing can be had. Clients in JavaScript ask for the first byte to learn the size, and take any
        # error for the file's: so they are given all of it, with a header that means nothing beside status 200.
        headers["content-range"] = "bytes */0"
    elif found is not None and _is_range(found[1], found[2]):
        first, end = _bounds(found[1], found[2], size)
        if first >= end:
            return answer(
                {"error": f"the file has {size} bytes"}, headers | {"content-range": f"bytes */{size}"}, status=416
            )
        headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
        status = 206
    headers["content-length"] = str(end - first)
    if exchange.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    if file is None:
        return Response(content[first:end], status, headers)
    return FilePart(file, first, end, status, headers)


def _is_range(first: str, last: str) -> bool:
    """Whether it is one. One that ends before it begins is none, and is passed over (RFC 9110, 14.1.1)."""
    return bool(last if not first else not last or int(first) <= int(last))


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        # The last so many bytes.
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def file_headers(exchange: Exchange, entry: Entry, commit: str) -> dict[str, str]:
    """By which clients cache and verify a file."""
    name = entry.path.rpartition("/")[2]
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    shown = kind in _SHOWN
    text = kind.startswith("text/") or name.endswith((".md", ".jsonl", ".yaml", ".yml", ".toml"))
    disposition = "inline" if shown or text else "attachment"
    headers = {
        "content-type": kind if shown else "text/plain; charset=utf-8" if text else "application/octet-stream",
        "content-disposition": f"{disposition}; filename*=UTF-8''{quote(name, safe='')}",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "etag": f'"{entry.etag}"',
        "x-repo-commit": commit,
        "accept-ranges": "bytes",
        # A commit's file never changes; a branch's may. Nobody between may keep what a token has opened.
        "cache-control": "private, max-age=31536000, immutable"
        if exchange.path["revision"] == commit
        else "private, no-cache",
    }
    if entry.pointer is not None:
        headers["x-linked-size"] = str(entry.pointer.size)
        headers["x-linked-etag"] = f'"{entry.pointer.sha256}"'
    return headers


def no_file(path: str, commit: str) -> Response:
    """The answer for a path at which there is nothing."""
    # With the commit, so that clients remember that there is none.
    message = f"Entry not found: there is no file {path[:300]}"
    headers = {
        "x-error-code": "EntryNotFound",
        "x-error-message": header_text(message),
        "x-repo-commit": commit,
    }
    return answer({"error": message}, headers, 404)


def without_namespace(exchange: Exchange) -> Response:
    """Every repository here has a namespace; clients ask for files of names that have none, too."""
    raise repository_not_found(str(kind_of(exchange.path)), exchange.path["name"])


ROUTES = (
    HubRoute("GET", "/{prefix}{name}/resolve/{revision}/{path*}", without_namespace),
    HubRoute("GET", "/{prefix}{namespace}/{name}/resolve/{revision}/{path*}", resolve),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/resolve/{revision}/{path*}", resolve),
    HubRoute("GET", "/{prefix}{namespace}/{name}/raw/{revision}/{path*}", raw),
)
