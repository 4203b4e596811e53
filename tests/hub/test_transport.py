"""git's programs at work: what they are given, how many there are, how they end, what is said when."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.hub.git_commands import Git, needs_git

from embedhub.errors import HubError, NotOfferedError, OverloadedError
from embedhub.hub import transport
from embedhub.hub.git import GitRepository
from embedhub.hub.hosting import Hub
from embedhub.hub.locks import alone
from embedhub.hub.names import Kind
from embedhub.hub.pre_receive import Push
from embedhub.hub.repositories import Repository
from embedhub.hub.transport import Service, Session, Transport, sync_changed

pytestmark = needs_git

FLUSH = b"0000"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "home")
    made.organisations.create_user("ann")
    yield made
    made.close()


@pytest.fixture
def repository(hub: Hub) -> Repository:
    return hub.create(hub.actor("ann", "write"), Kind.MODEL, "ann/one")


def packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


async def heard(session: Session) -> bytes:
    return b"".join([piece async for piece in session.output()])


def push_of(hub: Hub, repository: Repository, *, may_write: bool = True) -> Push:
    return Push(str(hub.connections.path), repository.uuid, "ann", may_write)


async def pushed(hub: Hub, repository: Repository, body: bytes, push: Push) -> bytes:
    folder = hub.repositories.folder(repository)
    async with hub.transport.session(Service.RECEIVE, folder, push=push) as session:
        await session.write(body)
        session.close_input()
        return await heard(session)


def moving(before: str, after: str, reference: str) -> bytes:
    """A push of nothing new."""
    empty = subprocess.run(["git", "pack-objects", "--stdout", "-q"], input=b"", capture_output=True, check=True)
    return packet(f"{before} {after} {reference}\0report-status side-band-64k") + FLUSH + empty.stdout


def test_nobody_elses_settings_count(hub: Hub, repository: Repository, tmp_path: Path) -> None:
    folder = hub.repositories.folder(repository)
    ran = tmp_path / "ran"
    hook = tmp_path / "hooks" / "pre-receive"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    (folder / "hooks").mkdir(exist_ok=True)
    (folder / "hooks" / "pre-receive").symlink_to(hook)
    Git(folder)("config", "core.hooksPath", str(hook.parent))
    with hub.open(repository) as git:
        head = git.resolve("main")
    said = asyncio.run(pushed(hub, repository, moving("0" * 40, head, "refs/heads/side"), push_of(hub, repository)))
    assert b"ok refs/heads/side" in said
    assert not ran.exists()


def test_a_report_waits_until_the_disk_has_it(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.open(repository) as git:
        head = git.resolve("main")
    synced: list[Path] = []

    def refuse(folder: Path, since: float) -> None:
        synced.append(folder)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(transport, "sync_changed", refuse)
    told: list[bytes] = []

    async def push() -> None:
        folder = hub.repositories.folder(repository)
        async with hub.transport.session(Service.RECEIVE, folder, push=push_of(hub, repository)) as session:
            await session.write(moving("0" * 40, head, "refs/heads/side"))
            session.close_input()
            told.extend([piece async for piece in session.output()])

    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(push())
    assert synced == [hub.repositories.folder(repository)]
    assert b"ok refs/heads/side" not in b"".join(told)


def test_what_changed_is_synced_and_nothing_else(
    repository: Repository, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub.repositories.folder(repository)
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (1000, 1000))
    synced: list[str] = []
    monkeypatch.setattr(transport, "sync", lambda path: synced.append(path.relative_to(folder).as_posix()))
    sync_changed(folder, 2000)
    assert not synced
    (folder / "refs/heads/side").write_text("x")
    (folder / "objects/pack/pack-1.pack").write_text("x")
    sync_changed(folder, 2000)
    assert synced == ["objects/pack", "refs/heads"]


def test_progress_passes_and_the_report_is_held() -> None:
    report = transport._Report()
    progress = b"000b\x02hello!" + b"0005\x02"
    said = b"".join(report.passed(progress[at : at + 1]) for at in range(len(progress)))
    assert (said, bytes(report.held)) == (progress, b"")
    rest = b"0030\x01000eunpack ok\n0019ok refs/heads/main\n0000" + b"000b\x02behind" + FLUSH
    assert b"".join(report.passed(rest[at : at + 7]) for at in range(0, len(rest), 7)) == b""
    assert bytes(report.held) == rest
    plain = transport._Report()
    assert plain.passed(b"000eunpack ok\n") == b""
    with pytest.raises(HubError, match="more of a push"):
        plain.passed(bytes(5 << 20))


def test_who_may_not_write_moves_nothing(hub: Hub, repository: Repository) -> None:
    with hub.open(repository) as git:
        head = git.resolve("main")
    push = push_of(hub, repository, may_write=False)
    said = asyncio.run(pushed(hub, repository, moving("0" * 40, head, "refs/heads/side"), push))
    assert b"ng refs/heads/side pre-receive hook declined" in said
    assert b"you may not write to refs/heads/side" in said
    with hub.open(repository) as git:
        assert git.target("refs/heads/side") is None


def test_no_push_passes_unchecked(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub.open(repository) as git:
        head = git.resolve("main")
    body = moving("0" * 40, head, "refs/heads/side")
    real = os.access
    # As on a file system that nothing may be executed from: git would pass over the program without a word.
    monkeypatch.setattr(os, "access", lambda path, mode: "pre-receive" not in str(path) and real(path, mode))
    with pytest.raises(HubError, match="noexec"):
        asyncio.run(pushed(hub, repository, body, push_of(hub, repository)))
    monkeypatch.undo()
    # Somebody has changed the program: it is written anew.
    hook = hub.root / "git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\n")
    said = asyncio.run(pushed(hub, repository, body, push_of(hub, repository, may_write=False)))
    assert b"ng refs/heads/side" in said
    # Its database is gone.
    lost = Push(str(hub.home / "nothing"), repository.uuid, "ann", may_write=True)
    assert b"could not be checked" in asyncio.run(pushed(hub, repository, body, lost))
    with hub.open(repository) as git:
        assert git.target("refs/heads/side") is None


def test_without_git_it_is_said(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)

    async def ask() -> None:
        async with hub.transport.session(Service.UPLOAD, hub.repositories.folder(repository)):
            raise AssertionError

    with pytest.raises(NotOfferedError, match="no git command"):
        asyncio.run(ask())


def test_so_many_at_once(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_AT_ONCE", {"upload-pack": 1, "receive-pack": 1})
    monkeypatch.setattr(transport, "_WAIT_SECONDS", 0.05)
    bounded = Transport(hub.root / "git")
    folder = hub.repositories.folder(repository)

    async def ask() -> bytes:
        async with bounded.session(Service.UPLOAD, folder) as session:
            with pytest.raises(OverloadedError):
                async with bounded.session(Service.UPLOAD, folder):
                    raise AssertionError
            # Pushes do not wait for clones.
            async with bounded.session(Service.RECEIVE, folder, advertise=True) as other:
                other.close_input()
                assert b"refs/heads/main" in await heard(other)
            del session
        async with bounded.session(Service.UPLOAD, folder, advertise=True) as again:
            again.close_input()
            return await heard(again)

    assert b"refs/heads/main" in asyncio.run(ask())


def test_it_ends_with_its_block(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hub.repositories.folder(repository)

    async def leave(first_words: int = 0) -> asyncio.subprocess.Process:
        async with hub.transport.session(Service.UPLOAD, folder) as session:
            assert session._process.stdout is not None
            await session._process.stdout.readexactly(first_words)
            return session._process

    assert asyncio.run(leave()).returncode is not None

    # One that hears no request to end is killed.
    monkeypatch.setattr(transport, "_END_SECONDS", 0.05)
    deaf = hub.home / "git"
    deaf.write_text("#!/bin/sh\ntrap '' TERM\necho deaf\nwhile :; do sleep 0.01; done\n")
    deaf.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(deaf))
    assert asyncio.run(leave(4)).returncode == -9


def test_a_silent_failure_is_told(hub: Hub, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    async def ask() -> bytes:
        async with hub.transport.session(Service.UPLOAD, nothing, advertise=True) as session:
            session.close_input()
            return await heard(session)

    with pytest.raises(HubError, match="git failed"):
        asyncio.run(ask())


def test_memory_is_limited(hub: Hub, repository: Repository) -> None:
    async def ask() -> str:
        async with hub.transport.session(Service.UPLOAD, hub.repositories.folder(repository)) as session:
            return Path(f"/proc/{session._process.pid}/limits").read_text()

    limits = asyncio.run(ask())
    assert any(line.startswith("Max data size") and str(2 << 30) in line for line in limits.splitlines())


def test_a_push_is_at_work_as_long_as_it_lives(hub: Hub, repository: Repository) -> None:
    folder = hub.repositories.folder(repository)

    async def ask() -> list[Path]:
        async with hub.transport.session(Service.RECEIVE, folder, push=push_of(hub, repository)) as session:
            with alone(folder) as is_alone:
                assert not is_alone
            return [path.resolve() for path in Path(f"/proc/{session._process.pid}/fd").iterdir()]

    assert folder.resolve() in asyncio.run(ask())
    with alone(folder) as is_alone:
        assert is_alone


def test_created_repositories_are_what_git_expects(tmp_path: Path) -> None:
    GitRepository.create(tmp_path / "made.git", {"a": b"b"}, "ann").close()
    git = Git(tmp_path / "made.git")
    assert git("config", "core.fsync").stdout == "all\n"
    git("fsck", "--strict")
