"""The paths of OpenAI's API."""

import asyncio

from embedhub.config import TOKEN_IDS
from embedhub.errors import RequestError
from embedhub.models import ModelSpec
from embedhub.server.dialects.openai import wire
from embedhub.server.dialects.openai.cl100k import texts_of, vocabulary
from embedhub.server.endpoint import Call, Endpoint, Reply, written


async def embeddings(call: Call) -> Reply:
    """Vectors of texts."""
    body: wire.EmbeddingRequest = await call.read(wire.EmbeddingRequest)
    items = wire.items_of(body)
    if not wire.are_texts(items):
        items = await _allowed_ids(call, items)  # type: ignore[arg-type]
    answer = await call.service.run(body.model or None, wire.task_request(items, body), call.caller())
    return await written(call.service, answer, lambda: wire.reply(answer, body))


async def models(call: Call) -> Reply:
    """Models that may be asked for."""

    def look() -> Reply:
        return wire.model_list(call.service.loaded.available(), _created)

    return await asyncio.to_thread(look)


async def model(call: Call) -> Reply:
    """One of them."""
    name: str = call.path["model"]

    def look() -> Reply:
        spec = call.service.loaded.find_available(name)
        return wire.model(name, spec, _created(spec))

    return await asyncio.to_thread(look)


async def _allowed_ids(call: Call, inputs: list[list[int]]) -> list[str] | list[list[int]]:
    """Token ids as the request or the settings want them read.

    Raises:
        RequestError: they are refused, or a header that is not known.
    """
    mode = call.headers.get("x-token-ids", call.service.config.token_ids).strip().lower()
    if mode not in TOKEN_IDS:
        raise RequestError(f"the header x-token-ids is {mode!r:.40}; it may be {', '.join(TOKEN_IDS)}")
    if mode == "refuse":
        raise wire.token_ids_refused()
    if mode == "model":
        return inputs
    folder = call.service.config.vocabularies
    return await call.service.json_threads.run(lambda: texts_of(inputs, vocabulary(folder)))


def _created(spec: ModelSpec) -> int:
    return int(spec.folder.stat().st_mtime)


ENDPOINTS = (
    *(
        Endpoint(
            "POST",
            path,
            embeddings,
            wire.failed,
            "Vectors of texts",
            "openai",
            request=wire.EmbeddingRequest,
            response=wire.EmbeddingResponse,
        )
        for path in ("/v1/embeddings", "/embeddings")
    ),
    *(
        Endpoint(
            "GET",
            path,
            models,
            wire.failed,
            "Models that may be asked for",
            "openai",
            response=wire.ModelList,
        )
        for path in ("/v1/models", "/models")
    ),
    Endpoint(
        "GET",
        "/v1/models/{model:path}",
        model,
        wire.failed,
        "One of the models",
        "openai",
        response=wire.ModelItem,
    ),
)
