"""The paths of Cohere's and Jina's rerank APIs."""

from uuid import uuid4

from embedhub.server.dialects.cohere import wire
from embedhub.server.endpoint import Call, Endpoint, Reply, written


async def rerank_v1(call: Call) -> Reply:
    """Documents by relevance, Cohere's first version and Jina's."""
    return await _rerank(call, "1")


async def rerank_v2(call: Call) -> Reply:
    """Documents by relevance, Cohere's second version."""
    return await _rerank(call, "2")


async def _rerank(call: Call, version: str) -> Reply:
    body: wire.RerankRequest = await call.read(wire.RerankRequest)
    answer = await call.service.run(body.model, wire.task_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.reply(answer, body, version=version, id=str(uuid4())))


ENDPOINTS = tuple(
    Endpoint(
        "POST",
        path,
        answer,
        wire.failed,
        "Documents by their relevance to a query",
        "cohere",
        request=wire.RerankRequest,
        response=wire.RerankResponse,
    )
    for path, answer in (("/v1/rerank", rerank_v1), ("/v2/rerank", rerank_v2))
)
