"""Styles and scripts: files of this package under addresses that change when they do, so that browsers keep them.

Knows the folder `static`. In its `vendor`, which set-up fills, each package's folder bears its version. What is there
as `name.gz` is sent so to who takes it, other text is compressed when first asked for.
"""

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.responses import Response

from embedhub.errors import EntryNotFoundError
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute

STATIC = Path(__file__).with_name("static")
VENDOR = STATIC / "vendor"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
}

_IMPORT = re.compile(r'^import .*? from "(\./[^"]+|\.\./[^"]+)";$', re.MULTILINE)

_FOR_EVER = "public, max-age=31536000, immutable"


def asset_address(name: str) -> str:
    """Where a file of `static` is."""
    return f"/static/{_version()}/{name}"


@cache
def imported(name: str) -> tuple[str, ...]:
    """The files that a script of `static` imports, and those that they import, each once.

    A page names them at once, so that a browser does not learn of one from another, a journey each.
    """
    found: dict[str, None] = {}
    pending = [STATIC / name]
    while pending:
        path = pending.pop(0)
        for match in _IMPORT.finditer(path.read_text()):
            file = (path.parent / match[1]).resolve()
            wanted = file.relative_to(STATIC.resolve()).as_posix()
            if wanted not in found:
                found[wanted] = None
                pending.append(file)
    return tuple(found)


def vendor_address(package: str) -> str:
    """The folder of a package from elsewhere, with a slash at the end; empty if it is not installed."""
    found = next(iter(sorted(VENDOR.glob(f"{package}-*"))), None) if VENDOR.is_dir() else None
    return f"/static/vendor/{found.name}/" if found is not None else ""


def static(exchange: Exchange) -> Response:
    """A file, for ever under this address."""
    first, _, rest = exchange.path["path"].partition("/")
    folder, name = (VENDOR, rest) if first == "vendor" else (STATIC, rest)
    if first not in ("vendor", _version()) or (folder is STATIC and rest.startswith("vendor/")):
        raise EntryNotFoundError("there is no such file, or not in this version")
    path = (folder / name).resolve()
    kind = _TYPES.get(path.suffix)
    if kind is None or not path.is_relative_to(folder.resolve()):
        raise EntryNotFoundError("there is no such file")
    takes = "gzip" in exchange.headers.get("accept-encoding", "")
    content, encoded = _content(path, takes)
    headers = {"cache-control": _FOR_EVER, "x-content-type-options": "nosniff", "vary": "accept-encoding"}
    if encoded:
        headers["content-encoding"] = "gzip"
    # A page may show a picture or run a worker of ours only; what these may load is the page's own policy.
    headers["content-security-policy"] = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
    return Response(content, 200, headers, media_type=kind)


def _content(path: Path, takes_gzip: bool) -> tuple[bytes, bool]:
    packed = path.with_name(f"{path.name}.gz")
    try:
        if packed.is_file():
            content = packed.read_bytes()
            return (content, True) if takes_gzip else (gzip.decompress(content), False)
        if takes_gzip and path.suffix != ".png":
            return _compressed(path), True
        return path.read_bytes(), False
    except OSError as error:
        raise EntryNotFoundError("there is no such file") from error


@cache
def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 9)


@cache
def _version() -> str:
    """A mark of all our own files together: scripts import each other by relative addresses."""
    found = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file() and VENDOR not in path.parents:
            found.update(f"{path.relative_to(STATIC)}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


ROUTES = (HubRoute("GET", "/static/{path*}", static, scope="public"),)
