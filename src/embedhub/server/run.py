"""The server as a process: the application, an address, and a way to stop."""

from collections.abc import Iterable

import uvicorn

from embedhub.config import Settings
from embedhub.server.app import build_app


def serve(config: Settings, models: Iterable[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; what has begun is finished within the grace time.

    Args:
        config: the settings.
        models: models to load first; the first is the default model.
    """
    uvicorn.run(
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
