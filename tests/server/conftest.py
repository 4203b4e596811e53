"""A real server with the real model, on a free port of this machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.cl100k_file import NotFetchedError, fetch

from embedhub.config import DEFAULT_MODEL, settings

Start = Callable[..., str]


def _serve(log: Path, *flags: str, **environment: str) -> tuple[subprocess.Popen[bytes], str]:
    """A server and its address, once it answers."""
    command = [sys.executable, "-m", "embedhub", "serve", "--port", "0", *flags]
    surroundings = os.environ | {"EMBEDHUB_DTYPE": "f32"} | environment
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, env=surroundings)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if "http://" in line and "listening" in line:
                return process, "http://" + line.split("http://")[1].split()[0].rstrip('/"}')
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, default_model: object) -> Iterator[str]:
    """Address of a server with default settings."""
    del default_model  # asked for so that it has been fetched
    process, address = _serve(tmp_path_factory.mktemp("server") / "log")
    yield address
    _stop(process)


@pytest.fixture
def start_server(tmp_path: Path, default_model: object) -> Iterator[Start]:
    """Starts servers of a test's own: `start_server("--flag", "value", EMBEDHUB_X="…")` gives the address."""
    del default_model
    processes: list[subprocess.Popen[bytes]] = []

    def start(*flags: str, **environment: str) -> str:
        process, address = _serve(tmp_path / f"log{len(processes)}", *flags, **environment)
        processes.append(process)
        return address

    yield start
    for process in processes:
        _stop(process)


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    """A client of `server`."""
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of the programs in `javascript/`."""
    found = shutil.which("node")
    assert found, "Node is missing: apt-get install nodejs npm"
    packages = Path(__file__).parent / "javascript" / "node_modules"
    assert packages.is_dir(), "its packages are missing: make test-clients installs them"
    return found


@pytest.fixture(scope="session")
def cl100k_folder() -> Path:
    """The folder with OpenAI's vocabulary cl100k_base; fetched once for all runs."""
    try:
        return fetch(settings().vocabularies)
    except NotFetchedError as error:
        pytest.skip(f"OpenAI's vocabulary cl100k_base cannot be fetched: {error}")


@pytest.fixture(scope="session")
def openai_server(
    tmp_path_factory: pytest.TempPathFactory, cl100k_folder: Path, default_model: object
) -> Iterator[str]:
    """Address of a server that stands in for OpenAI: takes its model's name and its token ids."""
    del default_model
    process, address = _serve(
        tmp_path_factory.mktemp("openai") / "log",
        "--token-ids",
        "cl100k",
        EMBEDHUB_MODEL_ALIASES=f"text-embedding-ada-002={DEFAULT_MODEL}",
        TIKTOKEN_CACHE_DIR=str(cl100k_folder),
    )
    yield address
    _stop(process)
