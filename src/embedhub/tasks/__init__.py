"""What a caller may ask a model for. Pure: no threads, no files, no sockets.

Each task is a frozen request and a function that turns it into a `Plan`: jobs for the encoder, and what becomes of
their outputs. A library call, a server and a cluster run the same plans. `prepare` finds the function by the request's
type; `REQUESTS` is the whole list.
"""

from collections.abc import Callable
from typing import Any

from embedhub.tasks.classification import ClassifyTexts, Labelled, prepare_classification
from embedhub.tasks.embedding import EmbedTexts, EmbedTokens, prepare_embedding, prepare_tokens
from embedhub.tasks.plan import AnyModel, Plan
from embedhub.tasks.reranking import Ranked, RerankTexts, prepare_reranking
from embedhub.tasks.similarity import CompareTexts, prepare_similarity

__all__ = [
    "REQUESTS",
    "AnyModel",
    "ClassifyTexts",
    "CompareTexts",
    "EmbedTexts",
    "EmbedTokens",
    "Labelled",
    "Plan",
    "Ranked",
    "Request",
    "RerankTexts",
    "prepare",
]

Request = ClassifyTexts | CompareTexts | EmbedTexts | EmbedTokens | RerankTexts

REQUESTS: dict[type, Callable[[AnyModel, Any], Plan[Any]]] = {
    ClassifyTexts: prepare_classification,
    EmbedTexts: prepare_embedding,
    EmbedTokens: prepare_tokens,
    CompareTexts: prepare_similarity,
    RerankTexts: prepare_reranking,
}


def prepare(model: AnyModel, request: Request) -> Plan[Any]:
    """The plan of a request.

    Raises:
        UnsupportedTaskError: the model is of a kind that cannot do this.
        InputError, SettingError: something is wrong with the request; messages count its inputs from 0.
    """
    return REQUESTS[type(request)](model, request)
