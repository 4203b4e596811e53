"""One run on one machine: the Hub beside nginx, git's own HTTP server and a bare loop over the same bytes.

Knows what is compared and the targets. The peers are started by `hub_peers`.

    python benchmarks/hub.py [--megabytes 1024] [--files 1000 20000]
"""

import argparse
import base64
import hashlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from embedhub.config import DEFAULT_MODEL, settings
from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.hub.commits import AddFile, Wanted, apply
from embedhub.hub.git import MAIN
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.models import find_model
from hub_peers import GitServer, Nginx, missing_peers
from measure import HERE
from report import Target, write_report
from servers import Server, body

ROUNDS = 3
COMMIT_SECONDS = 5.0
DOWNLOADERS = 200
DOWNLOAD_BYTES = 8 << 20
PUSH_MEGABYTES = 64
LATENCY_CALLS = 200
_PIECE = 1 << 20
USER = "bench"


@dataclass
class Figures:
    """What was measured; bytes a second, seconds, commits a second. A figure of ours stands beside its peer's."""

    download: list[tuple[float, float]] = field(default_factory=list)
    upload: list[tuple[float, float]] = field(default_factory=list)
    push: list[tuple[float, float]] = field(default_factory=list)
    commits: dict[int, float] = field(default_factory=dict)
    tree_page: list[float] = field(default_factory=list)
    downloaders: dict[str, float] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class Client:
    """Requests on one connection, with a token."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300, blocksize=_PIECE)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """The body of a good answer."""
        self._connection.request(method, path, content, self._headers | (headers or {}))
        answer = self._connection.getresponse()
        found = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {found[:300]!r}")
        return found

    def discard(self, path: str) -> int:
        """Fetch and forget; gives the bytes."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        assert answer.status == 200, answer.status
        buffer = memoryview(bytearray(_PIECE))
        count = 0
        while made := answer.readinto(buffer):
            count += made
        return count


class Bench:
    """The server, its home and the repositories in it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.hub = Hub(self.home)
        self.token, _ = Accounts(self.home / DATABASE).create_token(USER, "write")
        # So that it lies in the folder of models, which this home shares.
        find_model(DEFAULT_MODEL, settings=settings())
        (self.home / "models").symlink_to(settings().home / "models")
        flags = ["--model", DEFAULT_MODEL, "--cache-mb", "0", "--model-aliases", f"default={DEFAULT_MODEL}"]
        self.server = Server(
            "embedhub",
            lambda port: [sys.executable, "-m", "embedhub", "serve", "--port", str(port), *flags],
            "/v1/embeddings",
            {"EMBEDHUB_LOG_LEVEL": "error", "EMBEDHUB_HOME": str(self.home), "EMBEDHUB_ALLOW_ANONYMOUS": "1"},
        )

    def client(self) -> Client:
        """A new connection."""
        return Client(self.server.url, self.token)

    def repository(self, name: str, files: int) -> None:
        """A dataset with so many small files in folders of a hundred."""
        actor = self.hub.actor(USER, "write")
        made = self.hub.create(actor, Kind.DATASET, f"{USER}/{name}")
        with self.hub.change(made) as git:
            base = git.resolve("main")
            operations = tuple(
                AddFile(f"{number // 100:04d}/{number:06d}.txt", git.write_blob(f"file {number}\n".encode()))
                for number in range(files)
            )
            wanted = Wanted(operations, "fill", USER)
            apply(git, wanted, MAIN, base=base, expected=base, size_of=lambda sha256: None)

    def upload(self, name: str, path: Path, sha256: str, size: int) -> float:
        """Send a large file as git-lfs does, and commit it; gives the seconds that the sending took."""
        client = self.client()
        asked = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": sha256, "size": size}]}
        told = json.loads(client.ask("POST", f"/datasets/{USER}/{name}.git/info/lfs/objects/batch", json.dumps(asked)))
        place = urlsplit(told["objects"][0]["actions"]["upload"]["href"]).path
        start = time.perf_counter()
        with path.open("rb") as file:
            self.client().ask("PUT", place, file, {"Content-Length": str(size)})
        seconds = time.perf_counter() - start
        # On a new connection: the other was idle for longer than a server waits.
        value = {"path": "big.bin", "algo": "sha256", "oid": sha256}
        self.commit(self.client(), name, {"key": "lfsFile", "value": value})
        return seconds

    @staticmethod
    def commit(client: Client, name: str, operation: dict[str, Any]) -> None:
        """A commit of one operation."""
        lines = [{"key": "header", "value": {"summary": "one"}}, operation]
        client.ask("POST", f"/api/datasets/{USER}/{name}/commit/main", "\n".join(map(json.dumps, lines)))


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description="Measure the Hub beside nginx and git's own server.")
    parser.add_argument("--megabytes", type=int, default=1024, help="Size of the large file.")
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 20_000], help="Repositories to commit to.")
    words = parser.parse_args()
    console = Console()
    missing = missing_peers()
    figures = Figures()
    # On the disk that the Hub would use, not in memory.
    with tempfile.TemporaryDirectory(dir=HERE.parent) as scratch:
        bench = Bench(Path(scratch))
        try:
            _measure(bench, Path(scratch), words.megabytes, words.files, figures, missing, console)
        finally:
            bench.server.close()
    targets = _targets(figures)
    console.print(_table(targets))
    for what, reason in figures.skipped.items():
        console.print(f"not measured: {what}: {reason}", markup=False)
    shown = {name: getattr(figures, name) for name in Figures.__dataclass_fields__}
    path = write_report(HERE / "results", "hub", {"megabytes": words.megabytes, "figures": shown})
    console.print(f"written to {path}", markup=False)


def _measure(
    bench: Bench, folder: Path, megabytes: int, files: list[int], figures: Figures, missing: str, console: Console
) -> None:
    big = folder / "big.bin"
    sha256, size = made_file(big, megabytes), megabytes << 20
    for count in files:
        console.print(f"commits in a repository of {count} files", markup=False)
        bench.repository(f"files-{count}", count)
        figures.commits[count] = _commit_rate(bench, f"files-{count}")
    if files:
        figures.tree_page = _tree_pages(bench, f"files-{max(files)}")
    console.print(f"uploads of {megabytes} MB", markup=False)
    for number in range(ROUNDS):
        bench.repository(f"big-{number}", 0)
        bare = _bare_loop(big, folder / "bare.bin")
        ours = bench.upload(f"big-{number}", big, sha256, size)
        figures.upload.append((size / ours, size / bare))
        # Otherwise the bytes are there already for the next round.
        if number < ROUNDS - 1:
            bench.hub.blobs.remove(sha256)
    name = f"big-{ROUNDS - 1}"
    address = f"/datasets/{USER}/{name}/resolve/main/big.bin"
    figures.latency = _latency(bench, big, sha256, size)
    if missing:
        figures.skipped["nginx and git http-backend"] = missing
        return
    console.print("downloads and pushes, beside nginx", markup=False)
    with Nginx(folder) as nginx:
        for _ in range(ROUNDS):
            ours, theirs = _fetch(bench.client(), address), _fetch(Client(nginx.url, ""), "/big.bin")
            figures.download.append((size / ours, size / theirs))
        figures.downloaders = _many(bench)
    with GitServer(folder) as git:
        for number in range(ROUNDS):
            bench.repository(f"push-{number}", 0)
            clean = f"{USER}:{bench.token}@"
            ours = _push(folder, f"http://{clean}{bench.server.url[7:]}/datasets/{USER}/push-{number}")
            figures.push.append((1 / ours, 1 / _push(folder, git.new_repository(f"push-{number}"))))


def made_file(path: Path, megabytes: int) -> str:
    """Write random bytes; gives their sha256."""
    found = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            piece = os.urandom(_PIECE)
            found.update(piece)
            file.write(piece)
    return found.hexdigest()


def _bare_loop(source: Path, target: Path) -> float:
    """Seconds that hashing and keeping the same bytes takes without a server."""
    start = time.perf_counter()
    found = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while piece := read.read(_PIECE):
            found.update(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def _commit_rate(bench: Bench, name: str) -> float:
    client = bench.client()
    count = 0
    start = time.perf_counter()
    while time.perf_counter() - start < COMMIT_SECONDS:
        content = base64.b64encode(f"{count} {time.time_ns()}".encode()).decode()
        value = {"path": "0000/changing.txt", "content": content, "encoding": "base64"}
        bench.commit(client, name, {"key": "file", "value": value})
        count += 1
    return count / (time.perf_counter() - start)


def _tree_pages(bench: Bench, name: str) -> list[float]:
    client = bench.client()
    seconds = []
    path = f"/api/datasets/{USER}/{name}/tree/main?recursive=true&limit=1000"
    cursor = ""
    while True:
        start = time.perf_counter()
        answer = client.ask("GET", path + cursor)
        seconds.append(time.perf_counter() - start)
        page = json.loads(answer)
        if len(page) < 1000:
            return seconds
        cursor = f"&cursor={page[-1]['path']}"


def _fetch(client: Client, path: str) -> float:
    start = time.perf_counter()
    client.discard(path)
    return time.perf_counter() - start


def _many(bench: Bench) -> dict[str, float]:
    """So many clients at once, each fetching a file of its own time."""
    path = bench.home / "part.bin"
    sha256 = made_file(path, DOWNLOAD_BYTES >> 20)
    bench.repository("many", 0)
    bench.upload("many", path, sha256, DOWNLOAD_BYTES)
    errors: list[str] = []

    def fetch() -> None:
        try:
            if bench.client().discard(f"/datasets/{USER}/many/resolve/main/big.bin") != DOWNLOAD_BYTES:
                errors.append("too short")
        except (OSError, http.client.HTTPException, AssertionError) as error:
            errors.append(str(error))

    start = time.perf_counter()
    threads = [threading.Thread(target=fetch) for _ in range(DOWNLOADERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    return {"errors": float(len(errors)), "bytes_per_second": DOWNLOADERS * DOWNLOAD_BYTES / seconds}


def _latency(bench: Bench, big: Path, sha256: str, size: int) -> dict[str, float]:
    """Median seconds of one text, alone and while a large file is uploaded."""
    client = bench.client()

    def ask() -> float:
        start = time.perf_counter()
        client.ask("POST", "/v1/embeddings", json.dumps(body("How can Medicare help me?")))
        return time.perf_counter() - start

    alone = statistics.median(ask() for _ in range(LATENCY_CALLS))
    bench.repository("beside", 0)
    done = threading.Event()

    def upload() -> None:
        try:
            bench.upload("beside", big, sha256, size)
        finally:
            done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    beside = []
    while not done.is_set():
        beside.append(ask())
    thread.join()
    return {"alone": alone, "beside_upload": statistics.median(beside), "calls": float(len(beside))}


def _push(folder: Path, url: str) -> float:
    """Seconds of a push of one commit with PUSH_MEGABYTES of files that do not compress."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    run = git_in(work)
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    for number in range(PUSH_MEGABYTES):
        (work / f"{number}.txt").write_bytes(os.urandom(_PIECE))
    run("add", ".")
    run("commit", "-q", "-m", "many")
    start = time.perf_counter()
    run("push", "-q", "--force", url, "HEAD:refs/heads/pushed")
    return time.perf_counter() - start


def git_in(work: Path) -> Callable[..., None]:
    """Runs git there."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "http.postBuffer=1048576"]

    def run(*words: str) -> None:
        environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        subprocess.run(["git", "-C", str(work), *who, *words], check=True, env=environment, stdout=subprocess.DEVNULL)

    return run


def _ratio(pairs: list[tuple[float, float]]) -> float | None:
    return statistics.median(ours / theirs for ours, theirs in pairs) if pairs else None


def _targets(figures: Figures) -> list[Target]:
    latency = figures.latency
    slower = latency["beside_upload"] / latency["alone"] if latency else None
    targets = [
        Target("download, of nginx's throughput", 0.6, True, _ratio(figures.download)),
        Target("upload, of sha256 and fsync in a bare loop", 0.6, True, _ratio(figures.upload)),
        Target("push, of git http-backend's behind nginx", 0.6, True, _ratio(figures.push)),
        Target("slowest page of tree, ms", 50, False, max(figures.tree_page, default=0) * 1000 or None),
        Target(f"errors of {DOWNLOADERS} downloaders", 0, False, figures.downloaders.get("errors")),
        Target("latency beside an upload, times", 1.5, False, slower),
    ]
    for count, rate in figures.commits.items():
        targets.append(Target(f"commits/s at {count} files", 100 if count <= 1000 else 40, True, rate))
    return targets


def _table(targets: list[Target]) -> Table:
    table = Table("target", "bound", "measured", "")
    for target in targets:
        shown = "" if target.measured is None else f"{target.measured:.2f}"
        table.add_row(target.name, f"{'>=' if target.at_least else '<='} {target.bound:g}", shown, target.verdict)
    return table


if __name__ == "__main__":
    main()
