"""Discussions and pull requests."""

import html
from typing import Any

import msgspec
from starlette.responses import Response

from embedhub.errors import DiscussionNotFoundError, RequestError
from embedhub.hub import merging
from embedhub.hub.access import Action
from embedhub.hub.discussion_rows import Discussion, Event
from embedhub.hub.discussions import Discussions
from embedhub.hub.reading import GitReader
from embedhub.hub.repositories import Repository
from embedhub.server.hub.exchange import Exchange, answer, moment
from embedhub.server.hub.routing import HubRoute

_PAGE = 50

_HIDDEN = "This comment has been hidden"


class Opening(msgspec.Struct):
    """A discussion that somebody begins."""

    title: str
    description: str = ""
    pullRequest: bool = False  # noqa: N815 - as on the wire


class Said(msgspec.Struct):
    """A comment."""

    comment: str


class Renaming(msgspec.Struct):
    """A new title."""

    title: str


class Status(msgspec.Struct):
    """A new status, and perhaps why."""

    status: str
    comment: str = ""


class Merging(msgspec.Struct):
    """Perhaps why."""

    comment: str = ""


class Edit(msgspec.Struct):
    """A comment's new text."""

    content: str


def list_discussions(exchange: Exchange) -> Response:
    """Those of a repository, newest first, in pages counted from 0."""
    repository = exchange.repository(Action.READ)
    start = exchange.number("p", 0, 1_000_000) * _PAGE
    found, count = exchange.hub.discussions.select(
        repository,
        pull_requests=_choice(exchange, "type", {"all": None, "discussion": False, "pull_request": True}),
        is_open=_choice(exchange, "status", {"all": None, "open": True, "closed": False}),
        author=exchange.query.get("author", ""),
        skip=start,
        limit=_PAGE,
    )
    shown = [_discussion(repository, discussion) for discussion in found]
    return answer({"discussions": shown, "count": count, "start": start})


def open_discussion(exchange: Exchange) -> Response:
    """Begin one; a pull request begins as a draft without commits."""
    repository = exchange.repository(Action.DISCUSS)
    body: Opening = exchange.json(Opening)
    hub, actor = exchange.hub, exchange.actor
    if body.pullRequest:
        with hub.change(repository) as git:
            base = git.resolve("main")
            made = hub.discussions.open_pull_request(git, repository, actor, body.title, body.description.strip(), base)
    else:
        made = hub.discussions.open(repository, actor, body.title, body.description.strip())
    url = f"{exchange.address(repository)}/discussions/{made.number}"
    return answer({"num": made.number, "url": url, "pullRequest": made.is_pull_request})


def details(exchange: Exchange) -> Response:
    """One of them, with all that happened; with `diff=1` what it would change."""
    repository = exchange.repository(Action.READ)
    discussion = exchange.hub.discussions.find(repository, _number(exchange))
    with exchange.hub.open(repository) as git:
        events = exchange.hub.discussions.events(git, repository, discussion)
        shown = _discussion(repository, discussion) | {"events": [_event(event) for event in events]}
        if discussion.is_pull_request:
            shown |= _changes(git, discussion, with_diff=exchange.flag("diff"))
    return answer(shown)


def comment(exchange: Exchange) -> Response:
    """Say something."""
    repository = exchange.repository(Action.DISCUSS)
    body: Said = exchange.json(Said)
    made = exchange.hub.discussions.comment(repository, exchange.actor, _number(exchange), body.comment)
    return answer({"newMessage": _event(made)})


def rename(exchange: Exchange) -> Response:
    """Give it another title."""
    repository = exchange.repository(Action.DISCUSS)
    body: Renaming = exchange.json(Renaming)
    made = exchange.hub.discussions.rename(repository, exchange.actor, _number(exchange), body.title)
    return answer({"newTitle": _event(made)})


def change_status(exchange: Exchange) -> Response:
    """Close it, or open it."""
    repository = exchange.repository(Action.DISCUSS)
    body: Status = exchange.json(Status)
    made = exchange.hub.discussions.change_status(
        repository, exchange.actor, _number(exchange), body.status, body.comment
    )
    return answer({"newStatus": _event(made)})


def merge(exchange: Exchange) -> Response:
    """Bring what a pull request proposes into its branch."""
    repository = exchange.repository(Action.WRITE)
    # Without a comment clients send nothing, or null.
    body: Merging = exchange.json(Merging | None) or Merging()
    with exchange.hub.change(repository) as git:
        merged = exchange.hub.discussions.merge(git, repository, exchange.actor, _number(exchange), body.comment)
    return answer({"success": True, "mergeCommitId": merged.merge_commit})


def edit_comment(exchange: Exchange) -> Response:
    """Say it differently."""
    repository = exchange.repository(Action.DISCUSS)
    body: Edit = exchange.json(Edit)
    made = exchange.hub.discussions.edit_comment(
        repository, exchange.actor, _number(exchange), exchange.path["comment"], body.content
    )
    return answer({"updatedComment": _event(made)})


def hide_comment(exchange: Exchange) -> Response:
    """Let nobody read a comment any more."""
    repository = exchange.repository(Action.DISCUSS)
    made = exchange.hub.discussions.hide_comment(
        repository, exchange.actor, _number(exchange), exchange.path["comment"]
    )
    return answer({"updatedComment": _event(made)})


def _number(exchange: Exchange) -> int:
    raw = exchange.path["number"]
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 9):
        raise DiscussionNotFoundError(f"{raw:.40} is no number of a discussion")
    return int(raw)


def _choice(exchange: Exchange, name: str, known: dict[str, bool | None]) -> bool | None:
    raw = exchange.query.get(name, "all")
    if raw not in known:
        raise RequestError(f"{name}={raw!r:.40}: one of {', '.join(known)}")
    return known[raw]


# -- as on the wire


def _discussion(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.number,
        "title": discussion.title,
        "status": discussion.status,
        "isPullRequest": discussion.is_pull_request,
        "createdAt": moment(discussion.created_at),
        "author": _user(discussion.author),
        "repo": {"name": repository.id, "type": str(repository.kind)},
        "pinned": False,
        "locked": False,
    }


def _changes(git: GitReader, discussion: Discussion, *, with_diff: bool) -> dict[str, Any]:
    """What a pull request would change, while it is not merged."""
    changes = {"base": discussion.target}
    if discussion.merge_commit:
        changes["mergeCommitId"] = discussion.merge_commit
    shown: dict[str, Any] = {"changes": changes, "filesWithConflicts": []}
    heads = Discussions.heads(git, discussion)
    if heads is not None:
        shown["filesWithConflicts"] = merging.conflicts(git, *heads)
        if with_diff:
            shown["diff"] = merging.difference(git, *heads)
    return shown


def _event(event: Event) -> dict[str, Any]:
    data = _comment(event) if event.kind == "comment" else dict(event.data)
    return {
        "id": event.id,
        "type": event.kind,
        "createdAt": moment(event.created_at),
        "author": _user(event.author),
        "data": data,
    }


def _comment(event: Event) -> dict[str, Any]:
    hidden = bool(event.data["hidden"])
    versions = [] if hidden else event.data["versions"]
    now = dict(event.data) | ({"raw": _HIDDEN} if hidden else {})
    return {
        "edited": bool(versions),
        "hidden": hidden,
        "latest": _version(now),
        "history": [_version(version) for version in versions],
        "numEdits": len(versions),
    }


def _version(version: dict[str, Any]) -> dict[str, Any]:
    """A text of a comment; for people who look at it in a browser, as it was written and nothing more."""
    return {
        "raw": version["raw"],
        "html": f"<p>{html.escape(version['raw'])}</p>",
        "updatedAt": moment(version["at"]),
        "author": _user(version["by"]),
    }


def _user(name: str) -> dict[str, str]:
    return {"name": name, "fullname": name, "type": "user"}


_DISCUSSIONS = "/api/{kinds}/{namespace}/{name}/discussions"

ROUTES = (
    HubRoute("GET", _DISCUSSIONS, list_discussions),
    HubRoute("POST", _DISCUSSIONS, open_discussion),
    HubRoute("GET", f"{_DISCUSSIONS}/{{number}}", details),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/comment", comment),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/title", rename),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/status", change_status),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/merge", merge),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/comment/{{comment}}/edit", edit_comment),
    HubRoute("POST", f"{_DISCUSSIONS}/{{number}}/comment/{{comment}}/hide", hide_comment),
)
