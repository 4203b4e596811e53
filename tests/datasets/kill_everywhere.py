"""Kill a build at every step that touches the disk, and see that the next run mends it. Run by test_interruption.

    python -m tests.datasets.kill_everywhere FOLDER [FIRST_TEXTS]

Children are forked before pyarrow has started a thread, which is why this is a process of its own: importing it anew
for each of the steps would take a second a step.
"""

import importlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.datasets.fake_embedder import OPTIONS, FakeEmbedder

from embedhub.datasets import BuildReport, InputRequest, build, open_source, read_dataset
from embedhub.datasets.folder import readable_shards
from embedhub.errors import DatasetNotFoundError, DatasetUnfinishedError


def build_from(path: Path, out: Path) -> tuple[BuildReport, FakeEmbedder]:
    embedder = FakeEmbedder(by_slice=True)
    with open_source(InputRequest(path)) as source:
        return build(source, out, embedder, OPTIONS), embedder


def in_child(action: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        action()
    except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as if it were the parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def die_at(step: int) -> None:
    """Make this process kill itself instead of its n-th fsync, rename, removal or folder."""
    left = step

    def deadly(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return call

    for name in ("fsync", "rename", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, deadly(getattr(os, name)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def check(out: Path, path: Path, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    """A killed build is unfinished, or the old dataset, or the new one; and the next run makes it the new one."""
    try:
        read_dataset(out)
        data = contents(out / "data")
        assert data in ([old, new] if old else [new]), "a mixture passes for a dataset"
    except (DatasetUnfinishedError, DatasetNotFoundError):
        assert not (out / "data").exists()
    parts = readable_shards(out / ".embedhub" / "build" / "data")
    kept = {shard.path.name: shard.path.stat().st_ino for shard in parts}
    report, embedder = build_from(path, out)
    assert contents(out / "data") == new, "the continued build differs"
    for shard in read_dataset(out).shards:
        if shard.path.name in kept:
            assert shard.path.stat().st_ino == kept[shard.path.name], "a finished shard was written again"
    missing = [shard for shard in read_dataset(out).shards if shard.path.name not in kept]
    if not report.up_to_date:
        assert len(embedder.texts) <= sum(shard.counts.embedded for shard in missing)
    assert sorted(entry.name for entry in (out / ".embedhub").iterdir()) == ["lock", "writer"]
    assert sorted(entry.name for entry in out.iterdir()) == [".embedhub", ".gitignore", "README.md", "data"]


def main() -> None:
    # pyarrow imports it when it first sees an array, which in every child would take longer than the build.
    with suppress(ImportError):
        importlib.import_module("pandas")
    folder = Path(sys.argv[1])
    first, second = folder / "first.txt", folder / "second.txt"
    first.write_text("".join(f"text {n % 40}\n" for n in range(65)))
    second.write_text("".join(f"text {n}\n" for n in range(30, 90)))
    replacing = len(sys.argv) > 2
    path = second if replacing else first
    before, reference = folder / "before", folder / "reference"

    def prepare() -> None:
        if replacing:
            build_from(first, before)
            build_from(first, reference)
        build_from(path, reference)

    assert in_child(prepare) == 0
    old = contents(before / "data") if replacing else {}
    new = contents(reference / "data")
    step, killed = 0, 0
    while True:
        step += 1
        out = folder / f"out{step}"
        if replacing:
            shutil.copytree(before, out)

        def run(step: int = step, out: Path = out) -> None:
            die_at(step)
            build_from(path, out)

        status = in_child(run)
        if status == 0:
            break
        assert os.WIFSIGNALED(status), "the build failed before it was killed"
        killed += 1
        assert in_child(partial(check, out, path, old, new)) == 0, f"after step {step}"
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main()
