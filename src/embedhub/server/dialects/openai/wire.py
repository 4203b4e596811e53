"""OpenAI's JSON to a task's request, and an answer to OpenAI's JSON. Pure.

Source of the protocol: `CreateEmbeddingRequest` and `CreateEmbeddingResponse` in OpenAI's published OpenAPI document.
"""

import base64
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson
from msgspec import Meta

from embedhub.runtime.service import Answer
from embedhub.server.endpoint import Reply
from embedhub.server.errors import Failure
from embedhub.tasks import EmbedTexts

Text = Annotated[str, Meta(min_length=1)]
TokenId = Annotated[int, Meta(ge=0)]


class EmbeddingRequest(msgspec.Struct):
    """Body of `POST /v1/embeddings`."""

    input: str | list[str | list[TokenId]]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


def task_request(body: EmbeddingRequest) -> EmbedTexts:
    """What is asked for."""
    inputs = [body.input] if isinstance(body.input, str) else body.input
    return EmbedTexts(inputs, normalize=True, dimensions=body.dimensions)


def reply(answer: Answer, encoding_format: str, model: str) -> Reply:
    """The vectors as OpenAI's list."""
    tokens = int(answer.tokens.sum())
    vectors = np.ascontiguousarray(answer.result, "<f4")
    if encoding_format == "base64":
        shown: list[Any] = [base64.b64encode(vector).decode() for vector in vectors]
    else:
        shown = list(vectors)
    body = orjson.dumps(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(shown)],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Reply(body, answer=answer)


def failed(failure: Failure) -> Reply:
    """OpenAI's nested error body."""
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    return Reply(
        orjson.dumps({"error": {"message": failure.message, "type": kind, "param": None, "code": failure.code}})
    )
