"""Repositories made, found, moved and removed, and who may know of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedhub.errors import (
    EmbedhubError,
    ForbiddenError,
    GatedRepositoryError,
    HubConflictError,
    HubNameError,
    RepositoryNotFoundError,
    UnauthorizedError,
)
from embedhub.hub.access import Action, Actor
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind, repository_name

ALICE, BOB = Actor("alice", "write"), Actor("bob", "write")
MODEL, DATASET = Kind.MODEL, Kind.DATASET


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "home")
    for name in ("alice", "bob"):
        made.organisations.create_user(name)
    yield made
    made.close()


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    Hub(tmp_path / "home").close()
    assert not (tmp_path / "home").exists()


def test_a_new_repository(hub: Hub) -> None:
    made = hub.create(ALICE, DATASET, "Alice/FAQ", files={"README.md": b"# hi"})
    assert (made.id, made.visibility, made.gated) == ("alice/FAQ", "public", "")
    assert hub.find(BOB, DATASET, "ALICE/faq", Action.READ) == made
    with hub.open(made) as git:
        assert list(git.paths(git.resolve("main"))) == [".gitattributes", "README.md"]
    # Kinds do not share their names.
    with pytest.raises(RepositoryNotFoundError):
        hub.find(ALICE, MODEL, "alice/faq", Action.SEE)
    hub.create(ALICE, MODEL, "alice/faq")


def test_a_name_is_given_once_whatever_its_case(hub: Hub) -> None:
    hub.create(ALICE, DATASET, "alice/faq")
    with pytest.raises(HubConflictError, match="A dataset repository called alice/FAQ already exists"):
        hub.create(ALICE, DATASET, "alice/FAQ")
    assert len(hub.repositories.all()) == len(list(hub.repositories.root.glob("*/*.git"))) == 1


def test_of_several_at_once_one_is_made(hub: Hub) -> None:
    outcomes: list[str] = []

    def create() -> None:
        try:
            hub.create(ALICE, DATASET, "alice/faq")
            outcomes.append("made")
        except HubConflictError:
            outcomes.append("there")

    threads = [threading.Thread(target=create) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "there", "there", "there", "there"]
    assert list(hub.repositories.orphans()) == []


@pytest.mark.parametrize(
    ("id", "error"),
    [
        ("alice/..", HubNameError),
        ("alice", HubNameError),
        ("alice/x.git", HubNameError),
        ("api/x", HubNameError),
        ("datasets/x", HubNameError),
        ("bob/x", ForbiddenError),
        ("nobody/x", ForbiddenError),
    ],
)
def test_what_cannot_be_made(hub: Hub, id: str, error: type[EmbedhubError]) -> None:
    with pytest.raises(error):
        hub.create(ALICE, DATASET, id)
    assert hub.repositories.all() == []


def test_files_that_cannot_be_leave_nothing_behind(hub: Hub) -> None:
    with pytest.raises(EmbedhubError):
        hub.create(ALICE, DATASET, "alice/x", files={"a": b"1", "a/b": b"2"})
    with pytest.raises(HubNameError):
        hub.create(ALICE, DATASET, "alice/x", visibility="secret")
    assert hub.repositories.all() == []
    assert list(hub.repositories.root.glob("*/*")) == []
    hub.create(ALICE, DATASET, "alice/x")


def test_an_organisations_visibility_is_the_default(hub: Hub) -> None:
    hub.organisations.create_organisation("acme", default_visibility="private")
    hub.organisations.add_member("acme", "alice", "contributor")
    alice = hub.actor("alice", "write")
    assert hub.create(alice, DATASET, "acme/a").private
    assert not hub.create(alice, DATASET, "acme/b", visibility="public").private
    with pytest.raises(RepositoryNotFoundError):
        hub.find(BOB, DATASET, "acme/a", Action.SEE)
    with pytest.raises(ForbiddenError):
        hub.find(alice, DATASET, "acme/a", Action.WRITE)


def test_an_administrator_makes_users_on_the_way(hub: Hub) -> None:
    assert hub.create(Actor("local", "admin"), MODEL, "carol/x").namespace == "carol"
    with pytest.raises(UnauthorizedError):
        hub.create(Actor(), MODEL, "carol/y")


def test_gates(hub: Hub) -> None:
    made = hub.repositories.change(hub.create(ALICE, DATASET, "alice/x"), gated="manual")
    assert hub.find(BOB, DATASET, "alice/x", Action.SEE) == made
    with pytest.raises(GatedRepositoryError, match="Access to dataset alice/x is restricted"):
        hub.find(BOB, DATASET, "alice/x", Action.READ)
    bob = hub.organisations.find("bob")
    assert bob is not None
    hub.repositories.grant(made, bob.id)
    hub.repositories.grant(made, bob.id)
    assert hub.find(Actor("Bob", "read"), DATASET, "alice/x", Action.READ) == made
    with pytest.raises(HubNameError, match="gate"):
        hub.repositories.change(made, gated="sometimes")


def test_a_moved_repository_is_found_by_its_old_name_until_somebody_takes_it(hub: Hub) -> None:
    made = hub.create(ALICE, DATASET, "alice/old")
    moved = hub.move(ALICE, made, "alice/New")
    assert (moved.uuid, moved.id) == (made.uuid, "alice/New")
    assert hub.find(BOB, DATASET, "alice/OLD", Action.READ) == moved
    another = hub.create(ALICE, DATASET, "alice/old")
    assert hub.find(BOB, DATASET, "alice/old", Action.READ) == another
    hub.repositories.delete(another)
    # Whoever knew the second does not want the first.
    with pytest.raises(RepositoryNotFoundError):
        hub.find(BOB, DATASET, "alice/old", Action.READ)


def test_a_repository_moves_to_and_fro_and_to_another_spelling(hub: Hub) -> None:
    made = hub.create(ALICE, DATASET, "alice/a")
    for name in ("alice/b", "alice/a", "alice/A", "alice/c"):
        made = hub.move(ALICE, made, name)
    for name in ("alice/a", "alice/b", "alice/c"):
        assert hub.find(ALICE, DATASET, name, Action.SEE).id == "alice/c"


def test_where_a_repository_may_not_go(hub: Hub) -> None:
    made, other = hub.create(ALICE, DATASET, "alice/a"), hub.create(ALICE, DATASET, "alice/b")
    with pytest.raises(HubConflictError, match=r"A dataset repository called alice/b already exists"):
        hub.move(ALICE, made, other.id)
    with pytest.raises(ForbiddenError):
        hub.move(ALICE, made, "bob/a")
    with pytest.raises(HubNameError):
        hub.move(ALICE, made, "alice/../x")
    with pytest.raises(HubNameError):
        hub.move(Actor("local", "admin"), made, "nobody/a")
    assert hub.find(ALICE, DATASET, "alice/a", Action.SEE) == made


def test_a_former_name_does_not_betray_the_present_one(hub: Hub) -> None:
    made = hub.create(ALICE, DATASET, "alice/old", visibility="private")
    hub.move(ALICE, made, "alice/confidential")
    with pytest.raises(RepositoryNotFoundError) as moved:
        hub.find(BOB, DATASET, "alice/old", Action.SEE)
    with pytest.raises(RepositoryNotFoundError) as never:
        hub.find(BOB, DATASET, "alice/abc", Action.SEE)
    assert str(moved.value).replace("old", "abc") == str(never.value)


def test_a_deleted_repository_takes_everything_with_it(hub: Hub) -> None:
    made = hub.create(ALICE, DATASET, "alice/a")
    hub.holdings.link(made.uuid, [("a" * 64, 5)])
    hub.repositories.delete(hub.move(ALICE, made, "alice/b"))
    assert not hub.repositories.folder(made).exists()
    assert not hub.holdings.is_held("a" * 64)
    for name in ("alice/a", "alice/b"):
        with pytest.raises(RepositoryNotFoundError):
            hub.find(ALICE, DATASET, name, Action.SEE)
    again = hub.create(ALICE, DATASET, "alice/a")
    assert again.uuid != made.uuid
    assert hub.holdings.of(again.uuid) == {}


def test_lists_are_newest_first(hub: Hub) -> None:
    hub.create(ALICE, DATASET, "alice/a")
    hub.create(ALICE, MODEL, "alice/b")
    hub.create(BOB, DATASET, "bob/c")
    assert [each.id for each in hub.repositories.all()] == ["bob/c", "alice/b", "alice/a"]
    assert [each.id for each in hub.repositories.all(DATASET)] == ["bob/c", "alice/a"]
    assert [each.id for each in hub.repositories.all(None, "ALICE")] == ["alice/b", "alice/a"]


def test_what_was_left_half_made_is_an_orphan(hub: Hub) -> None:
    kept = hub.create(ALICE, DATASET, "alice/a")
    name = repository_name(DATASET, "alice/b")

    def killed(folder: Path) -> None:
        folder.mkdir()
        (folder / "HEAD").touch()

    lost = hub.repositories.create(name, killed)
    with hub.connections.write() as database:
        database.execute("DELETE FROM repositories WHERE uuid = ?", (lost.uuid,))
    assert [folder.stem for folder in hub.repositories.orphans()] == [lost.uuid]
    assert hub.repositories.folder(kept).is_dir()
