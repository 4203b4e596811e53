"""git's own programs, run for somebody at the other end of a connection: how they start, are fed, and end.

Knows processes and git's packets. Refuses to know HTTP, and what a push must keep to: that is `pre_receive`, which git
runs before it moves a reference. Without git on this machine there is no clone and no push, and all else works.
"""

import asyncio
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path

from embedhub.errors import HubContentError, HubError, NotOfferedError, OverloadedError
from embedhub.hub.locks import at_work
from embedhub.hub.pre_receive import Push
from embedhub.storage import storage_errors, sync, whole_file

_PIECE = 1 << 18

# How many of each run at once, and how long somebody waits for one to end.
_AT_ONCE = {"upload-pack": 16, "receive-pack": 8}
_WAIT_SECONDS = 30.0

# git cleans up behind itself when it is asked to end.
_END_SECONDS = 5.0

# What a process may take beside the files that it maps: a delta can claim any size.
_MEMORY_BYTES = 2 << 30

_SHOWN_ERROR = 4096

# A line for each reference that was pushed.
_LONGEST_REPORT = 4 << 20

# Given on the command line, so to say: stronger than what stands in the repository.
_SETTINGS = {
    # Backups may have been brought back by another user.
    "safe.directory": "*",
    # Larger files are neither compared with others, which takes seconds for each at every clone, nor held in memory.
    "core.bigFileThreshold": "1m",
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "256m",
    "core.deltaBaseCacheLimit": "64m",
    "core.filesRefLockTimeout": "5000",
    # A clone is packed anew each time, beside models that want the same cores.
    "pack.compression": "1",
    "pack.windowMemory": "64m",
    "pack.threads": "2",
}

# What it complains of when it is fed what is not its protocol.
_NOT_UNDERSTOOD = "protocol error"

# The side band of progress and complaints.
_FOR_PEOPLE = 2

_HOOK = """#!/bin/sh
exec "$EMBEDHUB_PYTHON" -S -P -m embedhub.hub.pre_receive "$EMBEDHUB_PUSH"
"""


class Service(StrEnum):
    """What git is asked for: to give objects, or to take them."""

    UPLOAD = "upload-pack"
    RECEIVE = "receive-pack"


class Transport:
    """Starts git's programs, a bounded number at once.

    Args:
        folder: for what they are given beside a repository; made when the first push comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots = {service: asyncio.Semaphore(_AT_ONCE[service]) for service in Service}

    @asynccontextmanager
    async def session(
        self,
        service: Service,
        repository: Path,
        *,
        protocol: str = "",
        advertise: bool = False,
        push: Push | None = None,
        most_bytes: int = 0,
    ) -> AsyncIterator["Session"]:
        """A program at work on a repository; it ends with the block, whatever it was doing.

        Args:
            service: what it does.
            repository: folder of the bare repository.
            protocol: what the client says of the protocol's version.
            advertise: only say which references there are.
            push: who pushes; needed for references to be moved.
            most_bytes: that a push may have, as it is sent; 0 does not limit it.

        Raises:
            NotOfferedError: git is not installed.
            OverloadedError: too many are at work.
            HubError: pushes cannot be checked here.
        """
        git = shutil.which("git")
        if git is None:
            raise NotOfferedError("this server has no git command, which clone and push need; the API works without")
        hooks = "/dev/null"
        if push is not None:
            hooks = str(await asyncio.to_thread(self._hooks))
        arguments = [git, str(service), "--stateless-rpc", *(["--advertise-refs"] if advertise else []), "."]
        slot = self._slots[service]
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await slot.acquire()
        except TimeoutError as error:
            raise OverloadedError("too many clones or pushes at once; try again", retry_after=5) from error
        takes = service is Service.RECEIVE and not advertise
        with ExitStack() as stack:
            stack.callback(slot.release)
            # Should this server be killed, another that clears away what is locked still sees that a push is at work.
            held = [await asyncio.to_thread(stack.enter_context, at_work(repository))] if takes else []
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=repository,
                env=self._environment(git, hooks, protocol, push, most_bytes),
                # Its children end with it.
                start_new_session=True,
                pass_fds=held,
                limit=_PIECE,
            )
            session = Session(process, repository, takes=takes)
            try:
                _limit_memory(process.pid)
                yield session
            finally:
                await session.end()

    def _hooks(self) -> Path:
        """The folder of the program that checks pushes, which is made if it is not there."""
        hook = self._folder / "hooks" / "pre-receive"
        if not hook.is_file() or hook.read_text() != _HOOK:
            with storage_errors("the disk is full; nothing was pushed", (HubError, f"{hook} cannot be written")):
                hook.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(hook) as file:
                    file.write(_HOOK.encode())
                    os.fchmod(file.fileno(), 0o755)
        # git would pass over it without a word.
        if not os.access(hook, os.X_OK):
            raise HubError(f"{hook} cannot be executed, so no push can be checked: is its file system mounted noexec?")
        return hook.parent

    def _environment(self, git: str, hooks: str, protocol: str, push: Push | None, most_bytes: int) -> dict[str, str]:
        """All that it knows of the world: nobody's settings but ours."""
        settings = _SETTINGS | {"core.hooksPath": hooks, "receive.maxInputSize": str(most_bytes)}
        made = {
            "PATH": os.pathsep.join([str(Path(git).parent), os.defpath]),
            "HOME": str(self._folder),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for position, (name, value) in enumerate(settings.items()):
            made |= {f"GIT_CONFIG_KEY_{position}": name, f"GIT_CONFIG_VALUE_{position}": value}
        if protocol:
            made["GIT_PROTOCOL"] = protocol
        if push is not None:
            made["EMBEDHUB_PUSH"] = str(push)
            made["EMBEDHUB_PYTHON"] = sys.executable
            made["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return made


class Session:
    """One of git's programs at work. `Transport.session` makes it.

    Args:
        process: the program.
        repository: folder that it works on.
        takes: whether it takes objects and moves references: then its last words say that something is kept for ever.
    """

    def __init__(self, process: asyncio.subprocess.Process, repository: Path, *, takes: bool) -> None:
        self._process = process
        self._repository = repository
        self._takes = takes
        self._report = _Report() if takes else None
        self._started_at = time.time()
        self._stderr = b""
        self._listening = asyncio.create_task(self._listen())

    async def write(self, piece: bytes) -> None:
        """Feed it; returns when it can take more. What a program that has ended is fed is lost."""
        assert self._process.stdin is not None
        if self._process.stdin.is_closing():
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(piece)
            await self._process.stdin.drain()

    def close_input(self) -> None:
        """All was fed."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def output(self) -> AsyncIterator[bytes]:
        """What it says, in pieces, until it ends. That references were moved is said once the disk has it.

        Raises:
            HubContentError: it was fed what is not its protocol.
            HubError: it failed without a word to the client.
            OSError: the disk refuses.
        """
        assert self._process.stdout is not None
        silent = True
        while piece := await self._process.stdout.read(_PIECE):
            silent = False
            passed = piece if self._report is None else self._report.passed(piece)
            if passed:
                yield passed
        status = await self._process.wait()
        await self._listening
        if silent and status != 0:
            told = self._stderr.decode(errors="replace")
            if _NOT_UNDERSTOOD in told:
                raise HubContentError(f"git does not understand what was sent: {told}")
            raise HubError(f"git failed (status {status}): {told or 'no reason'}")
        if self._report is not None and self._report.held:
            await asyncio.to_thread(sync_changed, self._repository, self._started_at)
            yield bytes(self._report.held)

    def stop(self) -> None:
        """Tell it to end; what it has not finished is as if it had never begun."""
        self.close_input()
        # One that takes objects and is told that no more come removes what it has; a signal to it and to those who work
        # for it at once leaves that behind.
        if not self._takes:
            self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """See that it has ended, with all its children."""
        try:
            for stronger in (signal.SIGTERM, signal.SIGKILL):
                if self._process.returncode is not None:
                    break
                self.stop()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_END_SECONDS):
                        await self._drained()
                        break
                self._signal(stronger)
            await self._drained()
        except BaseException:
            self._signal(signal.SIGKILL)
            raise
        finally:
            self._listening.cancel()

    async def _drained(self) -> None:
        assert self._process.stdout is not None
        self.close_input()
        # A pipe that is not read to its end stays open.
        while await self._process.stdout.read(_PIECE):
            pass
        await self._process.wait()
        with suppress(asyncio.CancelledError):
            await self._listening

    async def _listen(self) -> None:
        """Read what it complains of, lest it wait for that; the end of it is kept."""
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(_SHOWN_ERROR):
            self._stderr = (self._stderr + piece)[-_SHOWN_ERROR:]

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)


class _Report:
    """Holds back what receive-pack says of references, and lets pass what it says while it works.

    git's packets: four hexadecimal digits of length (their own included), then the number of a side band.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self._begun = False

    def passed(self, piece: bytes) -> bytes:
        """What may be said at once."""
        self.held += piece
        at = 0
        while not self._begun and len(self.held) > at + 4:
            length = int(self.held[at : at + 4], 16)
            self._begun = length < 5 or self.held[at + 4] != _FOR_PEOPLE
            if self._begun or len(self.held) < at + length:
                break
            at += length
        let_through = bytes(self.held[:at])
        del self.held[:at]
        if len(self.held) > _LONGEST_REPORT:
            raise HubError("git said more of a push than there is to say")
        return let_through


def sync_changed(repository: Path, since: float) -> None:
    """Put the names of what changed in a bare repository on the disk; git has done so with the contents.

    Args:
        repository: its folder.
        since: seconds since 1970.

    Raises:
        OSError: the disk refuses.
    """
    folders = [repository, repository / "objects", *(repository / "objects").iterdir(), repository / "refs"]
    folders += (path for path in (repository / "refs").rglob("*") if path.is_dir())
    for folder in folders:
        with suppress(FileNotFoundError):
            # Clocks of file systems are a little behind.
            if folder.is_dir() and folder.stat().st_mtime >= since - 2:
                sync(folder)


def _limit_memory(process: int) -> None:
    # Only Linux can limit another process.
    if hasattr(resource, "prlimit"):
        with suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(process, resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
