"""What people say about a repository, and the changes that they propose to it. Knows rows and, of pull requests, git.

Knows who may change what of a discussion. Refuses to know how it looks on the wire. A pull request's commits are read
from git as long as it is open; once it is merged they are rows, because its reference may go.
"""

import time
from collections.abc import Callable, Iterable

from embedhub.errors import (
    ForbiddenError,
    HubConflictError,
    HubContentError,
    RevisionNotFoundError,
)
from embedhub.hub import discussion_rows as rows
from embedhub.hub import merging
from embedhub.hub.access import Action, Actor, demand, may
from embedhub.hub.database import Connections
from embedhub.hub.discussion_rows import Discussion, Event
from embedhub.hub.git import MAIN, GitRepository
from embedhub.hub.history import Commit
from embedhub.hub.pull_requests import has_open, number_of, why_not
from embedhub.hub.reading import GitReader
from embedhub.hub.repositories import Repository

_LONGEST_TITLE = 200
_LONGEST_TEXT = 1 << 16

# Earlier versions kept of a comment.
_MOST_VERSIONS = 100


class Discussions:
    """The discussions of all repositories.

    Args:
        connections: to the database.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # -- read

    def find(self, repository: Repository, number: int) -> Discussion:
        """One of them.

        Raises:
            DiscussionNotFoundError: there is none of that number.
        """
        with self._connections.read() as database:
            return rows.find(database, repository, number)

    def select(
        self,
        repository: Repository,
        *,
        pull_requests: bool | None = None,
        is_open: bool | None = None,
        author: str = "",
        skip: int = 0,
        limit: int = 50,
    ) -> tuple[list[Discussion], int]:
        """Some of them, newest first, and how many there are in all.

        Args:
            repository: whose.
            pull_requests: only those, or only others; None is both.
            is_open: likewise, with drafts among those that are open.
            author: a user's name; empty is everybody.
            skip: that many of the newest are passed over.
            limit: so many at most.
        """
        with self._connections.read() as database:
            return rows.select(
                database,
                repository,
                pull_requests=pull_requests,
                is_open=is_open,
                author=author,
                skip=skip,
                limit=limit,
            )

    def events(self, git: GitReader, repository: Repository, discussion: Discussion) -> list[Event]:
        """What happened, oldest first; of a pull request its commits too."""
        with self._connections.read() as database:
            events = rows.events(database, repository, discussion.number)
        heads = self.heads(git, discussion)
        if heads is not None:
            events += _commit_events(merging.commits(git, *heads))
        # The first words stay first, whatever the clocks of commits say.
        return events[:1] + sorted(events[1:], key=lambda event: event.created_at)

    @staticmethod
    def heads(git: GitReader, discussion: Discussion) -> tuple[str, str] | None:
        """Commits that a pull request and its branch stand for, while both are there and it is not merged."""
        if not discussion.is_pull_request or discussion.status == "merged":
            return None
        head, target = git.target(discussion.reference), git.target(discussion.target)
        return None if head is None or target is None else (head, target)

    def has_open_pull_request(self, repository: Repository, user: str) -> bool:
        """Whether somebody has a pull request that commits can be added to."""
        with self._connections.read() as database:
            return bool(user) and has_open(database, repository.uuid, user)

    def demand_change(self, actor: Actor, repository: Repository, reference: str) -> None:
        """Nothing, if the actor may move a reference: the author of a pull request its own, else who may write.

        Args:
            actor: who wants to.
            repository: they may see it, which was found out before.
            reference: full name.

        Raises:
            UnauthorizedError: a token may help.
            ForbiddenError: they may not.
        """
        if number_of(reference) is None:
            demand(actor, repository.guarded(), Action.WRITE)
            return
        demand(actor, repository.guarded(granted=True), Action.DISCUSS)
        with self._connections.read() as database:
            may_write = may(actor, repository.guarded(), Action.WRITE)
            reason = why_not(database, repository.uuid, reference, actor.user, may_write=may_write)
        if reason:
            raise ForbiddenError(reason)

    # -- begin

    def open(self, repository: Repository, actor: Actor, title: str, description: str) -> Discussion:
        """Begin a discussion.

        Raises:
            HubContentError: an impossible title or text.
        """
        with self._connections.write() as database:
            return rows.begin(database, repository, actor.user, _title(title), _text(description or title))

    def open_pull_request(
        self,
        git: GitRepository,
        repository: Repository,
        actor: Actor,
        title: str,
        description: str,
        base: str,
        *,
        target: str = MAIN,
        status: str = "draft",
        fill: Callable[[str], object] | None = None,
    ) -> Discussion:
        """Begin a pull request, whose reference is made with it.

        Args:
            git: the repository, opened to be changed.
            repository: the same.
            actor: who proposes.
            title: one line; of a commit's first line what a title can hold.
            description: the first comment; empty repeats the title.
            base: hash of the commit that it builds upon.
            target: full name of the branch that it is for.
            status: draft or open.
            fill: makes the commit that is proposed, upon the base: given the reference's full name, it moves that.
                If it fails, there is no pull request.

        Raises:
            HubContentError: an impossible title or text.
            RevisionNotFoundError: there is no such branch.
        """
        if not target.startswith("refs/heads/") or git.target(target) is None:
            raise RevisionNotFoundError(f"Invalid rev id: {target[:200]}")
        with self._connections.write() as database:
            made = rows.begin(
                database,
                repository,
                actor.user,
                _title(" ".join(title.split())[:_LONGEST_TITLE]),
                _text(description or title),
                target=target,
                base=base,
                status=status,
            )
            # There may be one of a pull request that was being opened when the power went.
            git.set_reference(made.reference, base, expected=git.target(made.reference))
        if fill is not None:
            try:
                fill(made.reference)
            except BaseException:
                with self._connections.write() as database:
                    rows.delete(database, repository, made.number)
                git.delete_reference(made.reference)
                raise
        return made

    # -- change

    def comment(self, repository: Repository, actor: Actor, number: int, text: str) -> Event:
        """Say something.

        Raises:
            DiscussionNotFoundError: there is none of that number.
            HubContentError: an impossible text.
        """
        with self._connections.write() as database:
            rows.find(database, repository, number)
            return rows.comment(database, repository, actor.user, number, _text(text))

    def rename(self, repository: Repository, actor: Actor, number: int, title: str) -> Event:
        """Give it another title: its author, or who may write.

        Raises:
            DiscussionNotFoundError: there is none of that number.
            ForbiddenError: somebody else.
            HubContentError: an impossible title.
        """
        with self._connections.write() as database:
            discussion = rows.find(database, repository, number)
            _demand_own(actor, repository, discussion.author)
            new = _title(title)
            rows.update(database, repository, number, "title", new)
            change = rows.new_event("title-change", actor.user, {"from": discussion.title, "to": new})
            return rows.add(database, repository, number, change)

    def change_status(self, repository: Repository, actor: Actor, number: int, status: str, comment: str = "") -> Event:
        """Close it or open it: its author, or who may write.

        Raises:
            DiscussionNotFoundError: there is none of that number.
            ForbiddenError: somebody else.
            HubConflictError: it is merged.
            HubContentError: an impossible status or comment.
        """
        if status not in ("open", "closed"):
            raise HubContentError(f"status {status!r:.40}: one of open, closed; a pull request is merged by merging it")
        with self._connections.write() as database:
            discussion = rows.find(database, repository, number)
            _demand_own(actor, repository, discussion.author)
            if discussion.status == "merged":
                raise HubConflictError(f"pull request {number} is merged, and stays so")
            if comment:
                rows.comment(database, repository, actor.user, number, _text(comment))
            rows.update(database, repository, number, "status", status)
            change = rows.new_event("status-change", actor.user, {"status": status})
            return rows.add(database, repository, number, change)

    def merge(
        self, git: GitRepository, repository: Repository, actor: Actor, number: int, comment: str = ""
    ) -> Discussion:
        """Bring what a pull request proposes into its branch. Who may, was found out before.

        Args:
            git: the repository, opened to be changed.
            repository: the same.
            actor: who merges.
            number: of the pull request.
            comment: said with it.

        Raises:
            DiscussionNotFoundError: there is none of that number.
            HubConflictError: it is not open, proposes nothing, or conflicts; then the message lists the files.
            RevisionNotFoundError: its branch is gone.
        """
        discussion = self.find(repository, number)
        if not discussion.is_pull_request:
            raise HubConflictError(f"discussion {number} is no pull request: there is nothing to merge")
        if discussion.status != "open":
            way = ": change its status to open first" if discussion.status != "merged" else ""
            raise HubConflictError(f"pull request {number} is {discussion.status}{way}")
        text = _text(comment) if comment else ""
        head = git.resolve(discussion.reference)
        with self._connections.read() as database:
            first = rows.events(database, repository, number)[0]
        if head == first.data.get("base"):
            raise HubConflictError(f"pull request {number} has no commits yet: there is nothing to merge")
        merged = merging.merge(git, head, discussion.target, f"{discussion.title} (#{number})", actor.user)
        with self._connections.write() as database:
            if text:
                rows.comment(database, repository, actor.user, number, text)
            for event in _commit_events(merged.brought):
                rows.add(database, repository, number, event)
            rows.update(database, repository, number, "status", "merged")
            rows.update(database, repository, number, "merge_commit", merged.commit)
            rows.add(database, repository, number, rows.new_event("status-change", actor.user, {"status": "merged"}))
            return rows.find(database, repository, number)

    def edit_comment(self, repository: Repository, actor: Actor, number: int, id: str, text: str) -> Event:
        """Say it differently; what was said before stays known. Nobody puts words into another's mouth.

        Raises:
            DiscussionNotFoundError: there is no such comment.
            ForbiddenError: it is somebody else's.
            HubConflictError: it is hidden.
            HubContentError: an impossible text.
        """
        with self._connections.write() as database:
            event = rows.find_comment(database, repository, number, id)
            if not _is_same(actor.user, event.author):
                raise ForbiddenError(f"only {event.author} may edit this comment")
            if event.data["hidden"]:
                raise HubConflictError("the comment is hidden")
            before = {name: event.data[name] for name in ("raw", "at", "by")}
            versions = [before, *event.data["versions"]][:_MOST_VERSIONS]
            return rows.change_comment(
                database,
                repository,
                number,
                event,
                raw=_text(text),
                at=time.time(),
                by=actor.user,
                versions=versions,
            )

    def hide_comment(self, repository: Repository, actor: Actor, number: int, id: str) -> Event:
        """Let nobody read it any more: its author, or who may write.

        Raises:
            DiscussionNotFoundError: there is no such comment.
            ForbiddenError: somebody else.
        """
        with self._connections.write() as database:
            event = rows.find_comment(database, repository, number, id)
            _demand_own(actor, repository, event.author)
            return rows.change_comment(database, repository, number, event, hidden=True)


def _demand_own(actor: Actor, repository: Repository, author: str) -> None:
    if not _is_same(actor.user, author):
        demand(actor, repository.guarded(), Action.WRITE)


def _is_same(user: str, other: str) -> bool:
    return bool(user) and user.lower() == other.lower()


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not 1 <= len(title) <= _LONGEST_TITLE:
        raise HubContentError(f"a title has 1 to {_LONGEST_TITLE} characters, this one {len(title)}")
    return title


def _text(text: str) -> str:
    if not text.strip() or len(text) > _LONGEST_TEXT:
        raise HubContentError(f"a comment has 1 to {_LONGEST_TEXT} characters, this one {len(text.strip())}")
    return text


def _commit_events(commits: Iterable[Commit]) -> list[Event]:
    return [
        Event(commit.id, "commit", commit.authors[0], commit.date, {"subject": commit.title, "oid": commit.id})
        for commit in commits
    ]
