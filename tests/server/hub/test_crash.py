"""The server killed in the middle of everything: what it answered for is there, and who was interrupted goes on.

EMBEDHUB_KILLS=1000 kills as often; a few times are enough for every day.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.hub.hosts import Hosted, beside, hosted, large, sha256_of, small
from tests.server.processes import running

from embedhub.hub.access import Actor
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

KILLS = int(os.environ.get("EMBEDHUB_KILLS", "8"))

CLIENT = Path(__file__).with_name("upload_client.py")


class Writer:
    """Commits for ever, and remembers what was answered. Gives up at nothing: who was interrupted repeats."""

    def __init__(self, hosted: Hosted, repository: Repository, name: str, stop: threading.Event) -> None:
        self.acknowledged: list[tuple[str, str, bytes]] = []
        self.interrupted = 0
        self.failure: BaseException | None = None
        self._hosted = hosted
        self._repository = repository
        self._name = name
        self._stop = stop
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                content = f"{self._name} {number} ".encode() * (10 if number % 2 else 40_000)
                while not self._stop.is_set():
                    try:
                        self._write(f"{self._name}/{number % 5}.{'txt' if number % 2 else 'bin'}", content, number)
                        break
                    except httpx.TransportError:
                        self.interrupted += 1
        except BaseException as error:  # noqa: BLE001 - told by `join`
            self.failure = error

    def _write(self, path: str, content: bytes, number: int) -> None:
        with httpx.Client(timeout=30) as client:
            # A connection that breaks is one client's own.
            mine = Hosted(self._hosted.process, self._hosted.hub, self._hosted.tokens, client)
            if number % 2:
                answer = mine.commit(self._repository, small(path, content))
            else:
                mine.upload(self._repository, content)
                answer = mine.commit(self._repository, large(path, content))
        answer.raise_for_status()
        self.acknowledged.append((answer.json()["commitOid"], path, content))


def is_kept(hosted: Hosted, repository: Repository, writers: list[Writer]) -> None:
    """Every commit that was answered for is on the branch, with its file; and nothing is damaged."""
    with hosted.hub.open(repository) as git:
        log = {each.id for each in git.log("main")}
        for writer in writers:
            for commit, path, content in writer.acknowledged:
                assert commit in log
                entry = git.file(commit, path)
                if entry.pointer is None:
                    assert git.read(entry) == content
                else:
                    assert entry.pointer.sha256 == sha256_of(content)
                    assert hosted.hub.blobs.path(entry.pointer.sha256).read_bytes() == content
    assert hosted.damage() == []


def test_killed_at_random_while_many_write(hosted_hub: Hosted) -> None:
    repository = hosted_hub.new()
    stop = threading.Event()
    writers = [Writer(hosted_hub, repository, name, stop) for name in ("a", "b", "c")]
    chance = random.Random(KILLS)
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.35))
            hosted_hub.process.restart()
        # Everybody gets through in the end.
        done = [len(writer.acknowledged) for writer in writers]
        deadline = time.monotonic() + 30
        while any(len(writer.acknowledged) < before + 2 for writer, before in zip(writers, done, strict=True)):
            assert time.monotonic() < deadline
            assert not any(writer.failure for writer in writers)
            time.sleep(0.02)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert sum(writer.interrupted for writer in writers) > 0
    is_kept(hosted_hub, repository, writers)


def _commit(hosted: Hosted, repository: Repository) -> httpx.Response:
    return hosted.commit(repository, small("a.txt", b"a" * 1000), small("b/c.txt", b"c"))


def _lfs(hosted: Hosted, repository: Repository) -> httpx.Response:
    content = b"large" * 400_000
    hosted.upload(repository, content)
    return hosted.commit(repository, large("a.bin", content))


@pytest.mark.parametrize("write", [_commit, _lfs])
def test_killed_at_each_of_many_moments(
    hosted_hub: Hosted, write: Callable[[Hosted, Repository], httpx.Response]
) -> None:
    """Later by a little each time, from before the request arrives to after it was answered."""
    repository = hosted_hub.new()
    started = time.monotonic()
    assert write(hosted_hub, repository).status_code == 200
    lasts = time.monotonic() - started
    rounds = max(4, KILLS // 2)
    for number in range(rounds):
        timer = threading.Timer(lasts * 1.2 * number / rounds, hosted_hub.process.restart)
        repository = hosted_hub.new()
        timer.start()
        try:
            answer: httpx.Response | None = write(hosted_hub, repository)
        except httpx.TransportError:
            answer = None
        timer.join()
        with hosted_hub.hub.open(repository) as git:
            head = git.resolve("main")
        if answer is not None:
            assert answer.json()["commitOid"] == head
        again = write(hosted_hub, repository)
        assert again.status_code == 200
        if answer is not None:
            # What is repeated and is there already is no second commit.
            assert again.json()["commitOid"] == head
    assert hosted_hub.damage() == []


def test_killed_while_the_real_client_uploads_by_xet(hosted_hub: Hosted, tmp_path: Path) -> None:
    repository = hosted_hub.new()
    content = random.Random(7).randbytes(6_000_000)
    file = tmp_path / "data.npy"
    file.write_bytes(content)
    surroundings = os.environ | {
        "HF_ENDPOINT": hosted_hub.address,
        "HF_TOKEN": hosted_hub.tokens["alice"],
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
        "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
    }
    surroundings.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, str(CLIENT), repository.id, str(file), str(max(2, KILLS // 3))]
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings
    )
    assert client.stdin is not None
    assert client.stdout is not None
    chance = random.Random(KILLS)
    acknowledged: list[tuple[str, str, str]] = []
    timers: list[threading.Timer] = []
    try:
        for line in client.stdout:
            word, *rest = line.split()
            if word == "begin":
                # The client goes on at once; the kill comes somewhere in its upload.
                timers.append(threading.Timer(chance.uniform(0, 0.3), hosted_hub.process.restart))
                timers[-1].start()
            elif word == "done":
                commit, path, sha256 = rest
                acknowledged.append((commit, path, sha256))
    finally:
        client.kill()
        _, told = client.communicate()
        for timer in timers:
            timer.join()
    assert client.returncode == 0 or acknowledged, told
    assert len(acknowledged) == max(2, KILLS // 3), told
    with hosted_hub.hub.open(repository) as git:
        for commit, path, sha256 in acknowledged:
            pointer = git.file(commit, path).pointer
            assert pointer is not None
            assert pointer.sha256 == sha256
            assert hosted_hub.hub.blobs.verify(sha256)
    assert hosted_hub.damage() == []


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_killed_while_git_pushes(hosted_hub: Hosted, tmp_path: Path) -> None:
    repository = hosted_hub.new()
    surroundings = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
    clone = tmp_path / "clone"
    remote = hosted_hub.address.replace("://", f"://alice:{hosted_hub.tokens['alice']}@")

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        named = ["-c", "user.name=alice", "-c", "user.email=alice@example.org", "-C", str(clone)]
        return subprocess.run(
            ["git", *named, *words], env=surroundings, capture_output=True, text=True, timeout=60, check=False
        )

    clone.mkdir()
    assert git("clone", "-q", f"{remote}/datasets/{repository.id}", ".").returncode == 0
    chance = random.Random(KILLS)
    started = time.monotonic()
    lasts = 0.0
    acknowledged = []
    for number in range(max(4, KILLS // 2)):
        (clone / f"{number}.txt").write_bytes(chance.randbytes(300_000))
        assert git("add", ".").returncode == 0
        assert git("commit", "-q", "-m", f"{number}").returncode == 0
        started = time.monotonic()
        timer = threading.Timer(chance.uniform(0.1, 1.0) * lasts, hosted_hub.process.restart)
        if number:
            timer.start()
        pushed = git("push", "-q", "origin", "HEAD")
        lasts = lasts or time.monotonic() - started
        if number:
            timer.join()
        head = git("rev-parse", "HEAD").stdout.strip()
        if pushed.returncode:
            again = git("push", "-q", "origin", "HEAD")
            assert again.returncode == 0, again.stderr
        acknowledged.append(head)
        with hosted_hub.hub.open(repository) as opened:
            assert opened.resolve("main") == head
    with hosted_hub.hub.open(repository) as opened:
        assert {each.id for each in opened.log("main")} >= set(acknowledged)
    assert hosted_hub.damage() == []


def test_a_lock_that_a_killed_process_left_is_in_nobodys_way(hosted_hub: Hosted) -> None:
    repository = hosted_hub.new()
    folder = hosted_hub.hub.repositories.folder(repository)
    for name in ("refs/heads/main.lock", "packed-refs.lock", "config.lock"):
        (folder / name).touch()
    hosted_hub.process.kill()
    hosted_hub.process.start()
    assert hosted_hub.commit(repository, small("a", b"a")).status_code == 200
    assert list(folder.rglob("*.lock")) == []


def test_a_push_that_survived_its_server_keeps_its_lock(hosted_hub: Hosted) -> None:
    repository = hosted_hub.new()
    lock = hosted_hub.hub.repositories.folder(repository) / "refs" / "heads" / "other.lock"
    with hosted_hub.hub.at_work(repository) as descriptor:
        child = subprocess.Popen([shutil.which("sleep") or "sleep", "60"], pass_fds=[descriptor])
    try:
        lock.touch()
        # The start waits for it a while; and then it is over.
        hosted_hub.process.kill()
        hosted_hub.process.start()
        time.sleep(0.3)
        assert lock.exists()
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert hosted_hub.commit(repository, small("a", b"a")).status_code == 200
        assert not lock.exists()
    finally:
        child.kill()
        child.wait()


def test_many_commits_to_one_branch_from_threads_and_two_servers(hosted_hub: Hosted) -> None:
    """Each says upon which commit it builds: losers hear 412, and get through when they try again."""
    repository = hosted_hub.new()
    made: list[str] = []
    lost = 0
    lock = threading.Lock()

    def write(mine: Hosted, name: str) -> None:
        nonlocal lost
        for number in range(3):
            while True:
                with hosted_hub.hub.open(repository) as git:
                    head = git.resolve("main")
                answer = mine.commit(repository, small(f"{name}/{number}", b"x"), header={"parentCommit": head})
                if answer.status_code == 200:
                    with lock:
                        made.append(answer.json()["commitOid"])
                    break
                assert answer.status_code == 412, answer.text
                assert "Please refresh and try again" in answer.json()["error"]
                lost += 1

    with beside(hosted_hub) as second:
        threads = [
            threading.Thread(target=write, args=(second if number % 2 else hosted_hub, str(number)))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost > 0
        # And who does not say so never hears it.
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda number=number: answers.append(
                    (second if number % 2 else hosted_hub).commit(repository, small(f"free/{number}", b"x")).status_code
                )
            )
            for number in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 12
    with hosted_hub.hub.open(repository) as git:
        log = [each.id for each in git.log("main")]
        files = {entry.path for entry in git.files(log[0])}
    assert set(made) <= set(log)
    assert len(log) == 1 + 8 * 3 + 12
    assert {f"{name}/{number}" for name in range(8) for number in range(3)} <= files
    assert hosted_hub.damage() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(disk: Path, left: int) -> Path:
    filling = disk / "filling"
    filling.unlink(missing_ok=True)
    descriptor = os.open(filling, os.O_CREAT | os.O_WRONLY)
    os.posix_fallocate(descriptor, 0, shutil.disk_usage(disk).free - left)
    os.close(descriptor)
    return filling


def test_a_full_disk_is_told_and_harms_nothing(small_disk: Path) -> None:
    with hosted(small_disk / "in") as full:
        repository = full.new()
        kept = b"kept" * 1000
        full.upload(repository, kept)
        assert full.commit(repository, small("a.txt", b"a"), large("kept.bin", kept)).status_code == 200
        content = b"large" * 400_000
        (told,) = full.batch(repository, content)
        place = told["actions"]["upload"]["href"]
        for left in (1_000_000, 100_000, 8_000, 0):
            filling = _fill(small_disk, left)
            assert full.client.put(place, content=content).status_code == 507
            refused = None
            for number in range(40):
                answer = full.commit(repository, small(f"{left}/{number}", os.urandom(30_000)))
                if answer.status_code != 200:
                    refused = answer
                    break
            assert refused is not None
            assert refused.status_code == 507, refused.text
            # What is here can be had.
            assert full.resolve(repository, "kept.bin").content == kept
            assert full.resolve(repository, "a.txt").content == b"a"
            filling.unlink()
            assert full.damage() == []
            assert full.commit(repository, small(f"{left}/again", b"again")).status_code == 200
        assert full.client.put(place, content=content).status_code == 200
        assert full.commit(repository, large("late.bin", content)).status_code == 200
        assert full.damage() == []


def test_the_server_clears_its_way_when_it_starts(tmp_path: Path, tiny_folder: Path) -> None:
    hub = Hub(tmp_path / "home")
    hub.organisations.ensure_user("alice")
    repository = hub.create(Actor("alice", "write"), Kind.DATASET, "alice/data")
    lock = hub.repositories.folder(repository) / "refs" / "heads" / "main.lock"
    lock.touch()
    hub.close()
    with running(tmp_path, tiny_folder) as server:
        assert not lock.exists()
        assert "cleared away 1 things" in server.told()
