"""Discussions and pull requests, as rows and as commits."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedhub.errors import (
    DiscussionNotFoundError,
    ForbiddenError,
    HubConflictError,
    HubContentError,
    RevisionNotFoundError,
    StaleParentError,
    UnauthorizedError,
)
from embedhub.hub import merging
from embedhub.hub.access import Actor
from embedhub.hub.discussion_rows import Discussion
from embedhub.hub.git import MAIN, GitRepository
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.hub.trees import FILE

Tree = dict[str, bytes | None]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "home")
    for user in ("ann", "bob", "eve"):
        made.organisations.create_user(user)
    yield made
    made.close()


@pytest.fixture
def ann(hub: Hub) -> Actor:
    return hub.actor("ann", "write")


@pytest.fixture
def bob(hub: Hub) -> Actor:
    return hub.actor("bob", "write")


@pytest.fixture
def eve(hub: Hub) -> Actor:
    return hub.actor("eve", "write")


@pytest.fixture
def repository(hub: Hub, ann: Actor) -> Repository:
    return hub.create(ann, Kind.DATASET, "ann/one", files={"a.txt": b"1\n2\n3\n4\n5\n6\n7\n", "b/c.txt": b"c\n"})


@pytest.fixture
def git(hub: Hub, repository: Repository) -> Iterator[GitRepository]:
    with hub.change(repository) as opened:
        yield opened


def commit(git: GitRepository, reference: str, files: Tree, message: str = "change") -> str:
    """A commit upon a reference."""
    head = git.resolve(reference)
    top = git.entry(head, "")
    assert top is not None
    changes = {path: None if content is None else (git.write_blob(content), FILE) for path, content in files.items()}
    return git.commit(reference, git.edit_tree(top.oid, changes), [head], message, "bob", expected=head)


def propose(
    hub: Hub, git: GitRepository, repository: Repository, actor: Actor, files: Tree | None = None
) -> Discussion:
    """An open pull request."""
    fill = None if files is None else lambda reference: commit(git, reference, files)
    return hub.discussions.open_pull_request(
        git, repository, actor, "a change", "why", git.resolve(MAIN), status="open", fill=fill
    )


def content(git: GitRepository, path: str) -> bytes:
    return git.read(git.file(git.resolve(MAIN), path))


def test_what_is_said_is_kept(hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor) -> None:
    talk = hub.discussions
    made = talk.open(repository, bob, "  a \n question ", "text")
    assert (made.number, made.title, made.status, made.is_pull_request) == (1, "a question", "open", False)
    said = talk.comment(repository, ann, 1, "an answer")
    talk.rename(repository, ann, 1, "answered")
    talk.change_status(repository, bob, 1, "closed", "thanks")
    again = talk.find(repository, 1)
    assert (again.title, again.status) == ("answered", "closed")
    events = talk.events(git, repository, again)
    assert [(event.kind, event.author) for event in events] == [
        ("comment", "bob"),
        ("comment", "ann"),
        ("title-change", "ann"),
        ("comment", "bob"),
        ("status-change", "bob"),
    ]
    assert events[1] == said
    assert len({event.id for event in events}) == 5
    assert events[2].data == {"from": "a question", "to": "answered"}


def test_numbers_are_shared_and_lists_are_filtered(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor
) -> None:
    talk = hub.discussions
    talk.open(repository, ann, "one", "x")
    propose(hub, git, repository, bob)
    talk.open(repository, bob, "three", "x")
    talk.change_status(repository, ann, 1, "closed")

    def numbers(**wanted: object) -> list[int]:
        found, count = talk.select(repository, **wanted)  # type: ignore[arg-type]
        assert count == len(found)
        return [discussion.number for discussion in found]

    assert numbers() == [3, 2, 1]
    assert numbers(pull_requests=True) == [2]
    assert numbers(pull_requests=False) == [3, 1]
    assert numbers(is_open=True) == [3, 2]
    assert numbers(is_open=False) == [1]
    assert numbers(author="BOB", pull_requests=False) == [3]
    assert numbers(author="nobody") == []
    page, count = talk.select(repository, skip=1, limit=1)
    assert ([discussion.number for discussion in page], count) == ([2], 3)


def test_only_whose_it_is_changes_it(hub: Hub, repository: Repository, ann: Actor, bob: Actor, eve: Actor) -> None:
    talk = hub.discussions
    talk.open(repository, bob, "one", "x")
    id = talk.comment(repository, bob, 1, "before").id
    forbidden: Callable[[], object]
    for forbidden in (
        lambda: talk.rename(repository, eve, 1, "x"),
        lambda: talk.change_status(repository, eve, 1, "closed"),
        lambda: talk.edit_comment(repository, eve, 1, id, "x"),
        lambda: talk.hide_comment(repository, eve, 1, id),
        # The owner may hide what somebody said, but not put words into his mouth.
        lambda: talk.edit_comment(repository, ann, 1, id, "x"),
    ):
        with pytest.raises(ForbiddenError):
            forbidden()
    with pytest.raises(UnauthorizedError):
        talk.rename(repository, Actor(), 1, "x")
    edited = talk.edit_comment(repository, bob, 1, id, "after")
    assert (edited.data["raw"], [version["raw"] for version in edited.data["versions"]]) == ("after", ["before"])
    assert talk.hide_comment(repository, ann, 1, id).data["hidden"]
    with pytest.raises(HubConflictError, match="hidden"):
        talk.edit_comment(repository, bob, 1, id, "again")


def test_what_is_not_there_or_cannot_be(hub: Hub, repository: Repository, ann: Actor) -> None:
    talk = hub.discussions
    talk.open(repository, ann, "one", "x")
    renamed = talk.rename(repository, ann, 1, "two")
    for missing in (
        lambda: talk.find(repository, 2),
        lambda: talk.comment(repository, ann, 2, "x"),
        lambda: talk.edit_comment(repository, ann, 1, "0" * 24, "x"),
        # Not all that happened was said.
        lambda: talk.edit_comment(repository, ann, 1, renamed.id, "x"),
    ):
        with pytest.raises(DiscussionNotFoundError):
            missing()
    for impossible in (
        lambda: talk.open(repository, ann, " \n", "x"),
        lambda: talk.open(repository, ann, "x" * 201, "x"),
        lambda: talk.comment(repository, ann, 1, "  "),
        lambda: talk.comment(repository, ann, 1, "x" * 70_000),
        lambda: talk.change_status(repository, ann, 1, "merged"),
    ):
        with pytest.raises(HubContentError):
            impossible()
    assert talk.select(repository)[1] == 1


def test_a_pull_request_shows_its_commits_and_what_they_change(
    hub: Hub, git: GitRepository, repository: Repository, bob: Actor
) -> None:
    made = hub.discussions.open_pull_request(git, repository, bob, "a change", "", git.resolve(MAIN))
    assert (made.status, git.target(made.reference)) == ("draft", git.resolve(MAIN))
    added = commit(git, made.reference, {"new.txt": b"hello\n"}, "add new.txt\n\nwith reasons")
    commit(git, MAIN, {"a.txt": b"other"})
    heads = hub.discussions.heads(git, made)
    assert heads is not None
    first, second = hub.discussions.events(git, repository, made)
    assert (first.kind, first.data["raw"]) == ("comment", "a change")
    assert (second.kind, second.author, second.data) == ("commit", "bob", {"subject": "add new.txt", "oid": added})
    difference = merging.difference(git, *heads)
    assert "+++ b/new.txt" in difference
    assert "a.txt" not in difference
    assert merging.conflicts(git, *heads) == []


def test_long_differences_are_cut_and_strange_ones_shown(
    hub: Hub, git: GitRepository, repository: Repository, bob: Actor
) -> None:
    files: Tree = {"zero": bytes(100)}
    files |= {f"f{n}": b"\xff line\n" * 100_000 for n in range(3)}
    made = propose(hub, git, repository, bob, files)
    heads = hub.discussions.heads(git, made)
    assert heads is not None
    difference = merging.difference(git, *heads)
    assert len(difference) < (1 << 20) + 1000
    assert difference.endswith("more files are not shown: the diff is too long\n")


def test_merged_by_moving_the_branch_on(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor
) -> None:
    made = propose(hub, git, repository, bob, {"new.txt": b"hello", "b/c.txt": None})
    head = git.resolve(made.reference)
    merged = hub.discussions.merge(git, repository, ann, made.number, "thank you")
    assert (merged.status, merged.merge_commit) == ("merged", head)
    assert git.target(MAIN) == head
    kinds = [event.kind for event in hub.discussions.events(git, repository, merged)]
    assert sorted(kinds) == ["comment", "comment", "commit", "status-change"]
    for again in (
        lambda: hub.discussions.merge(git, repository, ann, made.number),
        lambda: hub.discussions.change_status(repository, ann, made.number, "open"),
    ):
        with pytest.raises(HubConflictError, match="is merged"):
            again()


def test_merged_by_a_commit_of_two_parents(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor
) -> None:
    made = propose(
        hub, git, repository, bob, {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n", "new/deep.txt": b"new", "b/c.txt": None}
    )
    head = git.resolve(made.reference)
    main = commit(git, MAIN, {"a.txt": b"1\n2\n3\n4\n5\n6\nseven\n", "other.txt": b"other"})
    merged = hub.discussions.merge(git, repository, ann, made.number)
    assert git.read_commit(merged.merge_commit).parents == (main, head)
    assert git.read_commit(merged.merge_commit).title == "a change (#1)"
    assert content(git, "a.txt") == b"one\n2\n3\n4\n5\n6\nseven\n"
    assert content(git, "new/deep.txt") == b"new"
    assert content(git, "other.txt") == b"other"
    assert git.entry(git.resolve(MAIN), "b") is None


def test_conflicts_are_named_and_nothing_is_changed(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor
) -> None:
    made = propose(hub, git, repository, bob, {"a.txt": b"theirs", "b/c.txt": None, "fine": b"x"})
    main = commit(git, MAIN, {"a.txt": b"ours", "b/c.txt": b"changed"})
    heads = hub.discussions.heads(git, made)
    assert heads is not None
    assert merging.conflicts(git, *heads) == ["a.txt", "b/c.txt"]
    with pytest.raises(HubConflictError, match=r"in a\.txt, b/c\.txt: merge"):
        hub.discussions.merge(git, repository, ann, made.number)
    assert git.target(MAIN) == main
    assert hub.discussions.find(repository, made.number).status == "open"


def test_what_cannot_be_merged(hub: Hub, git: GitRepository, repository: Repository, ann: Actor) -> None:
    talk = hub.discussions
    talk.open(repository, ann, "no pull request", "x")
    talk.open_pull_request(git, repository, ann, "a draft", "x", git.resolve(MAIN))
    propose(hub, git, repository, ann)
    for number, told in ((1, "no pull request"), (2, "is draft: change its status"), (3, "no commits yet")):
        with pytest.raises(HubConflictError, match=told):
            talk.merge(git, repository, ann, number)
    with pytest.raises(RevisionNotFoundError):
        talk.open_pull_request(git, repository, ann, "x", "x", git.resolve(MAIN), target="refs/heads/none")


def test_a_merge_whose_end_was_lost_is_finished(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor
) -> None:
    made = propose(hub, git, repository, ann, {"new.txt": b"x"})
    git.set_reference(MAIN, git.resolve(made.reference), expected=git.target(MAIN))
    assert hub.discussions.merge(git, repository, ann, made.number).status == "merged"


def test_a_branch_that_moves_meanwhile_is_merged_into_as_it_is_then(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = propose(hub, git, repository, ann, {"new.txt": b"x"})
    real, times = GitRepository.set_reference, [0]

    def somebody_else_first(self: GitRepository, reference: str, commit: str, *, expected: str | None) -> None:
        times[0] += 1
        if times[0] == 1:
            raise StaleParentError("moved")
        real(self, reference, commit, expected=expected)

    monkeypatch.setattr(GitRepository, "set_reference", somebody_else_first)
    assert hub.discussions.merge(git, repository, ann, made.number).merge_commit == git.target(MAIN)
    assert times == [2]


def test_a_commit_that_fails_leaves_no_pull_request(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor
) -> None:
    def fail(reference: str) -> None:
        assert git.target(reference) is not None
        raise HubContentError("no")

    with pytest.raises(HubContentError):
        hub.discussions.open_pull_request(git, repository, ann, "x" * 500, "x", git.resolve(MAIN), fill=fail)
    assert hub.discussions.select(repository) == ([], 0)
    assert [reference.name for reference in git.references()] == [MAIN]
    # One that was being made when the power went has left its reference.
    git.set_reference("refs/pr/1", git.resolve(MAIN), expected=None)
    newer = commit(git, MAIN, {"x": b"y"})
    made = propose(hub, git, repository, ann)
    assert git.target(made.reference) == newer


def test_who_may_move_which_reference(
    hub: Hub, git: GitRepository, repository: Repository, ann: Actor, bob: Actor, eve: Actor
) -> None:
    made = propose(hub, git, repository, bob)
    for actor, reference in ((ann, MAIN), (ann, made.reference), (bob, made.reference)):
        hub.demand_reference(actor, repository, reference)
    for actor, reference in (
        (bob, MAIN),
        (eve, made.reference),
        (bob, "refs/pr/9"),
        (ann, "refs/pr/9"),
        (hub.actor("bob", "read"), made.reference),
    ):
        with pytest.raises(ForbiddenError):
            hub.demand_reference(actor, repository, reference)
    with pytest.raises(UnauthorizedError):
        hub.demand_reference(Actor(), repository, made.reference)
    assert hub.discussions.has_open_pull_request(repository, "BOB")
    hub.discussions.change_status(repository, ann, made.number, "closed")
    assert not hub.discussions.has_open_pull_request(repository, "bob")
    with pytest.raises(ForbiddenError, match="is closed"):
        hub.demand_reference(bob, repository, made.reference)


def test_discussions_end_with_their_repository(hub: Hub, repository: Repository, ann: Actor) -> None:
    hub.discussions.open(repository, ann, "one", "x")
    hub.repositories.delete(repository)
    again = hub.create(ann, Kind.DATASET, "ann/one")
    assert hub.discussions.select(again) == ([], 0)
    assert hub.discussions.open(again, ann, "one", "x").number == 1
