"""The JSON of text-embeddings-inference to tasks' requests, and answers to its JSON. Pure.

Source of the protocol: the OpenAPI document and the router of huggingface/text-embeddings-inference, release 1.9.
Every request may name a `model`, which that server does not know; without it the default model answers.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Meta, UnsetType

from embedhub.errors import EmptyInputError, RequestError
from embedhub.runtime.answers import Answer
from embedhub.server.endpoint import Reply
from embedhub.server.errors import Failure
from embedhub.server.writing import json_list, nested_list
from embedhub.tasks import (
    ClassifyTexts,
    CompareTexts,
    DecodeTokens,
    EmbedTexts,
    EmbedTokens,
    RerankTexts,
    TokenizeTexts,
)

# That server takes token ids of 32 bits.
TokenId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
TokenIds = list[TokenId]

# Said in the documentation only: an empty input has a kind of error of its own.
_FILLED = Meta(extra_json_schema={"minItems": 1})
Text = Annotated[str, Meta(extra_json_schema={"minLength": 1})]

Texts = Text | Annotated[list[Text], _FILLED]
Inputs = Text | Annotated[list[Text | TokenId | Annotated[TokenIds, _FILLED]], _FILLED]

Direction = Literal["Left", "Right", "left", "right"]
ErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


class Reading(msgspec.Struct, kw_only=True):
    """What becomes of texts longer than the model reads: cut at their `Left` or `Right`, or an error."""

    truncate: bool | None = True
    truncation_direction: Direction | None = "Right"

    @property
    def long_texts(self) -> str:
        """The same for a task's request."""
        return "error" if self.truncate is False else "truncate"

    @property
    def long_texts_keep(self) -> str:
        """The part of a long text that is read, for a task's request."""
        return "end" if self.truncation_direction in ("Left", "left") else "start"


class EmbedAllRequest(Reading, kw_only=True):
    """Body of `POST /embed_all` and `POST /embed_sparse`.

    `inputs` is a text, a list of texts, the token ids of one text, or a list of such. Ids are of the model's own
    vocabulary, as `/tokenize` gives them.
    """

    inputs: Inputs
    prompt_name: str | None = None
    model: str | None = None


class EmbedRequest(EmbedAllRequest, kw_only=True):
    """Body of `POST /embed`; `inputs` as for `/embed_all`."""

    normalize: bool | None = True
    dimensions: Annotated[int, Meta(ge=1)] | None = None


class PredictRequest(Reading, kw_only=True):
    """Body of `POST /predict`: a text, a pair of texts, or a list of lists of one or two texts."""

    inputs: str | Annotated[list[str | Annotated[list[str], Meta(min_length=1, max_length=2)]], Meta(min_length=1)]
    raw_scores: bool = False
    model: str | None = None


class Prediction(msgspec.Struct):
    """A label and its score."""

    score: float
    label: str


# Of one input, or of each of a list.
Predictions = list[Prediction | list[Prediction]]


class RerankRequest(Reading, kw_only=True):
    """Body of `POST /rerank`. A body with `documents` instead of `texts` is answered as `/v1/rerank` does."""

    query: str
    texts: Annotated[list[str], _FILLED]
    raw_scores: bool = False
    return_text: bool = False
    model: str | None = None


class Rank(msgspec.Struct):
    """A text's number and its score."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class RerankShape(msgspec.Struct):
    """Which of the two rerank APIs a body is meant for."""

    documents: msgspec.Raw | UnsetType = UNSET


class Comparison(msgspec.Struct):
    """A text and those that it is compared with."""

    source_sentence: str
    sentences: Annotated[list[str], _FILLED]


class SimilarityParameters(Reading, kw_only=True):
    """How the sentences are read."""

    prompt_name: str | None = None


class SimilarityRequest(msgspec.Struct):
    """Body of `POST /similarity`."""

    inputs: Comparison
    parameters: SimilarityParameters | None = None
    model: str | None = None


class TokenizeRequest(msgspec.Struct):
    """Body of `POST /tokenize`; nothing is cut."""

    inputs: str | Annotated[list[str], _FILLED]
    add_special_tokens: bool = True
    prompt_name: str | None = None
    model: str | None = None


class SimpleToken(msgspec.Struct):
    """A token; `start` and `stop` count characters and are null for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeRequest(msgspec.Struct):
    """Body of `POST /decode`: the token ids of one text, or a list of such."""

    ids: Annotated[list[TokenId | TokenIds], _FILLED]
    skip_special_tokens: bool = True
    model: str | None = None


def embed_request(body: EmbedRequest) -> EmbedTexts:
    """What is asked for.

    Raises:
        RequestError, EmptyInputError: see `inputs_of`.
    """
    return EmbedTexts(
        inputs_of(body.inputs),
        prompt_name=body.prompt_name,
        normalize=body.normalize is not False,
        dimensions=body.dimensions,
        long_texts=body.long_texts,
        long_texts_keep=body.long_texts_keep,
    )


def embed_all_request(body: EmbedAllRequest) -> EmbedTokens:
    """What is asked for.

    Raises:
        RequestError, EmptyInputError: see `inputs_of`.
    """
    return EmbedTokens(
        inputs_of(body.inputs),
        prompt_name=body.prompt_name,
        long_texts=body.long_texts,
        long_texts_keep=body.long_texts_keep,
    )


def rerank_request(body: RerankRequest) -> RerankTexts:
    """What is asked for.

    Raises:
        EmptyInputError: no texts.
    """
    return RerankTexts(
        body.query,
        _filled("texts", body.texts),
        raw_scores=body.raw_scores,
        long_texts=body.long_texts,
        long_texts_keep=body.long_texts_keep,
    )


def similarity_request(body: SimilarityRequest) -> CompareTexts:
    """What is asked for.

    Raises:
        EmptyInputError: no sentences.
    """
    parameters = body.parameters or SimilarityParameters()
    return CompareTexts(
        body.inputs.source_sentence,
        _filled("sentences", body.inputs.sentences),
        prompt_name=parameters.prompt_name,
        long_texts=parameters.long_texts,
        long_texts_keep=parameters.long_texts_keep,
    )


def tokenize_request(body: TokenizeRequest) -> TokenizeTexts:
    """What is asked for.

    Raises:
        EmptyInputError: no inputs.
    """
    inputs = [body.inputs] if isinstance(body.inputs, str) else _filled("inputs", body.inputs)
    return TokenizeTexts(inputs, prompt_name=body.prompt_name, add_special_tokens=body.add_special_tokens)


def decode_request(body: DecodeRequest) -> DecodeTokens:
    """What is asked for.

    Raises:
        RequestError: ids beside lists of ids.
        EmptyInputError: no ids.
    """
    return DecodeTokens(_one_kind("ids", body.ids), skip_special_tokens=body.skip_special_tokens)


def inputs_of(given: Any) -> Any:
    """Texts or lists of token ids; a lone text and a lone list of ids are one input.

    Raises:
        RequestError: texts and token ids, or ids and lists of ids.
        EmptyInputError: there is none, or one is empty.
    """
    inputs = [given] if isinstance(given, str) else _one_kind("inputs", given)
    if "" in inputs or [] in inputs:
        number = next(number for number, each in enumerate(inputs) if not each)
        raise EmptyInputError(f"input {number} is empty; leave it out")
    return inputs


def classify_request(body: PredictRequest) -> tuple[ClassifyTexts, bool]:
    """What is asked for, and whether of a single input and no list.

    Raises:
        RequestError: a list of more than two texts, or of texts and lists.
    """
    inputs, lone = pairs_of(body)
    function = "identity" if body.raw_scores else None
    request = ClassifyTexts(inputs, function=function, long_texts=body.long_texts, long_texts_keep=body.long_texts_keep)
    return request, lone


def pairs_of(body: PredictRequest) -> tuple[list[str | tuple[str, str]], bool]:
    """Texts and pairs of texts, and whether it is a single one and no list.

    Raises:
        RequestError: a list of more than two texts, or of texts and lists.
    """
    given = body.inputs
    if isinstance(given, str):
        return [given], True
    texts = [each for each in given if isinstance(each, str)]
    if not texts:
        return [_pair(each) for each in given], False
    if len(texts) < len(given):
        raise RequestError("inputs has texts and lists of texts; give each text in a list of its own")
    if len(texts) > 2:
        raise RequestError("inputs has more than two texts; give a pair, or each text in a list of its own")
    return [_pair(texts)], True


def result(answer: Answer) -> Reply:
    """Vectors, similarities or texts as they are."""
    return Reply(json_list(answer.result), answer=answer)


def token_vectors(answer: Answer) -> Reply:
    """The vectors of each text's tokens."""
    return Reply(nested_list(np.ascontiguousarray(each) for each in answer.result), answer=answer)


def ranks(answer: Answer, body: RerankRequest) -> Reply:
    """Texts' numbers and scores, best first."""
    shown = [
        Rank(each.index, each.score, body.texts[each.index] if body.return_text else UNSET) for each in answer.result
    ]
    return Reply(msgspec.json.encode(shown), answer=answer)


def predictions(answer: Answer, *, lone: bool) -> Reply:
    """Labels with scores of each input, best first; without the outer list for a lone input."""
    return Reply(json_list(answer.result[0] if lone else answer.result), answer=answer)


def tokens(answer: Answer) -> Reply:
    """The tokens of each text; made as they are written, because they take far more room than their JSON."""
    return Reply(nested_list(answer.result), answer=answer)


# Codes of `errors` by that server's kinds and statuses; others keep their status.
_KINDS: dict[str, tuple[ErrorType, int]] = {
    "input_empty": ("Empty", 400),
    # All that is left of it here are token ids that the vocabulary does not have.
    "input": ("Tokenizer", 422),
    "request": ("Validation", 422),
    "setting": ("Validation", 422),
    "text_too_long": ("Validation", 422),
    "overloaded": ("Overloaded", 429),
    "rate_limited": ("Overloaded", 429),
    "request_timeout": ("Overloaded", 408),
    "model_loading": ("Unhealthy", 503),
    "shutting_down": ("Unhealthy", 503),
    "computation": ("Backend", 424),
    "task_unsupported": ("Backend", 424),
    "model": ("Backend", 424),
    "model_integrity": ("Backend", 424),
    "model_unsupported": ("Backend", 424),
    "missing_extra": ("Backend", 424),
}


def failed(failure: Failure) -> Reply:
    """The flat error body, and that server's status."""
    return Reply(orjson.dumps(_error(failure)))


def failed_either(failure: Failure) -> Reply:
    """An error for clients of both rerank APIs: Cohere's read `message`."""
    return Reply(orjson.dumps({**_error(failure), "message": failure.message}))


def _error(failure: Failure) -> dict[str, str]:
    fallback: ErrorType = "Backend" if failure.status >= 500 else "Validation"
    kind, failure.status = _KINDS.get(failure.code, (fallback, failure.status))
    return {"error": failure.message, "error_type": kind}


def _filled(name: str, given: list[Any]) -> list[Any]:
    if not given:
        raise EmptyInputError(f"{name} is empty; give at least one")
    return given


def _one_kind(name: str, given: list[Any]) -> list[Any]:
    """A list of texts or of lists; a list of ids is one input."""
    kinds = set(map(type, _filled(name, given)))
    if len(kinds) > 1:
        raise RequestError(f"{name} has texts, token ids or lists of ids side by side; give one kind")
    return [given] if kinds == {int} else given


def _pair(texts: Sequence[str]) -> str | tuple[str, str]:
    return texts[0] if len(texts) == 1 else (texts[0], texts[1])
