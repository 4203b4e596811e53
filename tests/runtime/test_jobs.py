"""Jobs from their file to a hosted dataset, in real processes, and what becomes of them when something ends."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.server.processes import eventually

from embedhub import Model
from embedhub.config import Settings
from embedhub.datasets import read_dataset
from embedhub.errors import (
    EmbedhubError,
    ForbiddenError,
    HubConflictError,
    InputFormatError,
    JobError,
    JobNotFoundError,
    OverloadedError,
    RequestTooLargeError,
    StorageFullError,
    UnauthorizedError,
)
from embedhub.hub.access import Actor
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.runtime.jobs import store
from embedhub.runtime.jobs.publishing import Publication, publish
from embedhub.runtime.jobs.records import Choices, Job, ModelChoice, Order, State, safe_filename, suggested_name
from embedhub.runtime.jobs.runner import JobRunner
from embedhub.runtime.jobs.store import Jobs
from embedhub.runtime.jobs.work import run

ALICE = Actor("alice", "write")
CSV = b"text,n\none,1\ntwo,2\none,3\n"


class Workplace:
    """Jobs, and who does them."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.hub = Hub(config.home)
        self.hub.organisations.ensure_user("alice")
        self.jobs = Jobs(self.hub, config)
        self.runner = JobRunner(self.jobs, self.hub, config, shard_rows=1000)
        self.model = ModelChoice(config.model, "local", None, 32)
        self.charged: list[tuple[str, int]] = []

    def start_runner(self) -> None:
        self.runner.start(lambda payer, tokens: self.charged.append((payer, tokens)))

    def sent(self, content: bytes = CSV, name: str = "faq.csv", actor: Actor = ALICE, **choices: object) -> Job:
        """A job with its file."""
        job = self.jobs.create(actor, "token 1", Choices(**choices))  # type: ignore[arg-type]
        upload = self.jobs.receive(job, name, len(content))
        upload.write(content)
        return upload.finish()

    def started(self, content: bytes = CSV, name: str = "faq.csv", **choices: object) -> Job:
        return self.jobs.start(ALICE, self.sent(content, name), Choices(**choices), self.model)  # type: ignore[arg-type]

    def ended(self, job: Job) -> Job:
        assert eventually(lambda: self.now(job).state.ended, 60), self.log(job)
        return self.now(job)

    def now(self, job: Job) -> Job:
        found = self.jobs.read(job.id)
        assert found is not None
        return found

    def log(self, job: Job) -> str:
        path = self.jobs.folder(job.id) / "log"
        return f"{self.now(job)}\n{path.read_text() if path.exists() else ''}"

    def hosted(self) -> list[str]:
        return [each.id for each in self.hub.repositories.all(Kind.DATASET)]

    def files(self, id: str) -> dict[str, int]:
        repository = self.hub.repositories.find(Kind.DATASET, id)
        with self.hub.open(repository) as git:
            return {entry.path: entry.size for entry in git.files(git.resolve("main"))}

    def download(self, id: str, to: Path) -> Path:
        """The hosted dataset's files in a folder."""
        repository = self.hub.repositories.find(Kind.DATASET, id)
        with self.hub.open(repository) as git:
            for entry in git.files(git.resolve("main")):
                path = to / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                large = entry.pointer is not None
                path.write_bytes(self.hub.large_file(repository, entry).read_bytes() if large else git.read(entry))
        return to


@contextmanager
def workplace(config: Settings) -> Iterator[Workplace]:
    made = Workplace(config)
    try:
        yield made
    finally:
        made.runner.close()
        made.hub.close()


@pytest.fixture
def place(offline: Settings, tiny_folder: Path) -> Iterator[Workplace]:
    """A workplace with the tiny model in which nobody works yet."""
    with workplace(replace(offline, model=str(tiny_folder), dtype="f32", threads=1)) as made:
        yield made


def many(rows: int) -> bytes:
    return b"text\n" + b"".join(b"the one and number %05d\n" % number for number in range(rows))


def test_a_file_becomes_a_dataset(place: Workplace, tmp_path: Path) -> None:
    job = place.sent()
    assert (job.state, suggested_name(job)) == (State.READY, "faq")

    preview = place.runner.look(job)
    assert (preview.rows, preview.suggested) == (3, "text")
    assert [(each.name, each.texts, each.others) for each in preview.columns] == [("text", 3, 0), ("n", 0, 3)]
    assert preview.first[1] == {"text": "two", "n": 2}

    queued = place.jobs.start(ALICE, job, Choices(private=True), place.model)
    assert (queued.state, queued.dataset, place.hosted()) == (State.QUEUED, "alice/faq", [])
    place.start_runner()
    done = place.ended(job)
    assert (done.state, done.rows, done.error) == (State.DONE, 3, ""), place.log(job)
    assert place.hub.repositories.find(Kind.DATASET, "alice/faq").private

    stored = read_dataset(place.download("alice/faq", tmp_path / "got"))
    assert stored.rows([0, 1, 2]) == [{"text": "one", "n": 1}, {"text": "two", "n": 2}, {"text": "one", "n": 3}]
    assert (stored.dimensions, stored.text_column) == (32, "text")
    assert place.charged[0][0] == "token 1"
    # Nothing is kept twice.
    assert sorted(path.name for path in place.jobs.folder(job.id).iterdir()) == ["job.json", "lock", "log", "running"]


def test_names_and_choices_are_checked(place: Workplace) -> None:
    place.hub.create(ALICE, Kind.DATASET, "alice/taken")
    job = place.sent()
    for choices, error in [
        (Choices(name="Taken"), HubConflictError),
        (Choices(name="../x"), EmbedhubError),
        (Choices(name="bob/x"), ForbiddenError),
        (Choices(on_error="sometimes"), JobError),
        (Choices(format="exe"), InputFormatError),
    ]:
        with pytest.raises(error):
            place.jobs.start(ALICE, job, choices, place.model)
    assert place.now(job).state is State.READY
    place.jobs.start(ALICE, job, Choices(name="new"), place.model)
    with pytest.raises(JobError):
        place.jobs.start(ALICE, job, Choices(name="newer"), place.model)
    with pytest.raises(HubConflictError, match="another job"):
        place.started(name="new.csv")


def test_a_job_is_its_owners(place: Workplace) -> None:
    job = place.sent()
    assert place.jobs.find(ALICE, job.id).id == job.id
    assert place.jobs.find(Actor("root", "admin"), job.id).id == job.id
    for actor, id in ((Actor("bob", "write"), job.id), (Actor(), job.id), (ALICE, "../../x"), (ALICE, "0" * 16)):
        with pytest.raises(JobNotFoundError):
            place.jobs.find(actor, id)
    assert place.jobs.of(Actor("bob", "write")) == []
    with pytest.raises(UnauthorizedError):
        place.jobs.create(Actor(), "", Choices())


@pytest.mark.parametrize(
    ("content", "name", "choices", "told"),
    [
        (b"a,b\nx,y\n1\n", "bad.csv", {}, "bad.csv, line 3"),
        (b"a,b\nx,y\n", "two.csv", {}, "choose with column"),
        (b"a,b\nx,y\n", "two.csv", {"column": "c"}, "two.csv has no column 'c'"),
        (b'{"a": "x"}\n{"a": 1}\n', "n.jsonl", {}, "on_error skip"),
        (b"PAR1 no", "p.parquet", {}, "p.parquet"),
        (b"a\n", "none.csv", {}, "holds no rows"),
        (b"embedding\nx\n", "e.csv", {}, "rename it"),
    ],
)
def test_a_file_at_fault_is_told_in_a_line(
    place: Workplace, content: bytes, name: str, choices: dict[str, str], told: str
) -> None:
    job = place.started(content, name, **choices)
    jobs = place.jobs
    order = Order("embed", jobs.folder(job.id), jobs.input(job), jobs.output(job), job, place.config, 1000)
    outcome = run(order)
    assert outcome.code
    assert told in outcome.error
    assert str(place.config.home) not in outcome.error
    assert "\n" not in outcome.error


def test_looking_tells_a_fault_and_another_file_mends_it(place: Workplace) -> None:
    job = place.sent(b"a,b\nx\n", "bad.csv")
    with pytest.raises(InputFormatError, match=r"bad\.csv, line 2"):
        place.runner.look(job)
    assert place.now(job).state is State.FAILED
    upload = place.jobs.receive(place.now(job), "good.csv", None)
    upload.write(CSV)
    again = upload.finish()
    assert (again.state, again.filename, again.error) == (State.READY, "good.csv", "")
    assert place.runner.look(again).rows == 3


def test_a_cancelled_job_leaves_nothing(place: Workplace) -> None:
    job, other = place.started(many(30_000)), place.started(name="other.csv")
    place.start_runner()
    assert eventually(lambda: place.jobs.progress(job.id).rows_done > 0, 60), place.log(job)
    # One at a time.
    assert place.now(other).state is State.QUEUED
    assert place.jobs.cancel(other) == replace_state(place.now(other), State.CANCELLED)
    place.jobs.cancel(place.now(job))
    assert place.ended(job).state is State.CANCELLED
    assert place.hosted() == []
    assert sorted(path.name for path in place.jobs.folder(job.id).iterdir()) == ["job.json", "lock", "log", "running"]
    # One that is over is forgotten.
    assert place.jobs.cancel(place.now(job)) is None
    assert place.jobs.read(job.id) is None


def replace_state(job: Job, state: State) -> Job:
    return msgspec.structs.replace(job, state=state)


def test_a_killed_server_leaves_a_job_that_goes_on(place: Workplace, tmp_path: Path, tiny: Model) -> None:
    job = place.started(many(5_000))
    script = (
        "import pickle, sys, threading\n"
        "from embedhub.hub.hosting import Hub\n"
        "from embedhub.runtime.jobs.runner import JobRunner\n"
        "from embedhub.runtime.jobs.store import Jobs\n"
        "config = pickle.load(sys.stdin.buffer)\n"
        "hub = Hub(config.home)\n"
        "JobRunner(Jobs(hub, config), hub, config, 1000).start()\n"
        "threading.Event().wait()\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert server.stdin is not None
    server.stdin.write(pickle.dumps(place.config))
    server.stdin.close()
    assert eventually(lambda: place.jobs.progress(job.id).rows_done > 1_000, 60), place.log(job)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert place.now(job).state is State.RUNNING
    place.start_runner()
    done = place.ended(job)
    assert (done.state, done.rows) == (State.DONE, 5_000), place.log(job)
    # The first shard was not embedded again: its tokens are in no second bill.
    tokens_of_a_row = int(tiny.embed(["the one and number 00001"]).tokens[0])
    assert 0 < sum(tokens for _, tokens in place.charged) <= 4_000 * tokens_of_a_row
    assert read_dataset(place.download("alice/faq", tmp_path / "got")).row_count == 5_000


def test_a_dead_process_is_told_and_may_be_started_again(place: Workplace) -> None:
    job = place.started(many(30_000))
    place.start_runner()
    assert eventually(lambda: place.jobs.progress(job.id).rows_done > 0, 60), place.log(job)
    for process in Path("/proc").glob("[0-9]*"):
        if _is_worker_of(process):
            os.kill(int(process.name), signal.SIGKILL)
    failed = place.ended(job)
    assert (failed.state, failed.code) == (State.FAILED, "computation")
    assert "signal 9" in failed.error
    assert place.jobs.start(ALICE, failed, Choices(name="again"), place.model).error == ""
    place.jobs.cancel(place.now(job))


def _is_worker_of(process: Path) -> bool:
    try:
        parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        return int(parent) == os.getpid() and b"jobs.work" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_bounds(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(place.hub, replace(place.config, max_upload_mb=1))
    job = jobs.create(ALICE, "", Choices())
    with pytest.raises(RequestTooLargeError, match="EMBEDHUB_MAX_UPLOAD_MB"):
        jobs.receive(job, "a.csv", 2 << 20)
    upload = jobs.receive(job, "a.csv", None)
    with pytest.raises(RequestTooLargeError):
        upload.write(bytes((1 << 20) + 1))
    upload.abort()
    upload = jobs.receive(job, "a.csv", None)
    with pytest.raises(InputFormatError, match="empty"):
        upload.finish()
    upload.abort()
    with pytest.raises(InputFormatError, match="unknown kind"):
        jobs.receive(job, "a.exe", None)
    with pytest.raises(JobError, match="waiting"):
        jobs.start(ALICE, job, Choices(), place.model)
    for _ in range(9):
        jobs.create(ALICE, "", Choices())
    with pytest.raises(OverloadedError):
        jobs.create(ALICE, "", Choices())
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(StorageFullError):
        jobs.receive(job, "a.csv", 1000)


def test_old_jobs_are_forgotten(place: Workplace) -> None:
    old, young, queued = place.sent(), place.sent(), place.started()
    for job in (old, queued):
        place.jobs.write(msgspec.structs.replace(place.now(job), changed_at=time.time() - store.KEPT_SECONDS - 1))
    assert place.jobs.forget_old() == 1
    assert {job.id for job in place.jobs.all()} == {young.id, queued.id}


def test_publishing_again_finds_what_was_begun(place: Workplace, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "data").mkdir(parents=True)
    (made / "README.md").write_text("# faq")
    (made / "data" / "train-00000-of-00001.parquet").write_bytes(b"rows")
    (made / ".embedhub").mkdir()
    (made / ".embedhub" / "lock").touch()
    wanted = Publication(made, "alice/faq", None, "Embed", time.time())
    first = publish(place.hub, ALICE, wanted)
    assert set(place.files("alice/faq")) == {".gitattributes", "README.md", "data/train-00000-of-00001.parquet"}
    assert publish(place.hub, ALICE, wanted) == first
    with pytest.raises(HubConflictError):
        publish(place.hub, ALICE, replace(wanted, since=time.time() + 1))


def test_what_cannot_be_committed_leaves_nothing(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise StorageFullError("full")

    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.parquet").write_bytes(b"rows")
    monkeypatch.setattr(place.hub.holdings, "link", refuse)
    with pytest.raises(StorageFullError):
        publish(place.hub, ALICE, Publication(tmp_path / "made", "alice/faq", None, "Embed", 0.0))
    assert place.hosted() == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("faq.csv", "faq.csv"),
        ("C:\\Users\\me\\faq.csv.gz", "faq.csv.gz"),
        ("../../etc/passwd", "passwd"),
        ("-", "texts"),
        (".hidden.csv", "hidden.csv"),
        ("a\x1b[2J\ud800\n.csv", "a[2J.csv"),
        ("é" * 300 + ".csv", "é" * 57 + ".csv"),
    ],
)
def test_names_of_files(name: str, kept: str) -> None:
    assert safe_filename(name) == kept
