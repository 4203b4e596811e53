"""`hub backup`: a copy of a Hub at work is whole."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hub.hosted import ALICE, commit, filled, hub_of, send, sha256_of

from embedhub.errors import HubConflictError, HubStorageError, RepositoryNotFoundError
from embedhub.hub.backup import back_up
from embedhub.hub.check import check
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = hub_of(tmp_path / "home")
    yield hub
    hub.close()


def copied(target: Path) -> dict[str, list[str]]:
    """Every repository of a copy with the commits of its branch; the copy must be sound, and have nothing else."""
    copy = Hub(target)
    try:
        assert [str(finding) for finding in check(copy, deep=True)] == []
        found = {}
        for repository in copy.repositories.all():
            with copy.open(repository) as git:
                found[repository.id] = [each.id for each in git.log("main")]
        return found
    finally:
        copy.close()


def log(hub: Hub) -> dict[str, list[str]]:
    found = {}
    for repository in hub.repositories.all():
        with hub.open(repository) as git:
            found[repository.id] = [each.id for each in git.log("main")]
    return found


def test_a_copy_is_the_same_and_one_over_it_is_quick(hub: Hub, tmp_path: Path) -> None:
    repository = filled(hub)
    gone = filled(hub, "alice/gone")
    assert hub.signer
    with hub.change(repository) as git:
        git.create_tag("v1", git.resolve("main"), "a message", "alice")
        git.create_branch("a/b", git.resolve("main"))
    target = tmp_path / "copy"
    first = back_up(hub, target)
    assert (first.repositories, first.large_files) == (2, 2)
    assert copied(target) == log(hub)
    assert (target / "signing.key").read_bytes() == (hub.home / "signing.key").read_bytes()
    with Hub(target).open(repository) as git, hub.open(repository) as mine:
        assert git.references() == mine.references()
    with hub.change(repository) as git:
        git.delete_reference("refs/heads/a/b")
    hub.repositories.delete(gone)
    second = back_up(hub, target)
    assert second.new_bytes < 1000
    assert copied(target) == log(hub)
    assert list(Hub(target).blobs) == [sha256_of(b"large, of alice/data" * 1000)]
    with Hub(target).open(repository) as git:
        assert [each.name for each in git.references()] == ["refs/heads/main", "refs/tags/v1"]
    # And it is a home like another.
    copy = Hub(target)
    commit(copy, copy.repositories.by_uuid(repository.uuid) or repository, {"b": b"b"})
    copy.close()


def test_copies_of_a_hub_at_work_are_whole(hub: Hub, tmp_path: Path) -> None:
    made: list[str] = []
    stop = threading.Event()
    repository = filled(hub)

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            content = f"{number}".encode() * 50
            send(hub, repository, content)
            made.append(commit(hub, repository, {f"{number % 9}.txt": content}, {f"{number % 7}.bin": content}))

    def come_and_go() -> None:
        while not stop.is_set():
            new = hub.create(ALICE, Kind.MODEL, "alice/new")
            with suppress(RepositoryNotFoundError):
                commit(hub, new, {"a": b"a"})
            hub.repositories.delete(new)

    threads = [threading.Thread(target=write), threading.Thread(target=come_and_go)]
    for thread in threads:
        thread.start()
    try:
        for number in range(6):
            before = list(made)
            # One over another, and one by itself.
            target = tmp_path / ("copy" if number % 2 else f"copy{number}")
            back_up(hub, target)
            found = copied(target)
            assert set(before) <= set(found[repository.id])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(made) > 6
    assert list(check(hub)) == []


def test_what_is_no_place_for_a_copy(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubStorageError, match="nothing to copy"):
        back_up(Hub(tmp_path / "nothing"), tmp_path / "copy")
    filled(hub)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    for target, words in ((other, "something else"), (hub.home, "within"), (hub.root, "within"), (tmp_path, "within")):
        with pytest.raises(HubStorageError, match=words):
            back_up(hub, target)
    with pytest.raises(HubStorageError, match="cannot be written"):
        back_up(hub, other / "mine.txt")
    with hub.maintenance(), pytest.raises(HubConflictError):
        back_up(hub, tmp_path / "copy")
