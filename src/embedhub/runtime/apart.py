"""Functions that run in a process of their own, whose memory and time are limited: for files of strangers.

A few kilobytes of Parquet, gzip or JSON stand for more memory than there is, and some files end whatever reads them.
Here they end a process that nobody misses. Knows processes, limits, and what it means that one ended. Refuses to know
what they run.

`python -m embedhub.runtime.apart N` is the process: it takes functions and their arguments from the connection whose
file descriptor is N, and gives back what comes of them.
"""

import os
import resource
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import pyarrow as pa

from embedhub.errors import DatasetError, EmbedhubError, OverloadedError

_Result = TypeVar("_Result")

# Beside what it maps of files. A row group of the usual size takes a tenth of it.
MEMORY_BYTES = 2 << 30

# For a file of a gigabyte; who looks at a page does not wait for longer.
SECONDS = 120.0

# Processes at once; they stay until the server ends.
_MOST = 2

# Less urgent than requests to models.
_NICE = 5

# Each has a stack, which counts.
_THREADS = 2


class Apart:
    """Runs functions in processes of their own. Threads may share it.

    Args:
        memory_bytes: what a process may take.
        seconds: how long a function may take.
    """

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS) -> None:
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._slots = threading.Semaphore(_MOST)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._closed = False

    def run(self, name: str, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """What the function gives; function, arguments and result go through pickle.

        Args:
            name: of what is read, for messages.
            function: of a module.
            arguments: of the function.

        Raises:
            DatasetError: the process ended, or took too long.
            OverloadedError: others take too long.
            Exception: whatever the function raised.
        """
        if not self._slots.acquire(timeout=self._seconds):
            raise OverloadedError("too many files are being read at once; try again", retry_after=5)
        try:
            worker = self._idle_worker() or _Worker(self._memory_bytes)
            try:
                failed, result = worker.ask(name, function, arguments, self._seconds)
            except BaseException:
                worker.end()
                raise
            if failed:
                # Most of what it may take may be taken.
                worker.end()
                raise result
            with self._lock:
                self._idle.append(worker)
                closed = self._closed
        finally:
            self._slots.release()
        if closed:
            self.close()
        return result  # type: ignore[no-any-return]

    def _idle_worker(self) -> "_Worker | None":
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                # The system may have ended one that did nothing.
                if worker.is_alive:
                    return worker
                worker.end()
        return None

    def close(self) -> None:
        """End the processes; those at work end with their work."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()


class _Worker:
    """A process, and the connection to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            # -P: a folder that the server happens to be started in is none to import from.
            command = [sys.executable, "-P", "-m", "embedhub.runtime.apart", str(number), str(memory_bytes)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number])

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float
    ) -> tuple[bool, Any]:
        """Whether it failed, and the result or the exception."""
        try:
            self._connection.send((name, function, arguments))
            if not self._connection.poll(seconds):
                raise DatasetError(f"{name} takes more than {seconds:.0f} s to be read: keep it in smaller files")
            answer: tuple[bool, Any] = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise DatasetError(
                f"{name} cannot be read: it is broken, or unfolds to more than this server reads"
            ) from error
        return answer

    def end(self) -> None:
        """See that it has ended."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


def main() -> None:
    """Do what is asked until the other end is gone."""
    number, memory_bytes = map(int, sys.argv[1:])
    os.nice(_NICE)
    # macOS knows the limit and does not keep it.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # A process that is ended by a file is no reason for a dump of its memory.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pa.set_cpu_count(_THREADS)
    pa.set_io_thread_count(_THREADS)
    # pyarrow's own takes more than it uses.
    pa.set_memory_pool(pa.system_memory_pool())
    connection: Connection[Any, Any] = Connection(number)
    while True:
        try:
            name, function, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return
        answer = _tried(name, function, arguments)
        with suppress(BrokenPipeError):
            connection.send(answer)


def _tried(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return False, function(*arguments)
    except MemoryError:
        return True, DatasetError(f"{name} unfolds to more memory than this server gives to a file")
    except (EmbedhubError, OSError) as error:
        return True, error
    except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
        traceback.print_exc()
        return True, error


if __name__ == "__main__":
    main()
