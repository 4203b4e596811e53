"""A server of a test's own: the tiny model, a home of its own, no network; its process and its socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from embedhub.hub.accounts import DATABASE, Accounts

COMMAND = [sys.executable, "-m", "embedhub", "serve"]

EMBED = "/v1/embeddings"
BODY = {"input": "the one", "model": ""}


@dataclass
class Running:
    """A server that answers, or did."""

    process: subprocess.Popen[bytes]
    log: Path
    home: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")

    def embed(self, token: str = "", **headers: str) -> httpx.Response:
        """Ask for a vector, on a new connection."""
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(self.address + EMBED, json=BODY, headers=authorization | headers, timeout=30)

    def connect(self) -> socket.socket:
        """A connection that waits no longer than a test may."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def accounts(self) -> Accounts:
        """Its tokens."""
        return Accounts(self.home / DATABASE)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Tell it to stop; gives its exit status."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=30)


def surroundings(home: Path, model: Path, **variables: str) -> dict[str, str]:
    """Variables for a server with that home and model, and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMBEDHUB_", "HF_"))}
    mine = {"EMBEDHUB_HOME": str(home), "EMBEDHUB_MODEL": str(model), "EMBEDHUB_DTYPE": "f32", "HF_HUB_OFFLINE": "1"}
    return kept | mine | {"HF_HOME": str(home / "hf")} | variables


@contextmanager
def running(folder: Path, model: Path, *flags: str, **variables: str) -> Iterator[Running]:
    """A server while the block runs; what it keeps is in `folder`."""
    home, log = folder / "home", folder / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [*COMMAND, "--port", "0", *flags],
            stdout=subprocess.DEVNULL,
            stderr=told,
            env=surroundings(home, model, **variables),
            cwd=folder,
        )
    try:
        yield Running(process, log, home, _port(process, log))
    finally:
        process.kill()
        process.wait()


def refused(folder: Path, model: Path, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A server that ends by itself."""
    return subprocess.run(
        [*COMMAND, "--port", "0", *flags],
        capture_output=True,
        text=True,
        env=surroundings(folder / "home", model, **variables),
        cwd=folder,
        timeout=60,
        check=False,
    )


def eventually(holds: object, seconds: float = 10) -> bool:
    """Whether a condition (a function) becomes true."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    def listening() -> bool:
        return process.poll() is not None or b"listening on http://" in log.read_bytes()

    if not eventually(listening, 60) or process.poll() is not None:
        raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')}")
    line = log.read_text().partition("listening on http://")[2].split()[0]
    return int(line.rpartition(":")[2])
