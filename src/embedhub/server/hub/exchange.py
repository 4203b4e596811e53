"""One request to the Hub: who asks, what was sent, how it is answered, how errors look. Written once for all addresses.

Handlers raise, and see neither sockets nor tokens. What waits for a disk runs in threads of the Hub's own, so that a
large upload takes none from the models.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import msgspec
import orjson
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from embedhub.config import Settings
from embedhub.errors import EmbedhubError, RequestError, RequestTimeoutError
from embedhub.hub.access import Action, Actor
from embedhub.hub.hosting import Hub
from embedhub.hub.repositories import Repository
from embedhub.runtime.hosted import HostedDatasets
from embedhub.runtime.hosted_maps import HostedMaps
from embedhub.runtime.hosted_tables import HostedTables
from embedhub.runtime.jobs.runner import JobRunner
from embedhub.runtime.service import Service
from embedhub.server.auth import Gate, Identity
from embedhub.server.errors import Failure, failure_of
from embedhub.server.hub.routing import kind_of

_Result = TypeVar("_Result")

# What clients of the Hugging Face Hub know an error by.
_CODES: Mapping[str, str] = {
    "repository_not_found": "RepoNotFound",
    "revision_not_found": "RevisionNotFound",
    "entry_not_found": "EntryNotFound",
    "repository_gated": "GatedRepo",
}


# git asks its user for a name and a password only if it is told so; the password is a token.
ASK_FOR_TOKEN = 'Basic realm="embedhub"'

# Of one form.
_MOST_FIELDS = 20_000


class PassedOnError(Exception):
    """What was asked for is not the Hub's: the application behind it is to answer. Never told to a client."""


class MovedError(Exception):
    """What was asked for is elsewhere by now, at the address that this holds."""


# Bytes of an upload that are taken before texts are let pass. Whoever asks one text after the other is also slowed down
# by what is received, hashed and written between two of them: it waits at least so long for who asked just before, and
# at most so long for what is computed. 256 KiB in 3 to 5 ms are 50 to 87 MB/s (docs/log.md).
_TAKEN_AT_ONCE = 1 << 18
_PAUSE_MILLISECONDS = 3
_PATIENCE_MILLISECONDS = 5
_JUST_SECONDS = 0.05


@dataclass(slots=True)
class Exchange:
    """A request as a handler sees it.

    Attributes:
        hub: what is served.
        service: computes vectors.
        config: the settings.
        gate: knows tokens and sessions, and counts what was used.
        actor: who asks, with their roles.
        identity: the token they brought.
        path: parameters of the address, unescaped.
        query: the query string.
        headers: by lower-case name.
        body: as sent; empty where the handler streams.
        base: scheme and host as the client wrote them, without a slash at the end.
        request: for what is not here.
        threads: for what waits for the disk.
        hosted: datasets that are asked.
        tables: the rows of datasets.
        maps: where rows lie in a plane.
        runner: does jobs; knows them, too.
    """

    hub: Hub
    service: Service
    config: Settings
    gate: Gate
    actor: Actor
    identity: Identity
    path: Mapping[str, str]
    query: QueryParams
    headers: Mapping[str, str]
    body: bytes
    base: str
    request: Request
    threads: ThreadPoolExecutor
    hosted: HostedDatasets
    tables: HostedTables
    maps: HostedMaps
    runner: JobRunner

    def json(self, type: type[_Result] | Any) -> Any:
        """The body as that type.

        Raises:
            RequestError: it is no JSON, or of another type; the message names the place.
        """
        try:
            return msgspec.json.decode(self.body or b"{}", type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"the body is not what is read here: {error}") from error

    def repository(self, action: Action) -> Repository:
        """The repository that the address names, if the actor may do that with it; errors as of `Hub.find`.

        Raises:
            MovedError: that is a name it had before, and the request only reads.
        """
        id = f"{self.path['namespace']}/{self.path['name']}"
        found = self.hub.find(self.actor, kind_of(self.path), id, action)
        if found.id.lower() != id.lower() and self.request.method in ("GET", "HEAD"):
            raise MovedError(self._address_after_move(found))
        return found

    def form(self) -> dict[str, list[str]]:
        """The body as fields of a form.

        Raises:
            RequestError: it is none.
        """
        try:
            return parse_qs(self.body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise RequestError(f"the body is not a form: {error}") from error

    def next_page(self, path: str = "", **changes: str) -> dict[str, str]:
        """A header that leads to the next page of a list.

        Args:
            path: of the address, if it is another.
            changes: parameters of the query that differ.
        """
        kept = [(name, value) for name, value in self.query.multi_items() if name not in changes]
        query = urlencode([*kept, *changes.items()])
        return {"link": f'<{self.base}{path or self.raw_path}?{query}>; rel="next"'}

    @property
    def raw_path(self) -> str:
        """The path as it was sent."""
        return str(self.request.scope["raw_path"].decode("latin-1"))

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query says yes, in any client's spelling."""
        return self.query.get(name, "").lower() in ("1", "true", "yes")

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter of the query that counts something.

        Raises:
            RequestError: it is no number, or negative.
        """
        raw = self.query.get(name)
        if raw is None:
            return default
        if not raw.isascii() or not raw.isdigit() or len(raw) > 9:
            raise RequestError(f"{name}={raw!r:.40}: a number that is not negative")
        return min(int(raw), most)

    def address(self, repository: Repository) -> str:
        """Where a repository is seen."""
        return f"{self.base}/{repository.kind.prefix}{repository.id}"

    def _address_after_move(self, repository: Repository) -> str:
        parts = self.raw_path.split("/")
        for at in range(1, len(parts) - 1):
            namespace, name = unquote(parts[at]), unquote(parts[at + 1])
            suffix = name[len(self.path["name"]) :]
            if namespace == self.path["namespace"] and name.startswith(self.path["name"]) and suffix in ("", ".git"):
                parts[at : at + 2] = [repository.namespace, repository.name + suffix]
                break
        query = self.request.url.query
        # Without a host: some clients follow no other.
        return urlsplit(self.base).path + "/".join(parts) + (f"?{query}" if query else "")

    async def run(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """A function that waits for the disk, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *arguments))

    async def pieces(self, size: int = 1 << 20) -> AsyncIterator[bytes]:
        """The body as it comes, in pieces of about that size.

        Raises:
            RequestTimeoutError: nothing came for too long.
            RequestError: it broke off.
        """
        held: list[bytes] = []
        length = taken = 0
        stream = self.request.stream()
        while True:
            try:
                async with asyncio.timeout(self.config.body_seconds):
                    part = await anext(stream, None)
            except TimeoutError as error:
                raise RequestTimeoutError("the body came too slowly (EMBEDHUB_BODY_SECONDS)") from error
            except ClientDisconnect as error:
                raise RequestError("the body broke off") from error
            if part:
                held.append(part)
                length += len(part)
                taken += len(part)
            if taken >= _TAKEN_AT_ONCE:
                taken = 0
                await self._let_texts_pass()
            if length >= size or (part is None and held):
                yield held[0] if len(held) == 1 else b"".join(held)
                held, length = [], 0
            if part is None:
                return

    async def _let_texts_pass(self) -> None:
        """Take no more of a large body for a while if texts are or were just computed: both want every core."""
        if not self.service.computed_within(_JUST_SECONDS):
            return
        for passed in range(_PATIENCE_MILLISECONDS):
            if passed >= _PAUSE_MILLISECONDS and not self.service.computes:
                return
            await asyncio.sleep(0.001)

    async def pour(self, write: Callable[[bytes], object]) -> None:
        """Hand the body to a function piece by piece, in a thread; the next piece comes in meanwhile."""
        pending: asyncio.Future[object] | None = None
        try:
            async for piece in self.pieces():
                if pending is not None:
                    await pending
                pending = asyncio.get_running_loop().run_in_executor(self.threads, write, piece)
        finally:
            if pending is not None:
                await pending


def answer(content: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """A reply of JSON."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def done() -> Response:
    """A reply that says no more than that it is so."""
    return Response("OK", media_type="text/plain")


def header_text(text: str) -> str:
    """A text as the value of a header: what is not printable ASCII, such as the end of a line, is a question mark."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def moment(seconds: float) -> str:
    """Seconds since 1970 as clients read a time, to the millisecond."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def hub_failure(error: EmbedhubError) -> Failure:
    """An error on its way to a client of the Hub, with the headers that these look for."""
    failure = failure_of(error)
    code = _CODES.get(error.code)
    if code is not None:
        failure.headers["x-error-code"] = code
    if error.code == "repository_not_found":
        # Clients say the rest themselves, unless they are told anything else.
        failure.message = "Repository not found"
    failure.headers["x-error-message"] = header_text(failure.message)
    if failure.status == 401:
        failure.headers["www-authenticate"] = ASK_FOR_TOKEN
    return failure
