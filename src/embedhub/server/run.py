"""The server as a process: settings in, an exit status out. Knows sockets and signals; what is served, `app` knows.

The first SIGTERM or SIGINT ends it in good order, with status 0; the second at once.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette

from embedhub import __version__
from embedhub.config import Settings
from embedhub.errors import SettingError
from embedhub.runtime.aliases import dead_aliases
from embedhub.server.app import build_app
from embedhub.server.auth import Gate
from embedhub.server.logs import start_logging
from embedhub.server.origins import is_loopback
from embedhub.server.protocol import GuardedProtocol

logger = logging.getLogger(__name__)

_BACKLOG = 2048

# Longer than any client keeps a connection for its next request (a program that hashes a large file keeps it for as
# long as that takes): whoever closes first must not be the server, whose end a client may hear of too late.
_KEEP_ALIVE_SECONDS = 75

# A connection is a file; the usual 1,024 are few.
_FILES = 65_536


class _Server(uvicorn.Server):
    """Says where it listens once it does; leaves signals to `_stopped_by_signals`."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._tell()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: they are captured from before the models are loaded."""
        yield


def serve(config: Settings, models: Iterable[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; what has begun is finished within the grace time.

    Args:
        config: the settings.
        models: models to load first; the first is the default model.

    Raises:
        SettingError: the address cannot be had, or everybody would be let in without anybody having said so.
        HubDatabaseError: the file of tokens is damaged.
        ModelError: a model cannot be loaded.
    """
    start_logging(config)
    models = list(models) or list(config.models) or [config.model]
    gate = Gate(config)
    if not is_loopback(config.host) and not gate.has_tokens and not config.allow_anonymous:
        raise SettingError(
            f"on {config.host or 'every address'} anybody could ask: make a token first (`embedhub token create --user "
            "NAME`), or let everybody in with --allow-anonymous (EMBEDHUB_ALLOW_ANONYMOUS)"
        )
    _allow_many_files()
    # Before the models are loaded: a port that is busy is told at once.
    listening = bound_sockets(config.host, config.port)
    app = build_app(config, models, gate)
    server = _Server(
        uvicorn.Config(
            app,
            http=partial(GuardedProtocol, patience=float(config.body_seconds)),  # type: ignore[arg-type]
            ws="none",
            # The lifespan is entered here: uvicorn would log a traceback for a model that is not there.
            lifespan="off",
            log_config=None,
            log_level=logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.ERROR,
            access_log=False,
            server_header=False,
            # An address that anybody can write into a header is none to limit by.
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=config.grace_seconds,
        ),
        lambda: _tell(app, gate, listening, models),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(server, app, listening, config))


async def _serve(server: _Server, app: Starlette, listening: list[socket.socket], config: Settings) -> None:
    host, port = listening[0].getsockname()[:2]
    with _stopped_by_signals(server, app.state.runner.stop_watching):
        async with app.router.lifespan_context(app):
            # What was made until now stays: to look through it for garbage again and again holds up requests by 50 ms.
            gc.freeze()
            telling = asyncio.create_task(_tell_dead_aliases(app, config))
            try:
                await server.serve(sockets=listening)
            except OSError as error:
                # Two that start at once may both have bound the port; only one listens.
                raise _no_address(error, host, port) from error
            finally:
                telling.cancel()


async def _tell_dead_aliases(app: Starlette, config: Settings) -> None:
    """Beside the first requests: looking through the disk takes longer than a server may take to start."""
    for told in await dead_aliases(app.state.models, config):
        logger.warning("%s", told)


def _tell(app: Starlette, gate: Gate, listening: list[socket.socket], models: list[str]) -> None:
    """Say where, what and to whom: with port 0 only the socket knows."""
    docs = any(getattr(route, "path", "") == "/docs" for route in app.routes)
    for address in map(_address, listening):
        logger.info("listening on %s%s", address, f" (documentation: {address}/docs)" if docs else "")
    if gate.has_tokens:
        who = "a token is needed" + (", except to read" if gate.anonymous_scope else "")
    elif gate.anonymous_scope == "admin":
        who = "no token is needed on this machine (`embedhub token create` makes one)"
    else:
        who = "no token is needed to read, by anybody who reaches this address"
    logger.info("embedhub %s serves %s; %s", __version__, ", ".join(models), who)


@contextlib.contextmanager
def _stopped_by_signals(server: _Server, told: Callable[[], None]) -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        if server.should_exit:
            logger.warning("stopped at once")
            os._exit(128 + signum)
        server.should_exit = True
        # Who watches a job would be waited for until the grace time is over.
        told()
        if not server.started:
            # Nothing has begun that could be finished, and a library that compiles cannot be interrupted.
            os._exit(0)
        logger.info("stopping: what has begun is finished; the same signal again stops at once")

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address of a host, bound but not listening yet; with port 0 all have the same port.

    Raises:
        SettingError: there is no such host, or the port is busy or not permitted.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingError(f"{host!r} is no address of this machine ({error}); set another with --host") from error
    made: list[socket.socket] = []
    # A name may stand for an address twice.
    for family, kind, protocol, _, address in dict.fromkeys(found):
        chosen: tuple[Any, ...] = (address[0], port or (made[0].getsockname()[1] if made else 0), *address[2:])
        each = socket.socket(family, kind, protocol)
        try:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(chosen)
        except OSError as error:
            each.close()
            # A machine may know localhost as ::1 and have no IPv6.
            if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                continue
            for other in made:
                other.close()
            raise _no_address(error, host, port) from error
        made.append(each)
    if not made:
        raise SettingError(f"{host!r} is no address of this machine; set another with --host (EMBEDHUB_HOST)")
    return made


def _no_address(error: OSError, host: str, port: int) -> SettingError:
    if error.errno == errno.EADDRINUSE:
        return SettingError(f"port {port} of {host} is in use: end what uses it, or set another with --port")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SettingError(f"port {port} of {host} is not permitted to this user: set one above 1023 with --port")
    return SettingError(f"cannot listen on {host} port {port} ({error.strerror}): set others with --host and --port")


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
