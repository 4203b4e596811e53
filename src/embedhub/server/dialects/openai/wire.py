"""OpenAI's JSON to a task's request, and an answer to OpenAI's JSON. Pure.

Source of the protocol: `CreateEmbeddingRequest`, `CreateEmbeddingResponse`, `Model` and `Error` in OpenAI's published
OpenAPI document.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np
import orjson
from msgspec import Meta

from embedhub.errors import RequestError
from embedhub.models import ModelSpec
from embedhub.runtime.answers import Answer
from embedhub.server.endpoint import Reply
from embedhub.server.errors import Failure, without_folders
from embedhub.server.writing import list_parts
from embedhub.tasks import EmbedTexts

Text = Annotated[str, Meta(min_length=1, description="A text; an empty one is refused.")]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Meta(min_length=1, description="A text as token ids.")]
Items = Annotated[
    list[Text | TokenId | TokenIds],
    Meta(
        min_length=1,
        description="Texts, or the token ids of one text, or lists of token ids; all of one kind.",
        # What a type of Python cannot say.
        extra_json_schema={
            "anyOf": [
                {"items": {"type": "string"}},
                {"items": {"type": "integer"}},
                {"items": {"type": "array"}},
            ]
        },
    ),
]

# OpenAI's own names where it has them.
_CODES = {
    "model_not_found": "model_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "overloaded": "rate_limit_exceeded",
}

# Fields that an error is about when its message does not begin with one or give its place.
_FIELDS = {"model_not_found": "model", "task_unsupported": "model", "text_type": "input", "text_too_long": "input"}

_PLACE = re.compile(r"(?:^|at `\$\.|field `)(input|model|encoding_format|dimensions|user)\b")


class EmbeddingRequest(msgspec.Struct):
    """Body of `POST /v1/embeddings`; other fields are ignored.

    Attributes:
        input: a text or several, or token ids of one or several, where those are allowed.
        model: a model or an alias; without it, the default model.
        encoding_format: how vectors are written; without it, as numbers.
        dimensions: width of the vectors, at most the model's; they are of length one again.
        user: whatever the client calls its user; not read.
    """

    input: Text | Items
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class Usage(msgspec.Struct):
    """Tokens of the model's tokenizer that it read: what is cut away of a long text is not counted."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingItem(msgspec.Struct):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingResponse(msgspec.Struct):
    """Vectors in the order of the inputs; `model` is spelled as in the request."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: Usage


class ModelItem(msgspec.Struct):
    """A model that may be asked for.

    Attributes:
        id: its name, or an alias.
        object: always `model`.
        created: when its files came here, in seconds since 1970.
        owned_by: the organisation of its id.
        root: the model itself; differs from `id` for an alias.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str


class ModelList(msgspec.Struct):
    """Models that may be asked for."""

    object: Literal["list"]
    data: list[ModelItem]


def items_of(body: EmbeddingRequest) -> list[str] | list[list[int]]:
    """The inputs, one an entry, of one kind.

    Raises:
        RequestError: texts and token ids are mixed.
    """
    if isinstance(body.input, str):
        return [body.input]
    kinds = set(map(type, body.input))
    if len(kinds) > 1:
        raise RequestError("input mixes texts and token ids; give texts, or ids of one text, or lists of ids")
    return cast("list[list[int]]", [body.input] if kinds == {int} else body.input)


def are_texts(items: list[str] | list[list[int]]) -> bool:
    """Whether these are texts and not token ids."""
    return isinstance(items[0], str)


def token_ids_refused() -> RequestError:
    """Why token ids are not taken, and the ways out."""
    return RequestError(
        "input is token ids, and whose vocabulary they are of is not said: send texts (LangChain: "
        "check_embedding_ctx_length=False), or the header `x-token-ids: cl100k` for ids of OpenAI's tokenizer, or "
        "`x-token-ids: model` for the model's own; EMBEDHUB_TOKEN_IDS sets it for every request"
    )


def task_request(items: Sequence[str] | Sequence[list[int]], body: EmbeddingRequest) -> EmbedTexts:
    """What is asked for."""
    return EmbedTexts(items, normalize=True, dimensions=body.dimensions)


def reply(answer: Answer, body: EmbeddingRequest) -> Reply:
    """The vectors as OpenAI's list."""
    vectors = np.ascontiguousarray(answer.result, "<f4")
    tokens = answer.read_tokens
    rest = {
        "model": body.model or answer.loaded.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    if body.encoding_format == "base64":
        data = list_parts(_item(index, b64encode(vector).decode("ascii")) for index, vector in enumerate(vectors))
    else:
        data = list_parts(_item(index, vector) for index, vector in enumerate(vectors))
    # Joined by hand: the vectors are written in lots, what stands around them is not.
    parts = [b'{"object":"list","data":', *data, b",", orjson.dumps(rest)[1:]]
    return Reply(b"".join(parts), answer=answer)


def _item(index: int, embedding: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def model_list(models: Mapping[str, ModelSpec], created: Callable[[ModelSpec], int]) -> Reply:
    """Models by the names they may be asked for."""
    data = [_model(name, spec, created(spec)) for name, spec in models.items()]
    return Reply(msgspec.json.encode(ModelList("list", data)))


def model(name: str, spec: ModelSpec, created: int) -> Reply:
    """One model."""
    return Reply(msgspec.json.encode(_model(name, spec, created)))


def _model(name: str, spec: ModelSpec, created: int) -> ModelItem:
    # A folder of this machine is called by its last part.
    id = without_folders(spec.id)
    organisation, slash, _ = id.partition("/")
    return ModelItem(name, "model", created, organisation if slash else "embedhub", id)


def failed(failure: Failure) -> Reply:
    """OpenAI's nested error body."""
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    place = _PLACE.search(failure.message)
    error = {
        "message": failure.message,
        "type": "requests" if failure.status == 429 else kind,
        "param": place[1] if place else _FIELDS.get(failure.code),
        "code": _CODES.get(failure.code, failure.code),
    }
    # OpenAI's clients try a 5xx again, and read this header.
    headers = {"x-should-retry": "false"} if failure.status == 501 else {}
    return Reply(orjson.dumps({"error": error}), headers=headers)
