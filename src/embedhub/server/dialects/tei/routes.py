"""The paths of text-embeddings-inference, and the rerank path that it shares with Cohere and Jina."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from embedhub.errors import UnsupportedTaskError
from embedhub.server.dialects.cohere import wire as cohere
from embedhub.server.dialects.cohere.routes import rerank_v1
from embedhub.server.dialects.tei import wire
from embedhub.server.dialects.tei.info import Info, server_info
from embedhub.server.endpoint import Call, Endpoint, Reply, written


async def embed(call: Call) -> Reply:
    """Vectors of texts or of token ids."""
    body: wire.EmbedRequest = await call.read(wire.EmbedRequest)
    answer = await call.service.run(body.model, wire.embed_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.result(answer))


async def embed_all(call: Call) -> Reply:
    """The vectors of each text's tokens."""
    body: wire.EmbedAllRequest = await call.read(wire.EmbedAllRequest)
    answer = await call.service.run(body.model, wire.embed_all_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.token_vectors(answer))


async def embed_sparse(call: Call) -> Reply:
    """Refuses: no model here gives sparse vectors."""
    body: wire.EmbedAllRequest = await call.read(wire.EmbedAllRequest)
    wire.inputs_of(body.inputs)
    raise UnsupportedTaskError("no model here gives sparse vectors; use /embed")


async def predict(call: Call) -> Reply:
    """Labels of texts and of pairs of texts."""
    body: wire.PredictRequest = await call.read(wire.PredictRequest)
    request, lone = wire.classify_request(body)
    answer = await call.service.run(body.model, request, call.caller())
    return await written(call.service, answer, lambda: wire.predictions(answer, lone=lone))


async def rerank(call: Call) -> Reply:
    """Texts by their relevance to a query, in this dialect or, of `documents`, in Cohere's and Jina's."""
    shape: wire.RerankShape = await call.read(wire.RerankShape)
    if shape.documents is not msgspec.UNSET:
        return await rerank_v1(call)
    body: wire.RerankRequest = await call.read(wire.RerankRequest)
    answer = await call.service.run(body.model, wire.rerank_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.ranks(answer, body))


async def similarity(call: Call) -> Reply:
    """The cosine of one text to each of several."""
    body: wire.SimilarityRequest = await call.read(wire.SimilarityRequest)
    answer = await call.service.run(body.model, wire.similarity_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.result(answer))


async def tokenize(call: Call) -> Reply:
    """The tokens of texts."""
    body: wire.TokenizeRequest = await call.read(wire.TokenizeRequest)
    answer = await call.service.run(body.model, wire.tokenize_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.tokens(answer))


async def decode(call: Call) -> Reply:
    """The texts of token ids."""
    body: wire.DecodeRequest = await call.read(wire.DecodeRequest)
    answer = await call.service.run(body.model, wire.decode_request(body), call.caller())
    return await written(call.service, answer, lambda: wire.result(answer))


async def info(call: Call) -> Reply:
    """The default model, the loaded ones and the server's limits."""
    async with call.service.loaded.use(None) as default:
        return Reply(msgspec.json.encode(server_info(call.service.config, default, call.service.loaded.ready)))


def _post(
    path: str, answer: Callable[[Call], Awaitable[Reply]], summary: str, request: Any, response: Any = None
) -> Endpoint:
    fail = wire.failed_either if answer is rerank else wire.failed
    return Endpoint("POST", path, answer, fail, summary, _DIALECT, request=request, response=response)


_DIALECT = "text-embeddings-inference"

ENDPOINTS = (
    _post("/embed", embed, "Vectors of texts", wire.EmbedRequest, list[list[float]]),
    _post("/invocations", embed, "Vectors of texts, as SageMaker asks", wire.EmbedRequest, list[list[float]]),
    _post("/embed_all", embed_all, "Vectors of texts' tokens", wire.EmbedAllRequest, list[list[list[float]]]),
    _post("/embed_sparse", embed_sparse, "Sparse vectors, which no model here gives", wire.EmbedAllRequest),
    _post("/predict", predict, "Labels of texts", wire.PredictRequest, wire.Predictions),
    _post(
        "/rerank",
        rerank,
        "Texts by their relevance to a query",
        wire.RerankRequest | cohere.RerankRequest,
        list[wire.Rank] | cohere.RerankResponse,
    ),
    _post("/similarity", similarity, "How like one text is to others", wire.SimilarityRequest, list[float]),
    _post("/tokenize", tokenize, "Tokens of texts", wire.TokenizeRequest, list[list[wire.SimpleToken]]),
    _post("/decode", decode, "Texts of token ids", wire.DecodeRequest, list[str]),
    Endpoint("GET", "/info", info, wire.failed, "Models and limits", _DIALECT, response=Info),
)
