"""Servers to be measured, and the load on them.

Knows how each server is started and asked, and how `wrk` is called. Refuses to know targets.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from measure import HERE

START_SECONDS = 180


@dataclass(frozen=True)
class Load:
    """What a load did: requests answered, seconds it took, seconds of the median and of the slowest hundredth."""

    requests: int
    seconds: float
    p50: float
    p99: float
    bad_statuses: int
    broken: int

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.bad_statuses) / self.seconds

    @property
    def errors(self) -> int:
        """Answers that were no success, and connections that broke or timed out."""
        return self.bad_statuses + self.broken


class Server:
    """A server process.

    Args:
        name: as shown.
        command: gets the port.
        path: where embeddings are asked for.
        environment: beside the process's own.

    Raises:
        RuntimeError: it does not answer within START_SECONDS.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        path: str,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.embeddings = self.url + path
        # A file, because a pipe that nobody reads fills up and stops the process.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process is
        start = time.perf_counter()
        self._process = subprocess.Popen(
            list(command(port)),
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | {"HF_HUB_OFFLINE": "1"} | (environment or {}),
        )
        self._wait(start)
        self.start_seconds = time.perf_counter() - start

    def resident_bytes(self) -> int:
        """Memory of the process."""
        return self._memory("VmRSS")

    def private_bytes(self) -> int:
        """Memory of the process that no file backs."""
        return self._memory("RssAnon")

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(timeout=60)
        self._errors.close()

    def _memory(self, kind: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(kind)).split()[1]) * 1024

    def _wait(self, start: float) -> None:
        # One client, whose making takes time that the server would lack.
        with httpx.Client(timeout=30) as client:
            while time.perf_counter() - start < START_SECONDS:
                if self._process.poll() is not None:
                    break
                try:
                    if client.post(self.embeddings, json=body("ready")).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    time.sleep(0.02)
        self._process.kill()
        self._errors.seek(0)
        raise RuntimeError(f"{self.name} did not start: {self._errors.read().strip()[-300:]}")


def embedhub_server(python: str, model: Path, dtype: str) -> Server:
    """Embedhub in one number type, remembering nothing."""
    flags = ["--model", str(model), "--dtype", dtype, "--cache-mb", "0"]
    flags += ["--model-aliases", f"default={model}"]
    return Server(
        f"embedhub {dtype}",
        lambda port: [python, "-m", "embedhub", "serve", "--port", str(port), *flags],
        "/v1/embeddings",
        {"EMBEDHUB_LOG_LEVEL": "warning"},
    )


def infinity_server(python: str, model: Path) -> Server:
    """Infinity with torch on the CPU."""
    flags = ["--model-id", str(model), "--engine", "torch", "--device", "cpu", "--served-model-name", "default"]
    executable = str(Path(python).with_name("infinity_emb"))
    return Server(
        "infinity",
        lambda port: [executable, "v2", *flags, "--no-bettertransformer", "--port", str(port)],
        "/embeddings",
        {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
    )


def body(text: str | Sequence[str], encoding_format: str = "base64") -> dict[str, Any]:
    """A request in OpenAI's way, as OpenAI's own client sends it."""
    return {"input": text, "model": "default", "encoding_format": encoding_format}


def write_bodies(texts: Sequence[str | Sequence[str]], path: Path) -> Path:
    """A file of request bodies, one a line."""
    path.write_text("".join(json.dumps(body(text)) + "\n" for text in texts), encoding="utf-8")
    return path


def load(server: Server, bodies: Path, connections: int, seconds: float, first: int = 0) -> Load:
    """Keep so many connections busy for so long."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "--latency"]
    words += ["-s", str(HERE / "load.lua"), server.embeddings, "--", str(bodies), str(first)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    told = next(line for line in printed.splitlines() if line.startswith("{"))
    return Load(**json.loads(told))


def missing_tools() -> str:
    """What has to be installed first, as one line; empty when nothing."""
    return "" if shutil.which("wrk") else "wrk is missing: apt-get install wrk"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
