"""Whether a server's memory stays while a large file goes through it: real clients up and down, one after the other.

    python benchmarks/hub_memory.py [--megabytes 2048] [--clients xet lfs git]

`xet` is `hf` as it comes, `lfs` is `hf` with HF_HUB_DISABLE_XET=1, which sends in parts, and `git` is git with git-lfs,
which sends in one. Knows the server's own memory only, the part that no file backs: what the kernel keeps of files in
its cache is nobody's. Refuses to judge speed: `hub.py` does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from hub import USER, Bench, git_in, made_file
from measure import HERE
from report import Target, write_report

# Pieces that are being hashed, received and sent at once, and what the allocator keeps of them.
GROWTH_BYTES = 64 << 20
_LOOKED_AT_SECONDS = 0.02


@dataclass(frozen=True)
class Passage:
    """A file's way through the server: seconds, and bytes of memory beyond those before it."""

    client: str
    way: str
    seconds: float
    growth_bytes: int


class Watched:
    """The highest memory of a process while this context is open, beyond `before`."""

    def __init__(self, memory: Callable[[], int], before: int) -> None:
        self._memory = memory
        self._before = before
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.growth = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._start = perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self._start
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_LOOKED_AT_SECONDS):
            self.growth = max(self.growth, self._memory() - self._before)


def _hf(bench: Bench, *words: str, xet: bool) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": bench.server.url,
        "HF_TOKEN": bench.token,
        "HF_HOME": str(bench.home.parent / "hf"),
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    command = [str(Path(sys.executable).with_name("hf")), *words]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def _by_hf(bench: Bench, big: Path, *, xet: bool) -> tuple[Callable[[], None], Callable[[], None]]:
    name, target = f"{USER}/large", big.parent / "fetched"

    def up() -> None:
        _hf(bench, "upload", "--repo-type", "dataset", name, str(big), "big.bin", xet=xet)

    def down() -> None:
        shutil.rmtree(target, ignore_errors=True)
        _hf(bench, "download", "--repo-type", "dataset", name, "big.bin", "--local-dir", str(target), xet=xet)
        _check_same(big, target / "big.bin")
        shutil.rmtree(target)

    return up, down


def _by_git(bench: Bench, big: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    url = bench.server.url.replace("://", f"://{USER}:{bench.token}@") + f"/datasets/{USER}/large"
    work, clone = big.parent / "work", big.parent / "clone"

    def up() -> None:
        subprocess.run(["git", "clone", "-q", url, str(work)], check=True)
        run = git_in(work)
        run("lfs", "install", "--local")
        run("lfs", "track", "*.bin")
        big.rename(work / "big.bin")
        run("add", ".")
        run("commit", "-q", "-m", "large")
        run("push", "-q", url, "main")
        (work / "big.bin").rename(big)

    def down() -> None:
        subprocess.run(["git", "clone", "-q", "--no-checkout", url, str(clone)], check=True)
        run = git_in(clone)
        run("lfs", "install", "--local")
        run("checkout", "-q", "main")
        _check_same(big, clone / "big.bin")

    return up, down


def _check_same(one: Path, other: Path) -> None:
    if subprocess.run(["cmp", "--silent", str(one), str(other)], check=False).returncode:
        raise RuntimeError(f"{other} is not what was sent")


CLIENTS: dict[str, Callable[[Bench, Path], tuple[Callable[[], None], Callable[[], None]]]] = {
    "xet": lambda bench, big: _by_hf(bench, big, xet=True),
    "lfs": lambda bench, big: _by_hf(bench, big, xet=False),
    "git": _by_git,
}


def measure(client: str, megabytes: int) -> list[Passage]:
    """A file up and down again, on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.repository("large", 1)
            big = Path(folder) / "big.bin"
            made_file(big, megabytes)
            before = bench.server.private_bytes()
            passages = []
            for way, go in zip(("up", "down"), CLIENTS[client](bench, big), strict=True):
                with Watched(bench.server.private_bytes, before) as watched:
                    go()
                passages.append(Passage(client, way, watched.seconds, watched.growth))
            return passages
        finally:
            bench.server.close()


def main() -> None:
    """Print a line a passage, and whether the server grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON file")
    arguments = parser.parse_args()
    passages = []
    for client in arguments.clients:
        for passage in measure(client, arguments.megabytes):
            passages.append(passage)
            grown = passage.growth_bytes / 2**20
            print(f"{client:>4} {passage.way:>4} {passage.seconds:7.1f} s  server grew by {grown:5.0f} MiB", flush=True)
    most = max(passage.growth_bytes for passage in passages)
    target = Target("a server's growth beside a large file, MiB", GROWTH_BYTES >> 20, False, most / 2**20)
    print(f"{target.name}: {target.measured:.0f} (at most {target.bound}): {target.verdict}")
    figures = {
        "megabytes": arguments.megabytes,
        "passages": [asdict(passage) for passage in passages],
        "targets": [asdict(target) | {"verdict": target.verdict}],
    }
    print(f"written to {write_report(arguments.results, 'hub-memory', figures)}")


if __name__ == "__main__":
    main()
