"""The server as a process: the application, an address, and a way to stop."""

import logging
import socket
from collections.abc import Iterable

import uvicorn

from embedhub.config import Settings
from embedhub.server.app import build_app
from embedhub.server.logs import start_logging

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says where it listens once it does: with port 0 only it knows."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the models, listen, and say so."""
        await super().startup(sockets)
        for server in getattr(self, "servers", []):
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                logger.info("listening on http://%s:%d", shown, port)


def serve(config: Settings, models: Iterable[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; what has begun is finished within the grace time.

    Args:
        config: the settings.
        models: models to load first; the first is the default model.
    """
    start_logging(config)
    _Server(
        uvicorn.Config(
            build_app(config, models),
            host=config.host,
            port=config.port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=config.grace_seconds,
            lifespan="on",
        )
    ).run()
