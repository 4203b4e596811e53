"""The paths of OpenAI's API."""

from embedhub.server.dialects.openai import wire
from embedhub.server.endpoint import Call, Endpoint, Reply


async def embeddings(call: Call) -> Reply:
    """Vectors of texts."""
    body: wire.EmbeddingRequest = call.json(wire.EmbeddingRequest)
    answer = await call.service.run(body.model or None, wire.task_request(body), call.caller())
    return wire.reply(answer, body.encoding_format, body.model or answer.loaded.name)


ENDPOINTS = tuple(
    Endpoint(
        "POST",
        path,
        embeddings,
        wire.failed,
        "Vectors of texts",
        "openai",
        request=wire.EmbeddingRequest,
    )
    for path in ("/v1/embeddings", "/embeddings")
)
