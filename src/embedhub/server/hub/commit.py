"""Commits, as lines of JSON: a header, then an operation a line. A file of any number of gigabytes passes through.

Knows the wire. What becomes of a commit, `hub.commits` knows.
"""

import base64
import binascii
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from embedhub.errors import (
    HubConflictError,
    HubContentError,
    HubNameError,
    RequestError,
    RequestTooLargeError,
    RevisionNotFoundError,
    StaleParentError,
)
from embedhub.hub.access import Action
from embedhub.hub.commits import (
    AddFile,
    AddLargeFile,
    DeleteFile,
    DeleteFolder,
    Operation,
    Wanted,
    apply,
)
from embedhub.hub.git import GitRepository
from embedhub.hub.names import check_path
from embedhub.hub.pointers import SHA256
from embedhub.hub.repositories import Repository
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.upload import LARGEST_REGULAR_BYTES

# What fits into memory without a thought; more waits in a file.
_IN_MEMORY_BYTES = 1 << 20

# A file as long as git may keep one, in base64, with its path.
_LONGEST_LINE = LARGEST_REGULAR_BYTES * 4 // 3 + (64 << 10)

_MOST_OPERATIONS = 100_000
_LONGEST_MESSAGE = 64 << 10

# Commits of one server wait for each other; pushes and other servers do not.
_TRIES = 20


class Header(msgspec.Struct):
    """The first line: what the commit says."""

    summary: str
    description: str | None = None
    parentCommit: str | None = None  # noqa: N815 - as on the wire


class File(msgspec.Struct):
    """A file that git keeps."""

    path: str
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class LargeFile(msgspec.Struct):
    """A file whose content was sent before; some clients say its size."""

    path: str
    oid: str
    algo: str = "sha256"
    size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Path(msgspec.Struct):
    """What is to be deleted."""

    path: str


class Line(msgspec.Struct):
    """One line."""

    key: str
    value: msgspec.Raw


_LINE = msgspec.json.Decoder(Line)


async def commit(exchange: Exchange) -> Response:
    """Make a commit, or a pull request of it."""
    proposes = exchange.flag("create_pr")
    limit = exchange.config.max_commit_mb << 20
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as body:
        await exchange.run(_may_commit, exchange, proposes)
        received = 0

        def write(piece: bytes) -> None:
            nonlocal received
            received += len(piece)
            if received > limit:
                raise RequestTooLargeError(
                    f"a commit's own body is {exchange.config.max_commit_mb} MB at most (EMBEDHUB_MAX_COMMIT_MB): send "
                    "large files as such, or make several commits"
                )
            body.write(piece)

        await exchange.pour(write)
        body.seek(0)
        return await exchange.run(_commit, exchange, body, proposes)


def _may_commit(exchange: Exchange, proposes: bool) -> Repository:
    """The repository. Asked before the body is read: a stranger's gigabyte is not waited for."""
    revision = exchange.path["revision"]
    if proposes or revision.startswith("refs/pr/"):
        return exchange.repository(Action.DISCUSS)
    return exchange.repository(Action.WRITE)


def _commit(exchange: Exchange, body: IO[bytes], proposes: bool) -> Response:
    repository = _may_commit(exchange, proposes)
    revision = exchange.path["revision"]
    lines = _lines(body)
    header = _header(next(lines, None))
    if not header.summary.strip():
        raise RequestError("the commit has no summary")
    message = header.summary + (f"\n\n{header.description}" if header.description else "")
    hub = exchange.hub
    with hub.change(repository) as git:
        operations = tuple(_operations(git, lines))
        reference, head = _target(git, revision, exists_as_branch=proposes)
        parent = header.parentCommit or ""
        wanted = Wanted(operations, message[:_LONGEST_MESSAGE], exchange.actor.user, "" if proposes else parent)
        large = (each.sha256 for each in operations if isinstance(each, AddLargeFile))
        held = hub.holdings.renew(repository.uuid, large)

        def size_of(sha256: str) -> int | None:
            return held[sha256] if sha256 in held else hub.holdings.renew(repository.uuid, [sha256]).get(sha256)

        if not proposes:
            hub.demand_reference(exchange.actor, repository, reference)
            made = _apply(git, wanted, reference, head, size_of)
            return answer(_done(exchange, repository, made))
        base = git.resolve(parent) if parent else head
        pull = hub.discussions.open_pull_request(
            git,
            repository,
            exchange.actor,
            header.summary,
            header.description or "",
            base,
            target=reference,
            status="open",
            fill=lambda name: apply(git, wanted, name, base=base, expected=base, size_of=size_of),
        )
        url = f"{exchange.address(repository)}/discussions/{pull.number}"
        made = git.resolve(pull.reference)
        return answer(_done(exchange, repository, made) | {"pullRequestUrl": url})


def _apply(git: GitRepository, wanted: Wanted, reference: str, head: str, size_of: Callable[[str], int | None]) -> str:
    """Commit to a branch. Who did not say upon which commit builds upon whatever a push has made of it meanwhile."""
    for _ in range(_TRIES):
        try:
            return apply(git, wanted, reference, base=head, expected=head, size_of=size_of)
        except StaleParentError:
            moved = git.target(reference)
            if wanted.parent or moved is None:
                raise
            head = moved
    raise HubConflictError(f"{reference} is changed by too many at once; try again")


def _done(exchange: Exchange, repository: Repository, commit: str) -> dict[str, Any]:
    url = f"{exchange.address(repository)}/commit/{commit}"
    return {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""}


def _target(git: GitRepository, revision: str, *, exists_as_branch: bool) -> tuple[str, str]:
    """The full name of the branch or pull request that is committed to, and its commit."""
    reference = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    head = git.target(reference)
    if head is not None and reference.startswith(("refs/heads/", "refs/pr/")):
        return reference, head
    if not exists_as_branch:
        git.resolve(revision)
        raise HubNameError(f"{revision[:100]} is no branch; only to branches and pull requests can be committed")
    raise RevisionNotFoundError(f"Invalid rev id: {revision[:200]}")


def _lines(body: IO[bytes]) -> Iterator[Line]:
    count = 0
    while raw := body.readline(_LONGEST_LINE + 1):
        if len(raw) > _LONGEST_LINE:
            raise RequestTooLargeError(
                f"a file that git keeps has {LARGEST_REGULAR_BYTES} bytes at most; longer ones are large files (LFS)"
            )
        if not raw.strip():
            continue
        count += 1
        # The first line is the header.
        if count > _MOST_OPERATIONS + 1:
            raise RequestTooLargeError(f"a commit has {_MOST_OPERATIONS} operations at most: make several")
        try:
            yield _LINE.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"line {count} of the commit is not what is read here: {error}") from error


def _header(line: Line | None) -> Header:
    if line is None or line.key != "header":
        raise RequestError("a commit's first line is its header")
    header: Header = _value(line, Header)
    return header


def _value(line: Line, type: Any) -> Any:
    try:
        return msgspec.json.decode(line.value, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"a line {line.key!r:.40} is not what is read here: {error}") from error


def _operations(git: GitRepository, lines: Iterator[Line]) -> Iterator[Operation]:
    for line in lines:
        if line.key == "file":
            file: File = _value(line, File)
            # Before anything is kept.
            check_path(file.path)
            yield AddFile(file.path, git.write_blob(_content(file)))
        elif line.key == "lfsFile":
            large: LargeFile = _value(line, LargeFile)
            if large.algo != "sha256" or not SHA256.fullmatch(large.oid):
                raise HubContentError(f"{large.path[:200]}: a large file is named by its sha256")
            yield AddLargeFile(large.path, large.oid)
        elif line.key == "deletedFile":
            yield DeleteFile(_value(line, Path).path)
        elif line.key == "deletedFolder":
            yield DeleteFolder(_value(line, Path).path)
        else:
            raise RequestError(
                f"an operation {line.key!r:.40} is not known; file, lfsFile, deletedFile and deletedFolder are"
            )


def _content(file: File) -> bytes:
    if file.encoding != "base64":
        content = file.content.encode("utf-8", "surrogatepass")
    else:
        try:
            content = base64.b64decode(file.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"{file.path[:200]}: the content is no base64") from error
    if len(content) > LARGEST_REGULAR_BYTES:
        raise RequestTooLargeError(
            f"{file.path[:200]}: a file that git keeps has {LARGEST_REGULAR_BYTES} bytes at most; send longer ones as "
            "large files (LFS)"
        )
    return content


ROUTES = (HubRoute("POST", "/api/{kinds}/{namespace}/{name}/commit/{revision}", commit, streams=True),)
