"""Links between repositories and large files: a file opens to those alone that hold it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedhub.errors import RepositoryNotFoundError
from embedhub.hub import holdings
from embedhub.hub.database import Connections
from embedhub.hub.holdings import Holdings

A, B, C = ("a" * 64, 1), ("b" * 64, 2), ("c" * 64, 3_000_000_000_000)


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    connections = Connections(tmp_path / "hub.sqlite")
    with connections.write() as database:
        database.execute("INSERT INTO users (id, name, created_at) VALUES (1, 'alice', 0)")
        for name in ("here", "there"):
            database.execute(
                "INSERT INTO repositories (uuid, kind, namespace_id, name, visibility, gated, created_at, sdk)"
                " VALUES (?, 'model', 1, ?, 'public', '', 0, '')",
                (name, name),
            )
    yield connections
    connections.close()


@pytest.fixture
def held(connections: Connections) -> Holdings:
    return Holdings(connections)


def test_a_repository_holds_what_was_linked_to_it_alone(held: Holdings) -> None:
    assert held.holds("here", A[0]) is None
    held.link("here", [A, C])
    held.link("here", [A])
    held.link("here", [])
    assert held.holds("here", A[0]) == 1
    assert held.holds("here", C[0]) == 3_000_000_000_000
    assert held.holds("there", A[0]) is None
    assert held.of("here") == dict([A, C])
    assert held.of("there") == {}
    assert held.is_held(A[0])
    assert not held.is_held(B[0])


def test_links_end(held: Holdings, connections: Connections) -> None:
    held.link("here", [A, B, C])
    held.link("there", [A])
    held.unlink("here", [A[0], B[0], "d" * 64])
    assert held.of("here") == dict([C])
    assert held.of("there") == dict([A])
    held.unlink_repository("here")
    assert held.of("here") == {}
    with connections.write() as database:
        database.execute("DELETE FROM repositories WHERE uuid = 'there'")
    assert not held.is_held(A[0])


def test_all_files_are_listed_once_while_links_change(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "_FETCHED_ROWS", 2)
    files = [(f"{number:064x}", number) for number in range(7)]
    held.link("here", files)
    held.link("there", files[:3])
    assert list(held.all()) == files
    listed = held.all()
    assert next(listed) == files[0]
    held.unlink("here", [files[5][0]])
    assert list(listed) == [*files[1:5], files[6]]


def test_a_link_that_is_made_again_is_young_again(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    held.link("here", [A, B])
    now += 100
    held.link("here", [B])
    assert held.older_than("here", 50) == {A[0]}
    assert held.older_than("here", 150) == set()
    assert held.older_than("there", 0) == set()


def test_a_copy_holds_the_same(held: Holdings) -> None:
    held.link("here", [A, B])
    held.link("there", [B, C])
    held.copy("here", "there")
    assert held.of("there") == dict([A, B, C])
    assert held.of("here") == dict([A, B])


def test_a_repository_that_is_gone_holds_nothing(held: Holdings) -> None:
    with pytest.raises(RepositoryNotFoundError, match="deleted meanwhile"):
        held.link("gone", [A])
    with pytest.raises(RepositoryNotFoundError, match="deleted meanwhile"):
        held.copy("here", "gone")
    assert not held.is_held(A[0])


def test_all_links_of_a_call_are_made_or_none(held: Holdings) -> None:
    def broken() -> Iterator[tuple[str, int]]:
        yield A
        raise KeyError

    with pytest.raises(KeyError):
        held.link("here", broken())
    assert held.of("here") == {}


def test_many_threads_link_at_once(held: Holdings) -> None:
    threads = [threading.Thread(target=held.link, args=("here", [(f"{number:064x}", number)])) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held.of("here")) == 10
