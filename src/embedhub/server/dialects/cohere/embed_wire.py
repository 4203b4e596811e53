"""Cohere's embed JSON to a task's request, and vectors to Cohere's JSON. Pure.

Source of the protocol: Cohere's published OpenAPI document (`embed`, v1 and v2). `binary` and `ubinary` are a vector's
signs, eight a byte; `int8` and `uint8` need ranges that Cohere measured for its own models, and are refused.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from embedhub.engine.prompts import DOCUMENT, QUERY, first_prompt
from embedhub.errors import RequestError
from embedhub.models import ModelSpec
from embedhub.runtime.answers import Answer
from embedhub.server.dialects.cohere.wire import ApiVersion
from embedhub.server.endpoint import Reply
from embedhub.server.writing import list_parts
from embedhub.tasks import EmbedTexts

Vectors = NDArray[np.float32]

Kind = Literal["float", "base64", "binary", "ubinary", "int8", "uint8"]

# What is asked for, and the names under which models keep a prompt for it.
_PROMPTS = {"search_query": QUERY, "search_document": DOCUMENT}

_LONG_TEXTS = {"NONE": ("error", "start"), "START": ("truncate", "end"), "END": ("truncate", "start")}


class Content(msgspec.Struct):
    """A part of an input; of type `text`."""

    type: str
    text: str = ""


class Input(msgspec.Struct):
    """An input in parts, which are read with a blank between."""

    content: Annotated[list[Content], Meta(min_length=1)]


class EmbedRequest(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/embed` and `POST /v2/embed`; other fields are ignored.

    Attributes:
        texts: what is embedded; or `inputs`, of v2.
        model: a model or an alias; without it, the default model.
        input_type: `search_query` and `search_document` put the model's prompt for these before each text; every other
            kind puts its default one.
        embedding_types: how vectors are written; without it, v1 gives a list of vectors, and v2 `float`.
        truncate: which end of a long text is left out; `NONE` refuses it.
        output_dimension: width of the vectors, at most the model's; they are of length one again.
        images: refused.
    """

    texts: Annotated[list[str], Meta(min_length=1)] | None = None
    inputs: Annotated[list[Input], Meta(min_length=1)] | None = None
    model: str | None = None
    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"] | None = None
    embedding_types: list[Kind] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    output_dimension: Annotated[int, Meta(ge=1)] | None = None
    images: Any = None


class BilledTokens(msgspec.Struct):
    """Tokens that were read; nothing is billed here."""

    input_tokens: int


class EmbedMeta(msgspec.Struct):
    """The API's version, and tokens."""

    api_version: ApiVersion
    billed_units: BilledTokens


class ByType(msgspec.Struct):
    """Vectors in each way that was asked for, in the order of the texts."""

    float_: list[list[float]] | UnsetType = msgspec.field(default=UNSET, name="float")
    base64: list[str] | UnsetType = UNSET
    binary: list[list[int]] | UnsetType = UNSET
    ubinary: list[list[int]] | UnsetType = UNSET


class EmbedResponse(msgspec.Struct):
    """Vectors: a list of them (v1 without `embedding_types`), or by type."""

    id: str
    response_type: Literal["embeddings_floats", "embeddings_by_type"]
    texts: list[str]
    embeddings: list[list[float]] | ByType
    meta: EmbedMeta


def texts_of(body: EmbedRequest) -> list[str]:
    """What is to be embedded.

    Raises:
        RequestError: nothing, or what is no text.
    """
    if body.images is not None or body.input_type == "image":
        raise RequestError("images are not embedded here; send texts")
    if (body.texts is None) == (body.inputs is None):
        raise RequestError("give texts, or inputs, and not both")
    if body.texts is not None:
        return body.texts
    return [" ".join(_text(part, number) for part in each.content) for number, each in enumerate(body.inputs or [])]


def _text(part: Content, number: int) -> str:
    if part.type != "text":
        raise RequestError(f"input {number} has a part of type {part.type!r:.40}; texts only are embedded here")
    return part.text


def task_request(body: EmbedRequest, texts: list[str], spec: ModelSpec | None) -> EmbedTexts:
    """What is asked for.

    Args:
        body: the request.
        texts: of it.
        spec: the model; None if it is not here yet.

    Raises:
        RequestError: a way of writing vectors that is not offered.
    """
    for kind in body.embedding_types or ():
        if kind in ("int8", "uint8"):
            _refuse(kind)
    names = _PROMPTS.get(body.input_type or "")
    long_texts, kept = _LONG_TEXTS[body.truncate or "END"]
    return EmbedTexts(
        texts,
        prompt_name=None if names is None else names[0] if spec is None else first_prompt(spec, names),
        normalize=True,
        dimensions=body.output_dimension,
        long_texts=long_texts,
        long_texts_keep=kept,
    )


def reply(answer: Answer, body: EmbedRequest, texts: list[str], *, version: str, id: str) -> Reply:
    """The vectors.

    Args:
        answer: of the body's request.
        body: says how vectors are written.
        texts: come back, as with Cohere.
        version: Cohere's version of the path, 1 or 2.
        id: the answer's own.
    """
    vectors = np.ascontiguousarray(answer.result, "<f4")
    meta = {"api_version": {"version": version}, "billed_units": {"input_tokens": answer.read_tokens}}
    rest = {"id": id, "texts": texts, "meta": meta}
    if body.embedding_types is None and version == "1":
        rest["response_type"] = "embeddings_floats"
        parts = list_parts(iter(vectors))
    else:
        rest["response_type"] = "embeddings_by_type"
        kinds = dict.fromkeys(body.embedding_types or ["float"])
        parts = list(_by_type(vectors, kinds))
    # Joined by hand: the vectors are written in lots, what stands around them is not.
    return Reply(b"".join([orjson.dumps(rest)[:-1], b',"embeddings":', *parts, b"}"]), answer=answer)


def _by_type(vectors: Vectors, kinds: Iterable[str]) -> Iterator[bytes]:
    before = b"{"
    for kind in kinds:
        yield before + orjson.dumps(kind) + b":"
        yield from list_parts(_WRITERS[kind](vectors))
        before = b","
    yield b"}"


def _bits(vectors: Vectors) -> NDArray[np.uint8]:
    """Of each number whether it is positive, eight a byte, the first in the highest bit: uint8 [n, ceil(dims / 8)]."""
    return np.packbits(vectors > 0, axis=1)


_WRITERS: dict[str, Callable[[Vectors], Iterator[Any]]] = {
    "float": iter,
    "base64": lambda vectors: (b64encode(vector).decode("ascii") for vector in vectors),
    "ubinary": lambda vectors: iter(_bits(vectors)),
    # The same bytes, moved into the range of signed ones.
    "binary": lambda vectors: iter((_bits(vectors).astype(np.int16) - 128).astype(np.int8)),
}


def _refuse(kind: str) -> NoReturn:
    raise RequestError(
        f"embedding_types: {kind} is not offered, because its ranges are Cohere's own; there are {', '.join(_WRITERS)}"
    )
