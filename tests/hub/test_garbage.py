"""`hub gc`: what nothing refers to goes once it is old; what somebody may be about to use stays."""

import itertools
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hub.hosted import ALICE, LONG_AGO, age, age_links, commit, filled, hub_of, send, sha256_of

from embedhub.errors import HubConflictError, HubContentError
from embedhub.hub import garbage
from embedhub.hub.check import check
from embedhub.hub.garbage import Collected, collect
from embedhub.hub.hosting import Hub
from embedhub.hub.locks import alone, at_work
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

CONTENT = b"large, of alice/data" * 1000

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = hub_of(tmp_path / "home")
    yield hub
    hub.close()


def age_all(hub: Hub) -> None:
    age(hub.root)
    age_links(hub)


def removed(collected: Collected) -> dict[str, int]:
    counts = {name: getattr(collected, name) for name in ("repositories", "objects", "links", "large_files")}
    return {name: count for name, count in counts.items() if count}


def test_nothing_that_is_used_goes_however_old(hub: Hub) -> None:
    repository = filled(hub)
    with hub.change(repository) as git:
        git.create_tag("v1", git.resolve("main"), "a message", "alice")
    commit(hub, repository, {"large.bin": b"small now"})
    age_all(hub)
    assert collect(hub) == Collected()
    assert list(check(hub, deep=True)) == []
    assert collect(Hub(hub.home / "nowhere")) == Collected()


def leavings(hub: Hub) -> Repository:
    """One of each: objects, a link with its file, a deleted repository's file, repositories half made and removed."""
    repository = filled(hub)
    with hub.change(repository) as git:
        git.write_blob(b"nobody refers to this")
        git.write_blob(b"nor to this")
    send(hub, repository, b"never committed")
    gone = filled(hub, "alice/gone")
    hub.repositories.delete(gone)
    half = hub.create(ALICE, Kind.MODEL, "alice/half")
    with hub.connections.write() as database:
        database.execute("DELETE FROM repositories WHERE uuid = ?", (half.uuid,))
    (hub.repositories.root / "00" / f"{'0' * 32}.git").mkdir(parents=True)
    (hub.repositories.root / "00" / f"{'1' * 32}.removed" / "objects").mkdir(parents=True)
    return repository


def test_what_nothing_refers_to_goes_when_it_is_old(hub: Hub) -> None:
    leavings(hub)
    # Whoever made a folder vanish had begun to.
    assert removed(collect(hub)) == {"repositories": 1}
    age_all(hub)
    expected = {"repositories": 2, "objects": 2, "links": 1, "large_files": 2}
    assert removed(collect(hub, dry_run=True)) == expected | {"large_files": 1}
    found = collect(hub)
    assert removed(found) == expected
    assert found.large_file_bytes == len(b"never committed") + len(b"large, of alice/gone" * 1000)
    assert found.spared == []
    assert list(hub.blobs) == [sha256_of(CONTENT)]
    assert list(check(hub, deep=True)) == []
    assert removed(collect(hub)) == {}


def test_the_leavings_of_killed_processes_go(hub: Hub) -> None:
    repository = filled(hub)
    folder = hub.repositories.folder(repository)
    for name in ("objects/ab/tmp_object_git2_x", "objects/pack/tmp_pack_y", "objects/tmp_objdir-incoming-z/pack/p"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    empty = folder / "objects" / "cd" / ("e" * 38)
    empty.parent.mkdir(exist_ok=True)
    empty.touch()
    part = hub.uploads.begin()
    with hub.uploads.part(part, 1, 10) as writer:
        writer.write(b"part")
        writer.finish()
    epoch = hub.xet.epoch(repository.uuid, "alice")
    (hub.root / "xorbs" / repository.uuid / epoch).rename(
        hub.root / "xorbs" / repository.uuid / f"{epoch[:17]}{1:012x}"
    )
    (hub.blobs.staging.folder / "unfinished-0").touch()
    age_all(hub)
    found = collect(hub, dry_run=True)
    assert (found.objects, found.uploads, found.epochs, found.unfinished) == (4, 1, 1, 1)
    found = collect(hub)
    assert (found.objects, found.uploads, found.epochs, found.unfinished) == (4, 1, 1, 1)
    assert removed(collect(hub)) == {}
    assert list(check(hub)) == []


def test_a_repository_in_use_is_spared(hub: Hub) -> None:
    repository = filled(hub)
    with hub.change(repository) as git:
        git.write_blob(b"garbage")
        age_all(hub)
        found = collect(hub)
    assert removed(found) == {}
    assert "in use" in found.spared[0]
    assert removed(collect(hub)) == {"objects": 1}


def test_one_at_a_time(hub: Hub) -> None:
    filled(hub)
    with hub.maintenance(), pytest.raises(HubConflictError, match="wait"):
        collect(hub)


def test_a_branch_made_of_an_old_commit_while_objects_are_sought_keeps_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = filled(hub)
    with hub.change(repository) as git:
        first = git.resolve("main")
        git.create_branch("gone", first)
    lost = commit(hub, repository, {"lost": b"lost"})
    with hub.change(repository) as git:
        git.set_reference("refs/heads/main", first, expected=lost)
    age_all(hub)
    prune = garbage._prune

    def late(*arguments: object) -> int | None:
        with hub.change(repository) as git:
            git.create_branch("found", lost)
        return prune(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(garbage, "_prune", late)
    assert removed(collect(hub)) == {}
    assert list(check(hub)) == []


def test_an_object_written_again_is_young(hub: Hub) -> None:
    repository = filled(hub)
    with hub.change(repository) as git:
        git.write_blob(b"twice")
    age_all(hub)
    with hub.change(repository) as git:
        git.write_blob(b"twice")
    assert removed(collect(hub)) == {}


def test_a_link_that_is_renewed_stays_and_else_the_commit_is_refused(hub: Hub) -> None:
    repository = filled(hub)
    content = b"sent long ago"
    send(hub, repository, content)
    age_all(hub)
    old = hub.holdings.older_than(repository.uuid, garbage.GRACE_SECONDS)
    commit(hub, repository, {}, {"late.bin": content})  # between the two steps of a collection
    assert hub.holdings.unlink_old(repository.uuid, old - {sha256_of(CONTENT)}, garbage.GRACE_SECONDS) == 0
    send(hub, repository, b"another")
    age_all(hub)
    assert removed(collect(hub)) == {"links": 1, "large_files": 1}
    with pytest.raises(HubContentError, match="does not exist"):
        commit(hub, repository, {}, {"later.bin": b"another"})
    assert list(check(hub)) == []


def test_a_large_file_sent_again_stays(hub: Hub) -> None:
    repository = filled(hub)
    sha256 = send(hub, repository, b"again")
    hub.holdings.unlink(repository.uuid, [sha256])
    age_all(hub)

    def sent_meanwhile(asked: str) -> bool:
        # Somebody who sends it waits until it was decided, and then writes it anew.
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        return hub.holdings.is_held(asked)

    thread = threading.Thread(target=send, args=(hub, repository, b"again"))
    assert hub.blobs.remove_unless(sha256, sent_meanwhile, garbage.GRACE_SECONDS) == 5
    thread.join()
    assert hub.blobs.verify(sha256)
    assert hub.holdings.is_held(sha256)
    hub.holdings.unlink(repository.uuid, [sha256])
    assert hub.blobs.remove_unless(sha256, hub.holdings.is_held, garbage.GRACE_SECONDS) is None  # it is young


def test_a_repository_of_another_database_stays_with_its_large_files(hub: Hub, tmp_path: Path) -> None:
    repository = filled(hub)
    hub.close()
    for path in hub.home.glob("*.sqlite*"):
        path.unlink()
    other = hub_of(tmp_path / "home", "bob")
    age_all(other)
    found = collect(other)
    assert removed(found) == {}
    assert "does not know" in found.spared[0]
    assert other.repositories.folder(repository).is_dir()
    assert other.blobs.verify(sha256_of(CONTENT))
    other.close()


def test_no_large_file_goes_while_a_repository_cannot_be_read(hub: Hub) -> None:
    repository = filled(hub)
    filled(hub, "alice/other")
    hub.holdings.unlink_repository(repository.uuid)
    (hub.repositories.folder(repository) / "refs" / "heads" / "main").write_bytes(b"")
    age_all(hub)
    found = collect(hub)
    assert removed(found) == {}
    assert "check" in found.spared[0]


@needs_git
def test_packing_loses_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_LOOSE_OBJECTS", 5)
    repository = filled(hub)
    for number in range(3):
        commit(hub, repository, {f"{number}.txt": f"{number}".encode()})
    with hub.change(repository) as git:
        stray = git.write_blob(b"stray")
        head = git.resolve("main")
    assert collect(hub, dry_run=True).packed == 1
    assert collect(hub).packed == 1
    assert collect(hub).packed == 0
    folder = hub.repositories.folder(repository)
    assert len(list(folder.glob("objects/pack/*.pack"))) == 1
    with hub.open(repository) as git:
        assert git.resolve("main") == head
        assert len(list(git.log("main"))) == 5
        assert git.read_text_of(stray) == "stray"
    # What nothing leads to is in no pack any more, however old, and goes by the same rule as before.
    subprocess.run(["git", "--git-dir", folder, "repack", "-a", "-d", "-k", "-q"], check=True)
    age_all(hub)
    monkeypatch.setattr(garbage, "_LOOSE_OBJECTS", -1)
    assert removed(collect(hub)) == {}
    with hub.open(repository) as git:
        assert git.read_text_of(stray) == "stray"
    age_all(hub)
    assert removed(collect(hub)) == {"objects": 1}
    assert list(check(hub)) == []


@needs_git
def test_commits_while_garbage_is_removed_are_not_lost(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as old, and the same contents come and go: the worst that can be asked of it."""
    monkeypatch.setattr(garbage, "_LOOSE_OBJECTS", 3)
    repository = filled(hub)
    made: list[str] = []
    failures: list[BaseException] = []
    done = threading.Event()
    # No upload takes a day between the file and its link.
    sending = threading.Lock()

    def write() -> None:
        try:
            for number in itertools.count():
                if done.is_set():
                    return
                content = f"{number % 7}".encode() * 100
                with sending:
                    send(hub, repository, content)
                # Refused if the file, which is made to look old here, was removed in between: it is sent again.
                with suppress(HubContentError):
                    made.append(commit(hub, repository, {f"{number % 5}.txt": content}, {f"{number % 3}.bin": content}))
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(8):
        with sending:
            age_all(hub)
        assert collect(hub).repositories == 0
    done.set()
    thread.join()
    assert failures == []
    assert len(made) > 3
    with hub.open(repository) as git:
        log = {entry.id for entry in git.log("main")}
    assert set(made) <= log
    assert list(check(hub, deep=True)) == []


def test_who_is_alone_is_alone(tmp_path: Path) -> None:
    with at_work(tmp_path), at_work(tmp_path), alone(tmp_path, 0.05) as is_alone:
        assert not is_alone
    with alone(tmp_path) as is_alone:
        assert is_alone
        with alone(tmp_path) as also:
            assert not also
    with pytest.raises(FileNotFoundError), at_work(tmp_path / "nowhere"):
        pass
    assert LONG_AGO > garbage.OBJECT_SECONDS
