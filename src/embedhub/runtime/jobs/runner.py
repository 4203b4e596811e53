"""Does jobs: one process each, a few at once, in the order in which they were started; then hosts what came out.

Knows processes, and what becomes of a job when one ends, is ended or never comes back. Refuses to know what they do
(`work`). A server that is killed takes its processes along; the next one goes on with the same jobs.
"""

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from embedhub.config import Settings
from embedhub.errors import EmbedhubError, InputFormatError, JobError, RequestTimeoutError
from embedhub.hub.access import Actor
from embedhub.hub.hosting import Hub
from embedhub.runtime.jobs.publishing import Publication, publish
from embedhub.runtime.jobs.records import Job, Order, Outcome, Preview, State
from embedhub.runtime.jobs.store import Jobs

logger = logging.getLogger(__name__)

# What another server on this home has queued, or left behind, is noticed after so long.
_LOOK_SECONDS = 1.0

# How soon a process that is to end is ended.
_WATCH_SECONDS = 0.2

_FORGET_EVERY_SECONDS = 3600.0

# Files that are looked into at once.
_LOOKS = 2

Charge = Callable[[str, int], object]


class _EndedError(Exception):
    """The process was ended, because the job was cancelled or the server stops."""


class JobRunner:
    """Does the jobs of a home.

    Attributes:
        jobs: those that are done.

    Args:
        jobs: of the home.
        hub: of the same home.
        config: the settings.
        shard_rows: rows in a file of a dataset.
    """

    def __init__(self, jobs: Jobs, hub: Hub, config: Settings, shard_rows: int = 10_000) -> None:
        self._shard_rows = shard_rows
        self.jobs = jobs
        self._hub = hub
        self._config = config
        self._charge: Charge = _nothing
        self._threads: list[threading.Thread] = []
        self._wake = threading.Event()
        self._looks = threading.Semaphore(_LOOKS)
        self._closing = threading.Event()
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether the server is about to end, so that nobody should go on watching."""
        return self._stopping.is_set()

    def stop_watching(self) -> None:
        """The server is about to end."""
        self._stopping.set()

    def start(self, charge: Charge | None = None) -> None:
        """Begin to do jobs.

        Args:
            charge: told of tokens as they are computed, with the job's `payer`.
        """
        self._charge = charge or _nothing
        for number in range(self._config.jobs):
            thread = threading.Thread(target=self._work, args=(number == 0,), name=f"jobs-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """End the processes; their jobs go on when a server starts again."""
        self._stopping.set()
        self._closing.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """Look for jobs at once."""
        self._wake.set()

    def look(self, job: Job) -> Preview:
        """What is in a job's file; read once, in a process of its own.

        Raises:
            JobError: it has no file.
            InputError: the file is at fault; the job has failed then.
            RequestTimeoutError: it takes too long.
        """
        found = self.jobs.preview(job.id)
        if found is not None:
            return found
        if not job.filename or job.state not in (State.READY, State.FAILED):
            raise JobError(f"the job is {job.state}: there is no file to look into")
        with self._looks:
            deadline = time.monotonic() + self._config.answer_seconds
            self.jobs.remove(job.id, "looked.json")
            with self._process(job, "look", ()) as process:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_WATCH_SECONDS)
                    if time.monotonic() > deadline or self._closing.is_set():
                        raise RequestTimeoutError("reading the file takes too long: send it as Parquet, or in parts")
        found = self.jobs.preview(job.id)
        if found is not None:
            return found
        outcome = self.jobs.looked(job.id) or _died(process.returncode)
        self.jobs.fail_preview(job, outcome.code, outcome.error)
        raise InputFormatError(outcome.error)

    # -- in threads

    def _work(self, tidies: bool) -> None:
        forgotten_at = float("-inf")
        while not self._closing.is_set():
            try:
                if tidies and time.monotonic() - forgotten_at > _FORGET_EVERY_SECONDS:
                    forgotten_at = time.monotonic()
                    self.jobs.forget_old()
                if self._next():
                    continue
            except Exception:
                # Of one job; the others are to be done all the same.
                logger.exception("a job: a bug")
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def _next(self) -> bool:
        """Do the first job that nobody is doing; gives whether there was one."""
        for waiting in self.jobs.waiting():
            with self.jobs.doing(waiting) as descriptor:
                job = self.jobs.read(waiting.id)
                if descriptor is None or job is None or not job.state.active:
                    continue
                self._do(job, descriptor)
                return True
        return False

    def _do(self, job: Job, descriptor: int) -> None:
        began = time.monotonic()
        try:
            outcome = self.jobs.outcome(job.id)
            if outcome is None:
                job = self.jobs.advance(job, State.RUNNING)
                outcome = self._embedded(job, descriptor)
            if outcome.code:
                self.jobs.advance(job, State.FAILED, code=outcome.code, error=outcome.error)
                return
            if self.jobs.is_cancelled(job.id):
                raise _EndedError
            since = job.publishing_since or time.time()
            job = self.jobs.advance(job, State.PUBLISHING, publishing_since=since)
            commit = self._published(job)
            self.jobs.advance(job, State.DONE, rows=outcome.rows, commit=commit)
            logger.info("%s: %d rows embedded in %.1f s", job.dataset, outcome.rows, time.monotonic() - began)
        except _EndedError:
            if self.jobs.is_cancelled(job.id):
                self.jobs.advance(job, State.CANCELLED)
        except EmbedhubError as error:
            self.jobs.advance(job, State.FAILED, code=error.code, error=" ".join(str(error).split()))
        except Exception:
            self.jobs.advance(job, State.FAILED, code="error", error="a bug: the server's log tells more")
            raise

    def _embedded(self, job: Job, descriptor: int) -> Outcome:
        charged = 0
        with self._process(job, "embed", (descriptor,)) as process:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_WATCH_SECONDS)
                tokens = self.jobs.progress(job.id).tokens
                if tokens > charged and job.payer:
                    self._charge(job.payer, tokens - charged)
                    charged = tokens
                if process.returncode is not None:
                    return self.jobs.outcome(job.id) or _died(process.returncode)
                if self._closing.is_set() or self.jobs.is_cancelled(job.id):
                    raise _EndedError

    def _published(self, job: Job) -> str:
        actor = Actor(job.user, job.scope, self._hub.organisations.roles(job.user))
        wanted = Publication(
            folder=self.jobs.output(job),
            id=job.dataset,
            private=job.private,
            message=f"Embed {job.filename} with {job.model.rpartition('/')[2]}",
            since=job.publishing_since,
        )
        return publish(self._hub, actor, wanted)

    @contextmanager
    def _process(self, job: Job, kind: str, inherited: tuple[int, ...]) -> Iterator["subprocess.Popen[bytes]"]:
        """A process at work; it is gone when the block ends."""
        folder = self.jobs.folder(job.id)
        order = Order(kind, folder, self.jobs.input(job), self.jobs.output(job), job, self._config, self._shard_rows)
        # -P: a folder that the server happens to be started in is none to import from.
        command = [sys.executable, "-P", "-m", "embedhub.runtime.jobs.work"]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, pass_fds=inherited
            )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(order))
                process.stdin.flush()
            yield process
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()


def _died(status: int) -> Outcome:
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return Outcome(
        code="computation",
        error=f"the job's process ended with {how}, perhaps for want of memory; started again, the job continues",
    )


def _nothing(payer: str, tokens: int) -> None:
    del payer, tokens
