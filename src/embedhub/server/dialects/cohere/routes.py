"""The paths of Cohere's and Jina's rerank APIs, and of Cohere's embed."""

from uuid import uuid4

from embedhub.server.dialects.cohere import embed_wire, wire
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


async def embed_v1(call: Call) -> Reply:
    """Vectors of texts, Cohere's first version."""
    return await _embed(call, "1")


async def embed_v2(call: Call) -> Reply:
    """Vectors of texts, Cohere's second version."""
    return await _embed(call, "2")


async def _embed(call: Call, version: str) -> Reply:
    body: embed_wire.EmbedRequest = await call.read(embed_wire.EmbedRequest)
    texts = embed_wire.texts_of(body)
    spec = await call.service.describe(body.model)
    answer = await call.service.run(body.model, embed_wire.task_request(body, texts, spec), call.caller())
    return await written(
        call.service, answer, lambda: embed_wire.reply(answer, body, texts, version=version, id=str(uuid4()))
    )


ENDPOINTS = (
    *(
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
    ),
    *(
        Endpoint(
            "POST",
            path,
            answer,
            wire.failed,
            "Vectors of texts, as Cohere's clients ask",
            "cohere",
            request=embed_wire.EmbedRequest,
            response=embed_wire.EmbedResponse,
            example={"texts": ["How can Medicare help me?"], "input_type": "search_query"},
        )
        for path, answer in (("/v1/embed", embed_v1), ("/v2/embed", embed_v2))
    ),
)
