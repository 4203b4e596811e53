"""What is known of a job, and which names and formats are taken: plain data, pure.

Knows states and fields. Refuses to know where they are kept.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from embedhub.config import Settings
from embedhub.datasets.source import SUFFIXES
from embedhub.errors import InputFormatError, JobError

# A character takes four bytes at most, and a name 255.
_LONGEST_FILENAME = 60
_LONGEST_SUFFIX = 20


class State(StrEnum):
    """How far a job is."""

    WAITING = "waiting"  # for its file
    READY = "ready"  # to be started
    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHING = "publishing"
    DONE = "done"
    FAILED = "failed"  # may be started again
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def active(self) -> bool:
        """Whether it is being done, or about to be."""
        return self in (State.QUEUED, State.RUNNING, State.PUBLISHING)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job.

    Attributes:
        id: 16 hexadecimal digits.
        user: who made it.
        scope: of the token that it was started with.
        payer: whose daily allowance its tokens count in, as `server.quota` calls them.
        state: how far it is.
        created_at: seconds since 1970.
        changed_at: when it last came into another state.
        queued_at: when it was started.
        filename: the file's name; empty while there is none.
        size: of the file, in bytes.
        format: of the file, where its name does not say.
        dataset: `namespace/name` of the dataset that it makes.
        column: with the texts; None takes the only one.
        on_error: what is done with a row without a text: fail, skip or null.
        private: of the dataset; None leaves that to its namespace.
        model: name of the model.
        model_source: where that is, of `ModelSpec.source`.
        model_revision: of it, if it has any.
        publishing_since: when the dataset was about to be hosted.
        rows: of the dataset, once it is done.
        commit: of the dataset, once it is done.
        code: of what went wrong, of `errors`.
        error: what went wrong, in one line.
    """

    id: str
    user: str
    scope: str = "write"
    payer: str = ""
    state: State = State.WAITING
    created_at: float = 0.0
    changed_at: float = 0.0
    queued_at: float = 0.0
    filename: str = ""
    size: int = 0
    format: str | None = None
    dataset: str = ""
    column: str | None = None
    on_error: str = "fail"
    private: bool | None = None
    model: str = ""
    model_source: str = ""
    model_revision: str | None = None
    publishing_since: float = 0.0
    rows: int = 0
    commit: str = ""
    code: str = ""
    error: str = ""


class JobProgress(msgspec.Struct, frozen=True):
    """How far the embedding is; times in seconds.

    Attributes:
        stage: `reading` the file, `loading` the model or `embedding`.
        rows_done: rows that have their vector.
        rows_total: rows in all; 0 before that is known.
        tokens: that this run has read.
        rate: rows a second.
        seconds_left: None before that can be said.
    """

    stage: str = "reading"
    rows_done: int = 0
    rows_total: int = 0
    tokens: int = 0
    rate: float = 0.0
    seconds_left: float | None = None


class PreviewColumn(msgspec.Struct, frozen=True):
    """A column of the file: its name, type, and in how many rows a text stands, and none."""

    name: str
    type: str
    texts: int
    others: int


class Preview(msgspec.Struct, frozen=True):
    """What is in the file: rows in all, the columns, which of them may be the texts, and the first rows."""

    rows: int
    format: str
    columns: list[PreviewColumn]
    suggested: str
    first: list[dict[str, str | int | float | bool | None]]


class Outcome(msgspec.Struct, frozen=True):
    """How a job's process ended: rows of the dataset, or what went wrong."""

    rows: int = 0
    code: str = ""
    error: str = ""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a job before it starts; what is not said stays as it was."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    column: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    on_error: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    private: bool | None = None
    format: Annotated[str, msgspec.Meta(max_length=20)] | None = None


class ModelChoice(msgspec.Struct, frozen=True):
    """The model a job uses: its name, where it is and at which revision, as `ModelSpec` says, and its dimensions."""

    name: str
    source: str
    revision: str | None
    dimensions: int


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        kind: `look` or `embed`.
        folder: of the job.
        input: its file.
        output: folder of its dataset.
        job: what is known of it.
        config: the server's settings.
        shard_rows: rows in a file of the dataset; as many are lost at most when the process is killed.
    """

    kind: str
    folder: Path
    input: Path
    output: Path
    job: Job
    config: Settings
    shard_rows: int


def safe_filename(name: str) -> str:
    """A name as one of a file in a folder of ours: without folders, short, and nothing that a terminal obeys."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(character for character in last if character.isprintable()).strip().lstrip(".-")
    stem, dot, suffixes = kept.partition(".")
    suffixes = suffixes[-_LONGEST_SUFFIX:]
    return f"{stem[: _LONGEST_FILENAME - len(suffixes)]}{dot}{suffixes}" or "texts"


def check_format(name: str, format: str | None) -> None:
    """Nothing, if it is known how a file is read.

    Raises:
        InputFormatError: neither its name nor anything else says so.
    """
    known = dict.fromkeys(SUFFIXES.values())
    if format is not None and format not in known:
        raise InputFormatError(f"unknown format {format!r:.40}; known are {', '.join(known)}")
    if format is None and Path(name.lower().removesuffix(".gz")).suffix not in SUFFIXES:
        raise InputFormatError(f"{name}: unknown kind of file; its name ends in one of {', '.join(SUFFIXES)}")


def name_of(filename: str) -> str:
    """A name for a dataset, of its file's: `FAQ 2024.csv.gz` is `FAQ-2024`."""
    stem = Path(filename.removesuffix(".gz")).stem
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", stem).strip("-")[:60].strip("-")
    return plain or "texts"


def suggested_name(job: Job) -> str:
    """What the dataset may be called, if its owner says nothing."""
    return job.dataset.rpartition("/")[2] or name_of(job.filename)


def with_choices(job: Job, choices: Choices) -> Job:
    """The job with what was said of it.

    Raises:
        JobError: something of it is impossible.
    """
    said = {
        "dataset" if name == "name" else name: value
        for name, value in msgspec.structs.asdict(choices).items()
        if value is not None
    }
    made = msgspec.structs.replace(job, **said)
    if made.on_error not in ("fail", "skip", "null"):
        raise JobError(f"on_error {made.on_error!r:.40} is not known; fail, skip and null are")
    return made
