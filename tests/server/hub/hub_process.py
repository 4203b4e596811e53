"""The Hub's part of the server, without models, as a process that can be killed and started again in an instant.

    python -m tests.server.hub.hub_process HOME

A line on standard input starts a server (its process id is answered), which is a fork of this one; all listen on one
port, whose number comes first.
"""

import asyncio
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from embedhub.config import Settings, read_settings
from embedhub.hub.hosting import Hub
from embedhub.server.app import build_app
from embedhub.server.protocol import GuardedProtocol


@dataclass
class HubProcess:
    """A server that runs, or was killed."""

    parent: "subprocess.Popen[str]"
    home: Path
    address: str
    pid: int = 0

    def start(self) -> None:
        """Start it; requests that come earlier wait."""
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        self.parent.stdin.write("start\n")
        self.parent.stdin.flush()
        self.pid = int(self.parent.stdout.readline())

    def kill(self) -> None:
        """End it as a power cut would; it is gone when this returns."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            while True:
                os.kill(self.pid, 0)
                time.sleep(0.001)

    def restart(self) -> None:
        """Kill it, and start it again at once."""
        self.kill()
        self.start()


@contextmanager
def hub_process(home: Path, **variables: str) -> Iterator[HubProcess]:
    """A server while the block runs, already started."""
    command = [sys.executable, "-m", "tests.server.hub.hub_process", str(home)]
    surroundings = os.environ | {"EMBEDHUB_HOME": str(home), "HF_HUB_OFFLINE": "1"} | variables
    with (home.parent.parent / f"{home.parent.name}.log").open("ab") as told:
        parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True, env=surroundings
        )
    assert parent.stdin is not None
    assert parent.stdout is not None
    made: HubProcess | None = None
    try:
        made = HubProcess(parent, home, f"http://127.0.0.1:{int(parent.stdout.readline())}")
        made.start()
        yield made
    finally:
        if made is not None:
            # While its parent clears it away.
            made.kill()
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()


def _serve(config: Settings, listening: socket.socket) -> None:
    # What the lifespan does but for the models, which take seconds.
    Hub(config.home).start()
    app = build_app(config)
    protocol: Any = partial(GuardedProtocol, patience=float(config.body_seconds))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listening]))


def _main() -> None:
    faulthandler.enable()
    config = read_settings(dict(os.environ))
    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    # Nobody waits for a child: the kernel clears it away.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve(config, listening)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
