"""Killed, doubled, out of space: what was finished stays, and nothing unfinished passes for a dataset."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.datasets.fake_embedder import FakeEmbedder

from embedhub.datasets import BuildReport, InputRequest, build, open_source, read_dataset
from embedhub.errors import DatasetBusyError, DatasetUnfinishedError, StorageFullError

_ROOT = Path(__file__).parents[2]
Build = Callable[..., BuildReport]


def put(path: Path, rows: int, length: int = 0) -> Path:
    rng = random.Random(0)
    path.write_text("".join(f"text {n} {rng.randbytes(length).hex()}\n" for n in range(rows)))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("scenario", [[], ["replacing"]], ids=["first", "replacing"])
def test_killed_at_every_step(tmp_path: Path, scenario: list[str]) -> None:
    script = [sys.executable, "-m", "tests.datasets.kill_everywhere", str(tmp_path), *scenario]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=_ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_killed_at_random_times(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.txt", 200)
    run_build(path, by=FakeEmbedder(by_slice=True), into=tmp_path / "reference")
    rng = random.Random(7)
    out = tmp_path / "out"
    script = [sys.executable, "-m", "tests.datasets.fake_embedder", str(path), str(out), "0.02"]
    for _ in range(4):
        process = subprocess.Popen(script, stdout=subprocess.PIPE, cwd=_ROOT)
        deadline = time.monotonic() + 20
        while not (out / ".embedhub" / "build" / "data").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.05, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with pytest.raises(DatasetUnfinishedError, match="it continues"):
        read_dataset(out)
    report = run_build(path, by=FakeEmbedder(by_slice=True))
    assert report.resumed
    assert report.embedded < 200
    assert contents(out / "data") == contents(tmp_path / "reference" / "data")


def test_shards_of_a_job_given_up_are_of_use(tmp_path: Path, run_build: Build) -> None:
    class StoppedError(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.shard == 2:
            raise StoppedError

    path = put(tmp_path / "in.txt", 60)
    for rows in (60, 61, 62):
        with pytest.raises(StoppedError):
            run_build(put(path, rows), on_progress=stop)
    embedder = FakeEmbedder()
    report = run_build(put(path, 50), by=embedder)
    assert (report.embedded, report.reused, report.resumed) == (10, 40, False)
    assert read_dataset(tmp_path / "out").row_count == 50


def test_second_writer_is_told_of_the_first(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.txt", 100)
    script = [sys.executable, "-m", "tests.datasets.fake_embedder", str(path), str(tmp_path / "out"), "0.1"]
    first = subprocess.Popen(script, stdout=subprocess.PIPE, cwd=_ROOT, text=True)
    try:
        while not (tmp_path / "out" / ".embedhub" / "build").exists() and first.poll() is None:
            time.sleep(0.005)
        started = time.monotonic()
        with pytest.raises(DatasetBusyError, match=rf"\({first.pid}\)"):
            run_build(path)
        assert time.monotonic() - started < 1
    finally:
        told = first.communicate()[0]
    assert told == "100 False\n"
    assert read_dataset(tmp_path / "out").row_count == 100


def test_second_writer_in_one_process(tmp_path: Path, run_build: Build, embedder: FakeEmbedder) -> None:
    path = put(tmp_path / "in.txt", 10)

    def again(_: Any) -> None:
        with open_source(InputRequest(path)) as source:
            build(source, tmp_path / "out", embedder)

    with pytest.raises(DatasetBusyError):
        run_build(path, on_progress=again)


def test_file_size_limit_is_a_full_disk(tmp_path: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.txt", 60)
    with path.open("a") as file:
        # The last shard is the one that is too large.
        file.write(random.Random(1).randbytes(200_000).hex() + "\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(StorageFullError, match="kept"):
            run_build(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    names = sorted(contents(tmp_path / "out" / ".embedhub" / "build" / "data"))
    assert names == [f"train-0000{n}-of-00004.parquet" for n in range(3)]
    report = run_build(path)
    assert (report.embedded, report.resumed) == (1, True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here (that takes root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk(tmp_path: Path, small_disk: Path, run_build: Build) -> None:
    path = put(tmp_path / "in.txt", 100, length=8_000)
    with pytest.raises(StorageFullError, match="free some space"):
        run_build(path, into=small_disk / "out")
    parts = small_disk / "out" / ".embedhub" / "build" / "data"
    names = sorted(contents(parts))
    assert names
    assert all(name.endswith(".parquet") for name in names)
    with pytest.raises(DatasetUnfinishedError):
        read_dataset(small_disk / "out")
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    report = run_build(path, into=small_disk / "out")
    assert report.resumed
    assert report.embedded == 100 - 20 * len(names)


_MEASURED = """
import resource, sys
from pathlib import Path
import numpy as np
from tests.datasets.fake_embedder import EmbeddedTexts, provenance
from embedhub.datasets import BuildOptions, InputRequest, build, export, open_source, read_dataset
from tests.datasets.fake_embedder import FakeEmbedder

class Quick:
    provenance = provenance(dimensions=2)
    def embed(self, texts):
        return EmbeddedTexts(np.ones((len(texts), 2), np.float32), 0, np.zeros(len(texts), np.bool_))

with open_source(InputRequest(sys.argv[1])) as source:
    build(source, Path(sys.argv[2]), Quick(), BuildOptions(shard_rows=2_500))
for _ in read_dataset(sys.argv[2]).iterate_vectors():
    pass
export(sys.argv[2], "jsonl")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (10_000, 100_000):
        path = put(tmp_path / f"{rows}.txt", rows, length=40)
        arguments = [str(path), str(tmp_path / f"out{rows}")]
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=_ROOT,
            env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        peaks.append(int(done.stdout) / 1024)
    # The longer input is 9 MB of text; MiB.
    assert peaks[1] - peaks[0] < 32, peaks
