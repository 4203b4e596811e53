"""The one place where rooms are wired together: settings in, an ASGI application out."""

import contextlib
from collections.abc import AsyncIterator, Iterable

from starlette.applications import Starlette

from embedhub.config import Settings
from embedhub.runtime.service import Service
from embedhub.server.auth import Gate
from embedhub.server.dialects.hf.routes import ENDPOINTS as HF
from embedhub.server.dialects.openai.cl100k import vocabulary
from embedhub.server.dialects.openai.routes import ENDPOINTS as OPENAI
from embedhub.server.endpoint import as_route


def build_app(config: Settings, models: Iterable[str] = ()) -> Starlette:
    """The server.

    Args:
        config: the settings.
        models: models to load first; the first is the default model.

    Raises:
        MissingExtraError, ModelIntegrityError: a vocabulary that the settings ask for cannot be read.
    """
    if config.token_ids == "cl100k":
        # Read at once: without it the server would refuse what it was told to take.
        vocabulary(config.vocabularies)
    service = Service(config, models)
    gate = Gate()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    return Starlette(routes=[as_route(endpoint, service, gate) for endpoint in (*OPENAI, *HF)], lifespan=lifespan)
