"""`hub check`: silent where nothing is wrong, and nothing that is wrong is passed over."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.hub.hosted import ALICE, age, commit, filled, hub_of, send, sha256_of

from embedhub.hub import check as checking
from embedhub.hub.check import check
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

CONTENT = b"large, of alice/data" * 1000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = hub_of(tmp_path / "home")
    yield hub
    hub.close()


@pytest.fixture(params=["git", "without git"])
def with_or_without_git(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "git":
        monkeypatch.setattr(checking, "has_git", lambda: False)
    elif shutil.which("git") is None:
        pytest.skip("git is not installed")


def told(hub: Hub, *, deep: bool = False) -> list[str]:
    return [str(finding) for finding in check(hub, deep=deep)]


def test_nothing_is_made_where_there_is_no_hub(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "home")
    assert told(hub) == []
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("with_or_without_git")
def test_a_sound_hub_is_clean(hub: Hub) -> None:
    repository = filled(hub)
    hub.create(ALICE, Kind.MODEL, "alice/empty")
    with hub.change(repository) as git:
        git.create_tag("v1", git.resolve("main"), "a message", "alice")
        git.create_branch("other", git.resolve("main"))
        git.delete_reference("refs/heads/other")
    assert told(hub, deep=True) == []


def _loose(hub: Hub, repository: Repository, hash: str) -> Path:
    return hub.repositories.folder(repository) / "objects" / hash[:2] / hash[2:]


def _missing_blob(hub: Hub, repository: Repository) -> None:
    with hub.open(repository) as git:
        entry = git.file(git.resolve("main"), "a/small.txt")
    _loose(hub, repository, entry.oid).unlink()


def _missing_tree(hub: Hub, repository: Repository) -> None:
    with hub.open(repository) as git:
        entry = git.entry(git.resolve("main"), "a")
    assert entry is not None
    _loose(hub, repository, entry.oid).unlink()


def _damaged_blob(hub: Hub, repository: Repository) -> None:
    with hub.open(repository) as git:
        small, attributes = (git.file(git.resolve("main"), path) for path in ("a/small.txt", ".gitattributes"))
    path = _loose(hub, repository, small.oid)
    path.chmod(0o600)
    path.write_bytes(_loose(hub, repository, attributes.oid).read_bytes())


def _empty_reference(hub: Hub, repository: Repository) -> None:
    (hub.repositories.folder(repository) / "refs" / "heads" / "main").write_bytes(b"")


def _lost_commit(hub: Hub, repository: Repository) -> None:
    (hub.repositories.folder(repository) / "refs" / "heads" / "main").write_text(f"{'5' * 40}\n")


def _missing_folder(hub: Hub, repository: Repository) -> None:
    shutil.rmtree(hub.repositories.folder(repository))


def _setting(hub: Hub, repository: Repository) -> None:
    with hub.open(repository) as git:
        git.repository.config["core.fsync"] = "none"


def _no_link(hub: Hub, repository: Repository) -> None:
    hub.holdings.unlink_repository(repository.uuid)


def _other_size(hub: Hub, repository: Repository) -> None:
    hub.holdings.link(repository.uuid, [(sha256_of(CONTENT), 7)])


def _no_file(hub: Hub, repository: Repository) -> None:
    del repository
    hub.blobs.remove(sha256_of(CONTENT))


def _short_file(hub: Hub, repository: Repository) -> None:
    del repository
    hub.blobs.path(sha256_of(CONTENT)).write_bytes(CONTENT[:-1])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_missing_blob, "missing"),
        (_missing_tree, "missing"),
        (_damaged_blob, ""),
        (_empty_reference, ""),
        (_lost_commit, "5" * 40),
        (_missing_folder, "its folder is missing"),
        (_setting, "core.fsync"),
        (_no_link, "does not hold"),
        (_other_size, "has 7"),
        (_no_file, "dataset alice/data should have it"),
        (_short_file, "not 20000"),
    ],
)
@pytest.mark.usefixtures("with_or_without_git")
def test_damage_is_told(hub: Hub, harm: Callable[[Hub, Repository], None], words: str) -> None:
    repository = filled(hub)
    filled(hub, "alice/other")
    harm(hub, repository)
    found = list(check(hub))
    assert any(finding.is_damage and words in finding.what for finding in found), found
    assert all("\n" not in str(finding) and "alice/other" not in str(finding) for finding in found)


def test_only_deep_reads_large_files(hub: Hub) -> None:
    filled(hub)
    hub.blobs.path(sha256_of(CONTENT)).write_bytes(CONTENT[::-1])
    assert told(hub) == []
    assert "other bytes" in told(hub, deep=True)[0]


def test_a_damaged_database_is_told(hub: Hub, tmp_path: Path) -> None:
    filled(hub)
    with hub.connections.read() as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("DELETE FROM users")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert any("row" in line and "repositories" in line for line in told(hub))
    hub.close()
    hub.connections.path.write_bytes(b"no database" * 1000)
    assert "damaged" in told(Hub(tmp_path / "home"))[0]
    hub.connections.path.unlink()
    assert "is missing" in told(Hub(tmp_path / "home"))[0]


def test_what_nothing_refers_to_is_no_damage(hub: Hub) -> None:
    repository = filled(hub)
    gone = filled(hub, "alice/gone")
    send(hub, gone, b"never committed" * 100)
    with hub.connections.write() as database:
        database.execute("DELETE FROM repositories WHERE uuid = ?", (gone.uuid,))
    (hub.blobs.staging.folder / "unfinished-0").write_bytes(b"x")
    folder = hub.repositories.folder(repository)
    (folder / "refs" / "heads" / "main.lock").touch()
    (folder / "packed-refs.lock").touch()
    found = list(check(hub))
    assert len(found) == 4
    assert not any(finding.is_damage for finding in found)
    with hub.at_work(repository):
        assert len(list(check(hub))) == 3  # somebody may hold them
    assert hub.start() == 3
    assert len(list(check(hub))) == 2
    age(folder)
    commit(hub, repository, {"b": b"b"})
