"""Jobs: files that people sent, on their way to a hosted dataset; what is known of each lies in a folder of its own.

Knows states, folders and who may see what. Refuses to know HTTP, and how a job is done (`runner`, `work`). A
reload, another server on this home and a killed one all find the same, because nothing is kept in memory.
"""

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from embedhub.config import Settings
from embedhub.errors import (
    HubConflictError,
    InputFormatError,
    JobError,
    JobNotFoundError,
    OverloadedError,
    RepositoryNotFoundError,
    RequestTooLargeError,
    StorageFullError,
    UnauthorizedError,
)
from embedhub.hub.access import Actor, demand_namespace
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind, check_namespace, repository_name
from embedhub.hub.staging import Piece, StagedFile, Staging, hub_storage_errors
from embedhub.runtime.jobs.folders import JobFolders
from embedhub.runtime.jobs.records import (
    Choices,
    Job,
    ModelChoice,
    State,
    check_format,
    name_of,
    safe_filename,
    with_choices,
)

FOLDER = "jobs"

_ID = re.compile(r"[0-9a-f]{16}")

# How long a job is kept that nobody does anything with.
KEPT_SECONDS = 7 * 86_400

# Of one user: jobs that are not at their end, those that are, and files together, in the size one may have.
_MOST_OPEN = 10
_MOST_ENDED = 50
_MOST_FILES = 4

# A folder without a job in it, so old, belongs to nobody.
_TORN_SECONDS = 3600.0

# A vector is kept twice for a while, in the job and in the Hub.
_COPIES = 2


class Jobs(JobFolders):
    """The jobs under a home. Any number of threads and processes may use it.

    Args:
        hub: of the same home; knows which datasets there are.
        config: the settings.
    """

    def __init__(self, hub: Hub, config: Settings) -> None:
        super().__init__(config.home / FOLDER)
        self._hub = hub
        self._largest = config.max_upload_mb << 20
        self._staging = Staging(self.root / "tmp")

    # -- finding

    def find(self, actor: Actor, id: str) -> Job:
        """The job, if it is theirs, or they administer the Hub.

        Raises:
            JobNotFoundError: it is neither.
        """
        job = self.read(id) if _ID.fullmatch(id) else None
        if job is None or not (actor.is_administrator or (actor.user and actor.user == job.user)):
            raise JobNotFoundError(f"there is no job {id:.40}, or it is another's; jobs are forgotten after a week")
        return job

    def of(self, actor: Actor) -> list[Job]:
        """Somebody's jobs, newest first; everybody's for who administers the Hub."""
        jobs = [job for job in self.all() if actor.is_administrator or (actor.user and job.user == actor.user)]
        return sorted(jobs, key=lambda job: job.created_at, reverse=True)

    # -- before the start

    def create(self, actor: Actor, payer: str, choices: Choices) -> Job:
        """A new job that waits for its file.

        Raises:
            UnauthorizedError: nobody's.
            OverloadedError: they have too many.
        """
        if not actor.user:
            raise UnauthorizedError("a token is needed: it says in whose name this is")
        mine = [job for job in self.all() if job.user == actor.user]
        self._forget_ended([job for job in mine if job.state.ended])
        if sum(not job.state.ended for job in mine) >= _MOST_OPEN:
            raise OverloadedError(f"you have {_MOST_OPEN} jobs that are not at their end: wait, or cancel one")
        now = time.time()
        job = Job(
            id=secrets.token_hex(8), user=actor.user, scope=actor.scope, payer=payer, created_at=now, changed_at=now
        )
        job = with_choices(job, choices)
        with hub_storage_errors():
            self.folder(job.id).mkdir(mode=0o700, parents=True)
        self.write(job)
        return job

    def receive(self, job: Job, filename: str, size: int | None) -> "Upload":
        """Begin to receive a job's file.

        Args:
            job: which.
            filename: what its owner calls it.
            size: in bytes, if it was announced.

        Raises:
            JobError: the job has begun, or is over.
            RequestTooLargeError: that is more than may be sent, or than one may have here.
            InputFormatError: the name says no format, and nothing else does.
            StorageFullError: there is no space for it.
        """
        _demand_state(job, State.WAITING, State.READY, State.FAILED)
        name = safe_filename(filename)
        check_format(name, job.format)
        others = sum(each.size for each in self.all() if each.user == job.user and each.id != job.id)
        if others + (size or 0) > _MOST_FILES * self._largest:
            raise RequestTooLargeError("the files of your jobs are too many: cancel one, or remove those that failed")
        self.check_size(size or 0)
        return Upload(self, job, name, self._staging.begin(size))

    def check_size(self, size: int) -> None:
        """Refuse more bytes than a file may have."""
        if size > self._largest:
            raise RequestTooLargeError(
                f"a file has {self._largest >> 20} MB at most (EMBEDHUB_MAX_UPLOAD_MB): split it, or use "
                "`embedhub embed` and `embedhub push`"
            )

    def take(self, job: Job, name: str, staged: StagedFile) -> Job:
        """Give a job the file that was received."""
        folder = self.folder(job.id)
        with self.changing(job.id) as now:
            _demand_state(now, State.WAITING, State.READY, State.FAILED)
            self.drop_files(job.id)
            staged.keep(folder / "input" / name, folder)
            made = _in_state(now, State.READY, filename=name, size=staged.size)
            self.write(made)
        return made

    def start(self, actor: Actor, job: Job, choices: Choices, model: ModelChoice) -> Job:
        """Queue a job.

        Raises:
            JobError: it has no file, has begun, or is over.
            HubNameError: an impossible name.
            HubConflictError: there is a dataset of that name, or about to be.
            UnauthorizedError: a token may help.
            ForbiddenError: not in that namespace.
            StorageFullError: there is no space for the vectors.
        """
        with self.changing(job.id) as now:
            _demand_state(now, State.READY, State.FAILED)
            if not now.filename:
                raise JobError("the job has no file yet: send it first")
            wanted = with_choices(now, choices)
            check_format(wanted.filename, wanted.format)
            dataset = self._free_name(actor, wanted)
            preview = self.preview(job.id)
            if preview is not None:
                self._check_space(preview.rows * model.dimensions * 4 * _COPIES)
            self._rename_output(now, dataset)
            self.remove(job.id, "outcome.json", "progress.json", "cancel")
            made = msgspec.structs.replace(
                _in_state(wanted, State.QUEUED),
                dataset=dataset,
                queued_at=time.time(),
                model=model.name,
                model_source=model.source,
                model_revision=model.revision,
                scope=actor.scope,
                publishing_since=0.0,
            )
            self.write(made)
        return made

    def fail_preview(self, job: Job, code: str, error: str) -> None:
        """Say that a job's file is no use."""
        with self.changing(job.id) as now:
            if now.state is State.READY:
                self.write(_in_state(now, State.FAILED, code=code, error=error))

    # -- after it

    def cancel(self, job: Job) -> Job | None:
        """End a job; one that is at its end, or was never started, is forgotten. Gives the job, None once it is.

        One that is being done ends within a moment; until then its state stays what it is.
        """
        with self.changing(job.id) as now:
            if not now.state.active:
                self.forget(now.id)
                return None
            if now.state in (State.RUNNING, State.PUBLISHING):
                with hub_storage_errors():
                    (self.folder(job.id) / "cancel").touch()
                return now
            return self._end_cancelled(now)

    def is_cancelled(self, id: str) -> bool:
        """Whether somebody wants it to end."""
        return (self.folder(id) / "cancel").exists()

    def waiting(self) -> list[Job]:
        """Jobs that are to be done, or to be gone on with, oldest first."""
        return sorted((job for job in self.all() if job.state.active), key=lambda job: job.queued_at)

    def ahead(self, job: Job) -> int:
        """How many of them come before a job."""
        return sum(each.queued_at < job.queued_at for each in self.waiting())

    def advance(self, job: Job, state: State, **changes: Any) -> Job:
        """Bring a job that is being done into another state; at its end go the files that nobody needs any more."""
        with self.changing(job.id) as now:
            if state is State.CANCELLED:
                return self._end_cancelled(now)
            if state is State.DONE:
                self.drop_files(job.id)
                changes["size"] = 0
            made = _in_state(now, state, **changes)
            self.write(made)
            if state.ended:
                self.remove(job.id, "cancel")
        return made

    def forget_old(self) -> int:
        """Forget jobs that nobody has done anything with for a week, and what dead processes left; gives how many."""
        if not self.root.is_dir():
            return 0
        self._staging.clean()
        before = time.time() - KEPT_SECONDS
        old = [job for job in self.all() if not job.state.active and job.changed_at < before]
        for job in old:
            self.forget(job.id)
        for folder in self.root.iterdir():
            # Of a job that was being made, or forgotten, when its process died.
            if _ID.fullmatch(folder.name) and not (folder / "job.json").exists() and _age(folder) > _TORN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    # -- files

    def _free_name(self, actor: Actor, job: Job) -> str:
        name = job.dataset or name_of(job.filename)
        id = name if "/" in name else f"{actor.user}/{name}"
        wanted = repository_name(Kind.DATASET, id)
        check_namespace(wanted.namespace)
        demand_namespace(actor, wanted.namespace)
        with suppress(RepositoryNotFoundError):
            found = self._hub.repositories.find(Kind.DATASET, id)
            # Not where it only had that name before.
            if found.id.lower() == id.lower():
                raise HubConflictError(f"there is a dataset {found.id}: choose another name")
        if any(each.dataset.lower() == id.lower() and each.id != job.id for each in self.waiting()):
            raise HubConflictError(f"another job is about to make {id}: choose another name")
        return id

    def _check_space(self, size: int) -> None:
        with hub_storage_errors():
            if shutil.disk_usage(self.root).free < size:
                raise StorageFullError(f"the vectors need {size >> 20} MB on the server's disk, and it has fewer")

    def _rename_output(self, job: Job, dataset: str) -> None:
        """Go on with what is there, under another name."""
        name = dataset.rpartition("/")[2]
        if not job.dataset or job.dataset.rpartition("/")[2] == name:
            return
        before = self.output(job)
        if before.is_dir():
            with hub_storage_errors():
                # It bears the name.
                (before / "README.md").unlink(missing_ok=True)
                before.rename(before.with_name(name))

    def _end_cancelled(self, job: Job) -> Job:
        self.drop_files(job.id)
        made = _in_state(job, State.CANCELLED, size=0)
        self.write(made)
        self.remove(job.id, "cancel")
        return made

    def _forget_ended(self, jobs: list[Job]) -> None:
        for job in sorted(jobs, key=lambda job: job.changed_at, reverse=True)[_MOST_ENDED - 1 :]:
            self.forget(job.id)


class Upload:
    """A job's file that is being received."""

    def __init__(self, jobs: Jobs, job: Job, name: str, staged: StagedFile) -> None:
        self._jobs = jobs
        self._job = job
        self._name = name
        self._staged = staged

    def write(self, piece: Piece) -> None:
        """Add bytes.

        Raises:
            RequestTooLargeError: more than a file may have.
            StorageFullError: no space left.
        """
        self._jobs.check_size(self._staged.size + len(piece))
        self._staged.write(piece)

    def finish(self) -> Job:
        """The job with its file; errors as of `Jobs.take`."""
        if not self._staged.size:
            raise InputFormatError(f"{self._name} is empty")
        return self._jobs.take(self._job, self._name, self._staged)

    def abort(self) -> None:
        """Keep nothing; after `finish`, nothing happens."""
        self._staged.discard()


def _age(folder: Path) -> float:
    with suppress(FileNotFoundError):
        return time.time() - folder.stat().st_mtime
    return 0.0


def _in_state(job: Job, state: State, **changes: Any) -> Job:
    told = {"code": "", "error": ""} | changes
    return msgspec.structs.replace(job, state=state, changed_at=time.time(), **told)


def _demand_state(job: Job, *states: State) -> None:
    if job.state not in states:
        raise JobError(f"the job is {job.state}, and that is for one that is {' or '.join(states)}")
