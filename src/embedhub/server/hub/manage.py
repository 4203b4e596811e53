"""Repositories made, changed, moved and removed over the API.

What clients of several years send is taken: `private` for `visibility`, a namespace in the name, nobody for oneself.
"""

import base64
import binascii
from typing import Annotated

import msgspec
import yaml
from starlette.responses import Response

from embedhub.errors import HubConflictError, NotOfferedError, RequestError, UnauthorizedError
from embedhub.hub.access import Action, repository_not_found
from embedhub.hub.names import Kind, check_path
from embedhub.hub.repositories import Repository
from embedhub.server.hub.exchange import Exchange, answer, done, header_text
from embedhub.server.hub.routing import HubRoute

_CARD = "README.md"

# Of one request; more go with a commit.
_MOST_FILES = 1000

# For Spaces on the Hugging Face Hub: the page is seen by all, its files are not. Here files are all there is.
_PROTECTED = "protected"


class NewFile(msgspec.Struct):
    """A file of a repository's first commit."""

    path: str
    content: str = ""
    encoding: str = "utf-8"


class NewRepository(msgspec.Struct):
    """A repository to be made."""

    name: str
    organization: str | None = None
    type: Kind | None = None
    visibility: str | None = None
    private: bool | None = None
    sdk: str | None = None
    license: str | None = None
    files: Annotated[list[NewFile], msgspec.Meta(max_length=_MOST_FILES)] | None = None


class OldRepository(msgspec.Struct):
    """A repository to be removed."""

    name: str
    organization: str | None = None
    type: Kind | None = None


class Move(msgspec.Struct):
    """A repository's name and the one it is to have."""

    fromRepo: str  # noqa: N815 - as on the wire
    toRepo: str  # noqa: N815
    type: Kind | None = None


class Settings(msgspec.Struct):
    """What is to change of a repository."""

    visibility: str | None = None
    private: bool | None = None
    gated: bool | str | None = None


def create(exchange: Exchange) -> Response:
    """A new repository; 409 with its address if it is there already."""
    wanted: NewRepository = exchange.json(NewRepository)
    kind = wanted.type or Kind.MODEL
    id = _id(exchange, wanted.name, wanted.organization)
    visibility = _visibility(wanted.visibility, wanted.private)
    try:
        made = exchange.hub.create(
            exchange.actor, kind, id, visibility=visibility, sdk=wanted.sdk or "", files=_files(wanted, kind)
        )
    except HubConflictError as error:
        # Whoever may make repositories in a namespace sees those that are in it.
        found = exchange.hub.find(exchange.actor, kind, id, Action.SEE)
        return answer(
            {"error": str(error), **_told(exchange, found)}, {"x-error-message": header_text(str(error))}, 409
        )
    return answer(_told(exchange, made))


def delete(exchange: Exchange) -> Response:
    """A repository's end."""
    wanted: OldRepository = exchange.json(OldRepository)
    id = _id(exchange, wanted.name, wanted.organization)
    exchange.hub.repositories.delete(_owned(exchange, wanted.type, id))
    return done()


def move(exchange: Exchange) -> Response:
    """A repository's new name."""
    wanted: Move = exchange.json(Move)
    repository = _owned(exchange, wanted.type, wanted.fromRepo)
    return answer(_told(exchange, exchange.hub.move(exchange.actor, repository, wanted.toRepo)))


def change_settings(exchange: Exchange) -> Response:
    """Who may see and read a repository."""
    wanted: Settings = exchange.json(Settings)
    repository = exchange.repository(Action.ADMINISTER)
    gated = wanted.gated
    if isinstance(gated, bool):
        gated = "auto" if gated else ""
    changed = exchange.hub.repositories.change(
        repository, visibility=_visibility(wanted.visibility, wanted.private), gated=gated
    )
    return answer({"gated": changed.gated or False, "private": changed.private, "visibility": changed.visibility})


def duplicate(exchange: Exchange) -> Response:
    """Refuses: a repository is not copied here."""
    exchange.repository(Action.READ)
    raise NotOfferedError("repositories are not duplicated here: download this one, and upload it under the other name")


def check_access(exchange: Exchange) -> Response:
    """Whether somebody may read a repository."""
    exchange.repository(Action.READ)
    return done()


def _id(exchange: Exchange, name: str, organization: str | None) -> str:
    """`namespace/name`; whoever asks is the namespace if nobody is named."""
    if organization:
        return f"{organization}/{name.removeprefix(f'{organization}/')}"
    if "/" in name:
        return name
    if not exchange.actor.user:
        raise UnauthorizedError("a token is needed: it says in whose name this is")
    return f"{exchange.actor.user}/{name}"


def _owned(exchange: Exchange, kind: Kind | None, id: str) -> Repository:
    """The repository, by the name that it has now: nobody removes what lies behind a name of the past."""
    found = exchange.hub.find(exchange.actor, kind or Kind.MODEL, id, Action.ADMINISTER)
    if found.id.lower() != id.lower():
        raise repository_not_found(str(found.kind), id[:200])
    return found


def _visibility(visibility: str | None, private: bool | None) -> str:
    """One of ours; empty says nothing."""
    if visibility is not None:
        return "private" if visibility == _PROTECTED else visibility
    return "" if private is None else "private" if private else "public"


def _told(exchange: Exchange, repository: Repository) -> dict[str, str]:
    return {"url": exchange.address(repository), "name": repository.id, "id": repository.id}


def _files(wanted: NewRepository, kind: Kind) -> dict[str, bytes]:
    files = {check_path(file.path): _content(file) for file in wanted.files or ()}
    head: dict[str, str] = {}
    if kind is Kind.SPACE:
        head = {"title": wanted.name.rpartition("/")[2], "sdk": wanted.sdk or "static"}
    if wanted.license:
        head["license"] = wanted.license
    if head and _CARD not in files:
        files[_CARD] = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n".encode()
    return files


def _content(file: NewFile) -> bytes:
    if file.encoding != "base64":
        return file.content.encode()
    try:
        return base64.b64decode(file.content, validate=True)
    except binascii.Error as error:
        raise RequestError(f"the content of {file.path:.200} is no base64: {error}") from error


ROUTES = (
    HubRoute("POST", "/api/repos/create", create, large=True),
    HubRoute("DELETE", "/api/repos/delete", delete),
    HubRoute("POST", "/api/repos/move", move),
    HubRoute("PUT", "/api/{kinds}/{namespace}/{name}/settings", change_settings),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/duplicate", duplicate),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/auth-check", check_access),
)
