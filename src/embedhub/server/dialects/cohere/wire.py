"""Cohere's and Jina's rerank JSON to a task's request, and an answer to JSON that clients of both read. Pure.

Sources of the protocol: Cohere's published OpenAPI document (`rerank`, v1 and v2) and Jina's reranker API. One body
serves both: Cohere's clients read `id`, `results` and `meta`, Jina's read `model`, `results` and `usage`.
"""

from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from embedhub.errors import RequestError
from embedhub.runtime.answers import Answer
from embedhub.server.endpoint import Reply
from embedhub.server.errors import Failure
from embedhub.tasks import RerankTexts

# Cohere counts a query with up to so many documents as one search.
_DOCUMENTS_OF_A_SEARCH = 100

Count = Annotated[int, Meta(ge=1)]
Document = str | dict[str, Any]


class RerankRequest(msgspec.Struct):
    """Body of `POST /v1/rerank` and `POST /v2/rerank`.

    A document is a text, or an object whose fields named by `rank_fields` (else `text`) are read, in that order.
    `max_chunks_per_doc` and `max_tokens_per_doc` are accepted and change nothing: a model reads as much as it can.
    """

    query: str
    documents: Annotated[list[Document], Meta(min_length=1)]
    model: str | None = None
    top_n: Count | None = None
    return_documents: bool | None = None
    rank_fields: Annotated[list[str], Meta(min_length=1)] | None = None
    max_chunks_per_doc: Count | None = None
    max_tokens_per_doc: Count | None = None


class Result(msgspec.Struct):
    """A document's place in the list that was sent, and how relevant it is."""

    index: int
    relevance_score: float
    document: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ApiVersion(msgspec.Struct):
    """Which of Cohere's versions the path named."""

    version: str


class BilledUnits(msgspec.Struct):
    """What Cohere would have counted; nothing is billed here."""

    search_units: int


class ResponseMeta(msgspec.Struct):
    """Cohere's part of the answer."""

    api_version: ApiVersion
    billed_units: BilledUnits


class Usage(msgspec.Struct):
    """Jina's part of the answer: tokens that were read of the query and the documents."""

    total_tokens: int
    prompt_tokens: int


class RerankResponse(msgspec.Struct):
    """Best first. `object` is always `list`."""

    id: str
    model: str
    object: str
    results: list[Result]
    usage: Usage
    meta: ResponseMeta


def task_request(body: RerankRequest) -> RerankTexts:
    """What is asked for.

    Raises:
        RequestError: a document without a text.
    """
    fields = body.rank_fields or ["text"]
    texts = [
        each if isinstance(each, str) else _text(each, fields, number) for number, each in enumerate(body.documents)
    ]
    return RerankTexts(body.query, texts, top_k=body.top_n)


def reply(answer: Answer, body: RerankRequest, *, version: str, id: str) -> Reply:
    """The ranking.

    Args:
        answer: of the body's request.
        body: says whether documents come back; if it does not, v1 gives them, as Jina does, and v2 does not.
        version: Cohere's version of the path, 1 or 2.
        id: the answer's own.
    """
    shown = version == "1" if body.return_documents is None else body.return_documents
    tokens = answer.read_tokens
    response = RerankResponse(
        id=id,
        model=body.model or answer.loaded.name,
        object="list",
        results=[
            Result(each.index, each.score, _shown(body.documents[each.index]) if shown else msgspec.UNSET)
            for each in answer.result
        ],
        usage=Usage(tokens, tokens),
        meta=ResponseMeta(ApiVersion(version), BilledUnits(-(-len(body.documents) // _DOCUMENTS_OF_A_SEARCH))),
    )
    return Reply(msgspec.json.encode(response), answer=answer)


def failed(failure: Failure) -> Reply:
    """Cohere's error body, `message`, and Jina's, `detail`, in one."""
    return Reply(orjson.dumps({"message": failure.message, "detail": failure.message}))


def _text(document: dict[str, Any], fields: list[str], number: int) -> str:
    parts = [document[field] for field in fields if isinstance(document.get(field), str)]
    if not parts:
        raise RequestError(f"document {number} has no text in: {', '.join(fields)}; name its fields in rank_fields")
    return "\n".join(parts)


def _shown(document: Document) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document
