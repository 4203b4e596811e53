"""Branches, tags and the commits behind them; histories made one commit, or free of large files."""

import html
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from embedhub.errors import ForbiddenError, RevisionNotFoundError
from embedhub.hub.access import Action
from embedhub.hub.git import MAIN
from embedhub.hub.history import Commit
from embedhub.hub.names import check_reference
from embedhub.hub.reading import GitReader
from embedhub.hub.rewriting import forget
from embedhub.server.hub.exchange import Exchange, answer, done, moment
from embedhub.server.hub.routing import HubRoute

_PAGE = 50
_LONGEST_PAGE = 1000

_LONGEST_MESSAGE = 65_536

# How far back a name is looked for of a large file that no branch has any more.
_MOST_COMMITS = 500

# What a reference's name begins with, and the list it is told in.
_LISTS = {"refs/heads/": "branches", "refs/convert/": "converts", "refs/tags/": "tags", "refs/pr/": "pullRequests"}


class NewBranch(msgspec.Struct):
    """Where a branch begins."""

    startingPoint: str | None = None  # noqa: N815 - as on the wire
    emptyBranch: bool = False  # noqa: N815
    overwrite: bool = False


class NewTag(msgspec.Struct):
    """A tag."""

    tag: str
    message: Annotated[str, msgspec.Meta(max_length=_LONGEST_MESSAGE)] | None = None


class Squash(msgspec.Struct):
    """What the one commit says."""

    message: Annotated[str, msgspec.Meta(max_length=_LONGEST_MESSAGE)] | None = None


class Deletions(msgspec.Struct):
    """Large files to be removed, by checksum, and whether from the history too."""

    sha: Annotated[list[str], msgspec.Meta(max_length=10_000)]
    rewriteHistory: bool = True  # noqa: N815


class DeletionBatch(msgspec.Struct):
    """As it comes."""

    deletions: Deletions


def references(exchange: Exchange) -> Response:
    """Every branch and tag, and pull requests if they are asked for."""
    repository = exchange.repository(Action.READ)
    told: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    if exchange.flag("include_prs") or exchange.flag("include_pull_requests"):
        told["pullRequests"] = []
    with exchange.hub.open(repository) as git:
        for reference in git.references():
            for prefix, into in _LISTS.items():
                if reference.name.startswith(prefix) and into in told:
                    name = reference.name if into == "pullRequests" else reference.name.removeprefix(prefix)
                    told[into].append({"name": name, "ref": reference.name, "targetCommit": reference.commit})
    return answer(told)


def create_branch(exchange: Exchange) -> Response:
    """A new branch."""
    wanted: NewBranch = exchange.json(NewBranch)
    repository = exchange.repository(Action.WRITE)
    name = check_reference(exchange.path["branch"])
    with exchange.hub.change(repository) as git:
        if wanted.emptyBranch:
            start = git.commit_object(git.edit_tree(None, {}), (), "initial commit", exchange.actor.user)
        else:
            start = git.resolve(wanted.startingPoint or "main")
        git.create_branch(name, start, overwrite=wanted.overwrite)
    return done()


def delete_branch(exchange: Exchange) -> Response:
    """A branch's end."""
    repository = exchange.repository(Action.WRITE)
    reference = f"refs/heads/{check_reference(exchange.path['branch'])}"
    if reference == MAIN:
        raise ForbiddenError(f"Cannot delete {reference}")
    with exchange.hub.change(repository) as git:
        git.delete_reference(reference)
    return done()


def create_tag(exchange: Exchange) -> Response:
    """A new tag."""
    wanted: NewTag = exchange.json(NewTag)
    repository = exchange.repository(Action.WRITE)
    with exchange.hub.change(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        git.create_tag(wanted.tag, commit, wanted.message or "", exchange.actor.user)
    return done()


def delete_tag(exchange: Exchange) -> Response:
    """A tag's end."""
    repository = exchange.repository(Action.WRITE)
    tag = exchange.path["tag"]
    with exchange.hub.change(repository) as git:
        try:
            git.delete_reference(f"refs/tags/{tag}")
        except RevisionNotFoundError:
            raise RevisionNotFoundError(f"Tag not found: {tag[:200]}") from None
    return done()


def commits(exchange: Exchange) -> Response:
    """A page of the commits that led to a revision, newest first."""
    limit = max(1, exchange.number("limit", _PAGE, _LONGEST_PAGE))
    page = exchange.number("p", 0, 10**9)
    formatted = "formatted" in (*exchange.query.getlist("expand[]"), *exchange.query.getlist("expand"))
    repository = exchange.repository(Action.READ)
    with exchange.hub.open(repository) as git:
        head = git.resolve(exchange.path["revision"])
        total = git.count(head)
        found = list(git.log(head, page * limit, limit)) if page * limit < total else []
    headers = {"x-total-count": str(total), "x-repo-commit": head}
    if (page + 1) * limit < total:
        # Of one commit, so that a push does not move the pages.
        address = f"/api/{repository.kind.plural}/{repository.id}/commits/{head}"
        headers |= exchange.next_page(address, p=str(page + 1))
    return answer([_commit(commit, formatted=formatted) for commit in found], headers)


def squash(exchange: Exchange) -> Response:
    """One commit in place of a branch's history; its files stay."""
    wanted: Squash = exchange.json(Squash)
    repository = exchange.repository(Action.WRITE)
    branch = exchange.path["branch"]
    reference = branch if branch.startswith(("refs/heads/", "refs/pr/")) else f"refs/heads/{branch}"
    with exchange.hub.change(repository) as git:
        head = git.target(reference)
        if head is None:
            raise RevisionNotFoundError(f"Invalid rev id: {branch[:200]}")
        tree = git.entry(head, "")
        assert tree is not None
        message = wanted.message or f"Super-squash branch '{branch[:200]}'"
        made = git.commit(reference, tree.oid, (), message, exchange.actor.user, expected=head)
    return answer({"oid": made})


def large_files(exchange: Exchange) -> Response:
    """Every large file that the repository holds, also those that no branch has any more."""
    repository = exchange.repository(Action.READ)
    held = exchange.hub.holdings.since(repository.uuid)
    with exchange.hub.open(repository) as git:
        named = _names(git, set(held))
    told = []
    for sha256, (size, since) in held.items():
        name, reference = named.get(sha256, ("", None))
        told.append(
            {
                "fileOid": sha256,
                "oid": sha256,
                "filename": name,
                "ref": reference,
                "size": size,
                "pushedAt": moment(since),
            }
        )
    return answer(told)


def delete_large_files(exchange: Exchange) -> Response:
    """Large files' end in this repository, by checksum."""
    wanted: DeletionBatch = exchange.json(DeletionBatch)
    repository = exchange.repository(Action.WRITE)
    removed = set(wanted.deletions.sha)
    with exchange.hub.change(repository) as git:
        if wanted.deletions.rewriteHistory:
            forget(git, removed)
        exchange.hub.holdings.unlink(repository.uuid, removed)
    return answer({"success": True})


def _commit(commit: Commit, *, formatted: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": commit.id,
        "title": commit.title,
        "message": commit.message,
        "date": moment(commit.date),
        "authors": [{"user": author, "avatar": ""} for author in commit.authors],
    }
    if formatted:
        message = html.escape(commit.message).replace("\n", "<br>\n")
        told["formatted"] = {"title": html.escape(commit.title), "message": message}
    return told


def _names(git: GitReader, wanted: set[str]) -> dict[str, tuple[str, str | None]]:
    """A path of each large file and the branch that has it; None is a commit of the past."""
    found: dict[str, tuple[str, str | None]] = {}
    seen: set[bytes] = set()
    tips = git.references()
    past = islice((commit.id for tip in tips for commit in git.log(tip.commit, limit=_MOST_COMMITS)), _MOST_COMMITS)
    for commit, reference in chain(((tip.commit, tip.name) for tip in tips), ((id, None) for id in past)):
        if len(found) == len(wanted):
            break
        for path, pointer in git.large_files(commit, seen):
            if pointer.sha256 in wanted:
                found.setdefault(pointer.sha256, (path, reference))
    return found


ROUTES = (
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/refs", references),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/branch/{branch*}", create_branch),
    HubRoute("DELETE", "/api/{kinds}/{namespace}/{name}/branch/{branch*}", delete_branch),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/tag/{revision*}", create_tag),
    HubRoute("DELETE", "/api/{kinds}/{namespace}/{name}/tag/{tag*}", delete_tag),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/commits/{revision*}", commits),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/super-squash/{branch*}", squash),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/lfs-files", large_files),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/lfs-files/batch", delete_large_files),
)
