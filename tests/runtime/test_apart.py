"""What ends a process apart ends no other, and who asks next is answered."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.processes import eventually

from embedhub.errors import DatasetError
from embedhub.runtime.apart import Apart


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run there must be found there."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


@pytest.fixture
def apart() -> Iterator[Apart]:
    made = Apart(memory_bytes=512 << 20, seconds=20)
    yield made
    made.close()


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def dies(number: int) -> None:
    os.kill(os.getpid(), number)


def crashes() -> None:
    ctypes.string_at(0)


def takes_memory() -> int:
    return len(bytearray(1 << 30))


def refuses(error: Exception) -> None:
    raise error


def test_it_is_done_in_a_process_that_stays(apart: Apart) -> None:
    first, second = apart.run("a.csv", double, 21), apart.run("a.csv", double, 4)
    assert (first[0], second[0]) == (42, 8)
    assert first[1] == second[1] != os.getpid()


def test_several_are_done_side_by_side(apart: Apart) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(apart.run("a.csv", double, 1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({process for _, process in found}) <= 2


@pytest.mark.parametrize("arguments", [(crashes,), (dies, signal.SIGKILL), (dies, signal.SIGSEGV)])
def test_one_that_ends_is_an_error_and_another_takes_its_place(apart: Apart, arguments: tuple[object, ...]) -> None:
    with pytest.raises(DatasetError, match=r"a\.csv cannot be read"):
        apart.run("a.csv", *arguments)  # type: ignore[arg-type]
    assert apart.run("a.csv", double, 1)[0] == 2


def test_one_that_died_while_it_had_nothing_to_do_is_not_asked(apart: Apart) -> None:
    _, process = apart.run("a.csv", double, 1)
    os.kill(process, signal.SIGKILL)
    time.sleep(0.1)
    assert apart.run("a.csv", double, 2)[0] == 4


def test_memory_is_limited(apart: Apart) -> None:
    with pytest.raises(DatasetError, match="memory"):
        apart.run("a.csv", takes_memory)
    assert apart.run("a.csv", double, 1)[0] == 2


def test_time_is_limited() -> None:
    short = Apart(seconds=1)
    with pytest.raises(DatasetError, match="more than 1 s"):
        short.run("a.csv", time.sleep, 60)
    short.close()


def test_errors_are_those_of_the_function(apart: Apart) -> None:
    for error in (DatasetError("x is broken"), FileNotFoundError(2, "not there", "x"), ValueError("a bug")):
        with pytest.raises(type(error), match=str(error.args[-1])):
            apart.run("a.csv", refuses, error)


def test_processes_end_with_it(apart: Apart) -> None:
    _, process = apart.run("a.csv", double, 1)
    apart.close()
    assert eventually(lambda: not Path(f"/proc/{process}").exists())
