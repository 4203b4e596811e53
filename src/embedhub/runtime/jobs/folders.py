"""The folder of each job: files that are whole or not there, and locks that end with the process that holds them.

Knows names of files. Refuses to know what may follow upon what.

    jobs/<id>/job.json         what was asked for, and the state; whole or not there
    jobs/<id>/lock, running    held for a moment by who changes it; for as long as it takes by who does it
    jobs/<id>/input/NAME       the file
    jobs/<id>/preview.json     what is in it, once somebody looked; looked.json: how that ended
    jobs/<id>/out/NAME         the dataset, as `embedhub embed` makes it
    jobs/<id>/progress.json    how far that is; outcome.json: how it ended; log: what its process said
    jobs/<id>/cancel           somebody wants it to end
    jobs/tmp                   files that are being received
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from embedhub.errors import JobNotFoundError
from embedhub.hub.staging import hub_storage_errors
from embedhub.runtime.jobs.records import Job, JobProgress, Outcome, Preview
from embedhub.storage import whole_file

_T = TypeVar("_T")


class JobFolders:
    """The folders under a root. Any number of threads and processes may use them.

    Args:
        root: holds them; made when the first job is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, id: str) -> Path:
        """Where a job lies."""
        return self.root / id

    def all(self) -> list[Job]:
        """Every job."""
        found = (self.read(path.parent.name) for path in self.root.glob("*/job.json"))
        return [job for job in found if job is not None]

    def read(self, id: str) -> Job | None:
        """A job as it is now, if it is there."""
        return self._read(id, "job.json", Job)

    def progress(self, id: str) -> JobProgress:
        """How far its embedding is."""
        return self._read(id, "progress.json", JobProgress) or JobProgress()

    def preview(self, id: str) -> Preview | None:
        """What is in its file, if somebody has looked."""
        return self._read(id, "preview.json", Preview)

    def looked(self, id: str) -> Outcome | None:
        """How looking into its file ended."""
        return self._read(id, "looked.json", Outcome)

    def outcome(self, id: str) -> Outcome | None:
        """How its embedding ended, if its process has told."""
        return self._read(id, "outcome.json", Outcome)

    def input(self, job: Job) -> Path:
        """The file of a job."""
        return self.folder(job.id) / "input" / job.filename

    def output(self, job: Job) -> Path:
        """The folder that becomes its dataset; named so because a card bears its folder's name."""
        return self.folder(job.id) / "out" / job.dataset.rpartition("/")[2]

    @contextmanager
    def doing(self, job: Job) -> Iterator[int | None]:
        """Be the only one who does a job; gives None if somebody is, else a descriptor that its process inherits.

        A process that lives on when its server was killed is still doing it.
        """
        try:
            descriptor = os.open(self.folder(job.id) / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def changing(self, id: str) -> Iterator[Job]:
        """The job as it is now, and nobody else who changes it.

        Raises:
            JobNotFoundError: it is not there any more.
        """
        try:
            descriptor = os.open(self.folder(id) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise JobNotFoundError(f"there is no job {id:.40} any more") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = self.read(id)
            if now is None:
                raise JobNotFoundError(f"there is no job {id:.40} any more")
            yield now
        finally:
            os.close(descriptor)

    def write(self, job: Job) -> None:
        """Write a job down; whoever changes one does so inside `changing`."""
        with hub_storage_errors(), whole_file(self.folder(job.id) / "job.json") as file:
            file.write(msgspec.json.encode(job))

    def _read(self, id: str, name: str, type: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode((self.folder(id) / name).read_bytes(), type=type)
        except (OSError, msgspec.MsgspecError):
            return None

    def drop_files(self, id: str) -> None:
        """Remove the file, and all that was made of it."""
        self.remove(id, "preview.json", "looked.json", "progress.json", "outcome.json")
        for name in ("input", "out"):
            shutil.rmtree(self.folder(id) / name, ignore_errors=True)

    def remove(self, id: str, *names: str) -> None:
        """Remove some of its files."""
        with hub_storage_errors():
            for name in names:
                (self.folder(id) / name).unlink(missing_ok=True)

    def forget(self, id: str) -> None:
        """Remove it."""
        # First what makes it a job: what is left of a folder when this process dies is none.
        self.remove(id, "job.json")
        shutil.rmtree(self.folder(id), ignore_errors=True)
