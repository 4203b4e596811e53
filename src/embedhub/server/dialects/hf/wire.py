"""Hugging Face's JSON to a task's request, and an answer to Hugging Face's JSON. Pure.

Knows the shapes that huggingface_hub, huggingface.js and older scripts send; what is asked for is told by the shape of
the inputs, because clients post to one address whatever they want. Refuses to know paths.

Source of the protocol: the task schemas and provider helpers of huggingface.js and huggingface_hub, and the documents
of the hosted Inference API (`options`, the 503 of a model that is being loaded).
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from embedhub.errors import RequestError, UnsupportedTaskError
from embedhub.models import ModelSpec
from embedhub.runtime.answers import Answer
from embedhub.server.endpoint import Reply
from embedhub.server.errors import Failure
from embedhub.server.writing import json_list
from embedhub.tasks import ClassifyTexts, CompareTexts, EmbedTexts, Labelled, Ranked, Request, RerankTexts

# Tasks that a path may name. The inputs decide among them, but a path that names any other is a mistake.
TASKS = ("feature-extraction", "sentence-similarity", "text-ranking", "rerank", "text-classification")

# Whose parameters clients send to one address whatever the model does.
_OTHER_TASKS = {"candidate_labels": "zero-shot classification", "max_new_tokens": "text generation"}

Count = Annotated[int, Meta(ge=1)]
_OfAnotherTask = Annotated[Any, Meta(description="Of a task that is not served; refused.")]


class Parameters(msgspec.Struct, kw_only=True):
    """What a client may ask for beside the inputs: at the top, in `parameters`, or beside a query."""

    normalize: bool | None = None
    prompt_name: str | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    dimensions: Count | None = None
    encoding_format: Literal["float", "base64"] | None = None
    top_k: Count | None = None
    top_n: Count | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None
    return_documents: bool | None = None
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None
    candidate_labels: _OfAnotherTask = None
    max_new_tokens: _OfAnotherTask = None


class Text(msgspec.Struct):
    """A text, or with `text_pair` two that are read together."""

    text: str
    text_pair: str | None = None


class Question(Parameters, kw_only=True):
    """Inputs that are an object: a sentence and those to compare it with, a query and its candidates, or a pair."""

    source_sentence: str | None = None
    sentences: list[str] | None = None
    query: str | None = None
    texts: list[str | Text] | None = None
    documents: list[str | Text] | None = None
    text: str | None = None
    text_pair: str | None = None


class Options(msgspec.Struct, kw_only=True):
    """How to go about it. `use_gpu` is read and has no effect."""

    use_cache: bool | None = None
    wait_for_model: bool | None = None
    use_gpu: bool | None = None


class InferenceRequest(Question, kw_only=True):
    """Body of a request. Without `inputs` it is itself the inputs."""

    inputs: str | list[str | Text] | Question | UnsetType = UNSET
    parameters: Parameters | None = None
    options: Options | None = None


# A bare value stands for `{"inputs": value}`.
Body = InferenceRequest | str | list[str | Text]


class Score(msgspec.Struct):
    """A candidate's number and its score; its text if that was asked for."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class Label(msgspec.Struct):
    """A class and its score."""

    label: str
    score: float


# A vector or cosines; vectors, in base64 if asked for; a ranking; labels of each text.
Result = str | list[float | str | list[float | Label] | Score]


class ProviderMapping(msgspec.Struct, rename="camel"):
    """Who computes a model, for clients that ask before they post."""

    provider: str
    hf_model_id: str
    provider_id: str
    status: Literal["live"]
    task: str


class ModelInfo(msgspec.Struct):
    """What clients ask of a model before they use it; `expand[]` in the query chooses fields."""

    id: str
    pipeline_tag: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    library_name: str | UnsetType = UNSET
    inference_provider_mapping: list[ProviderMapping] | UnsetType = msgspec.field(
        default=UNSET, name="inferenceProviderMapping"
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What a body asks for.

    Attributes:
        request: the task's request.
        show: its result as JSON.
    """

    request: Request
    show: Callable[[Any], bytes]


def is_text(body: bytes, content_type: str) -> bool:
    """Whether the body is a text itself. A browser's `fetch` calls JSON `text/plain` unless it is told otherwise."""
    return content_type.startswith("text/plain") and not body.lstrip().startswith((b"{", b"["))


def work(body: Body, task: str, *, of_classifier: bool = False) -> Work:
    """What is asked for.

    Args:
        body: the request.
        task: the task that the path names, or nothing.
        of_classifier: whether the model is one; then texts are for it to label.

    Raises:
        RequestError: inputs that no task has.
        UnsupportedTaskError: a task that is not served.
    """
    if task and task not in TASKS:
        raise UnsupportedTaskError(f"task {task!r:.60} is not served; there are {', '.join(TASKS)}")
    said = body if isinstance(body, InferenceRequest) else InferenceRequest(inputs=body)
    inputs = said if said.inputs is UNSET else said.inputs
    asked = _parameters(said)
    for field, other in _OTHER_TASKS.items():
        if getattr(asked, field) is not None:
            raise UnsupportedTaskError(f"{field} asks for {other}, which is not served; there are {', '.join(TASKS)}")
    if of_classifier and task not in ("text-ranking", "rerank"):
        task = "text-classification"
    if isinstance(inputs, Question):
        return _of_object(inputs, asked, task)
    if isinstance(inputs, str):
        return _embedding([inputs], asked, task, single=True)
    texts = [each for each in inputs if isinstance(each, str)]
    if len(texts) == len(inputs):
        return _embedding(texts, asked, task, single=False)
    if texts:
        raise RequestError("inputs has texts and objects; give one kind")
    return _of_pairs([each for each in inputs if isinstance(each, Text)], asked, task)


def options(body: Body) -> Options:
    """How to go about it."""
    return (isinstance(body, InferenceRequest) and body.options) or Options()


def reply(answer: Answer, work: Work) -> Reply:
    """The result, bare."""
    return Reply(work.show(answer.result), answer=answer)


def model_info(id: str, spec: ModelSpec | None, expand: Sequence[str]) -> Reply:
    """What a client is told of a model; `spec` is None for one that is not here yet.

    Both tasks of sentence-transformers are among the tags: huggingface_hub looks there.
    """
    is_classifier = spec is not None and spec.kind == "classifier"
    task = "text-classification" if is_classifier else "feature-extraction"
    library = "transformers" if is_classifier else "sentence-transformers"
    tasks = [task] if is_classifier else ["feature-extraction", "sentence-similarity"]
    licence = [f"license:{spec.licence}"] if spec is not None and spec.licence else []
    info = ModelInfo(
        id=id,
        pipeline_tag=task,
        tags=[library, *tasks, *licence],
        library_name=library,
        inference_provider_mapping=[ProviderMapping("hf-inference", id, id, "live", task)],
    )
    fields = msgspec.to_builtins(info)
    chosen = {name: value for name, value in fields.items() if not expand or name in ("id", *expand)}
    return Reply(orjson.dumps(chosen))


def failed(failure: Failure) -> Reply:
    """An error's body: a string, because huggingface.js shows nothing else."""
    body: dict[str, Any] = {"error": failure.message}
    if failure.code == "model_loading":
        body["estimated_time"] = failure.retry_after
    return Reply(orjson.dumps(body))


def failed_info(failure: Failure) -> Reply:
    """The same, with the code by which huggingface_hub knows a repository that does not exist."""
    if failure.status == 404:
        failure.headers["x-error-code"] = "RepoNotFound"
    return failed(failure)


def _parameters(said: InferenceRequest) -> Parameters:
    """Parameters from wherever they stand."""
    places = [said.parameters, said, said.inputs if isinstance(said.inputs, Question) else None]
    found = [place for place in places if place is not None]
    if len(found) == 1:
        return found[0]
    values = {
        name: next((value for place in found if (value := getattr(place, name)) is not None), None)
        for name in Parameters.__struct_fields__
    }
    return Parameters(**values)


def _long_texts(asked: Parameters) -> dict[str, str]:
    """What becomes of long texts. Cutting on the left keeps the end."""
    found = {"long_texts": "error" if asked.truncate is False else "truncate"}
    if asked.truncation_direction is not None:
        found["long_texts_keep"] = "end" if asked.truncation_direction in ("left", "Left") else "start"
    return found


def _embedding(texts: list[str], asked: Parameters, task: str, *, single: bool) -> Work:
    if task == "text-classification":
        return _classification(texts, asked)
    request = EmbedTexts(
        texts,
        prompt_name=asked.prompt_name,
        normalize=asked.normalize,
        dimensions=asked.dimensions,
        **_long_texts(asked),
    )
    is_base64 = asked.encoding_format == "base64"

    def show(vectors: NDArray[np.float32]) -> bytes:
        contiguous = np.ascontiguousarray(vectors, "<f4")
        shown = (base64.b64encode(vector).decode() for vector in contiguous) if is_base64 else iter(contiguous)
        return orjson.dumps(next(shown), option=orjson.OPT_SERIALIZE_NUMPY) if single else json_list(shown)

    return Work(request, show)


def _of_object(inputs: Question, asked: Parameters, task: str) -> Work:
    if inputs.source_sentence is not None or inputs.sentences is not None:
        if inputs.source_sentence is None or inputs.sentences is None:
            raise RequestError("sentence similarity needs source_sentence and sentences")
        compared = CompareTexts(
            inputs.source_sentence, inputs.sentences, prompt_name=asked.prompt_name, **_long_texts(asked)
        )
        return Work(compared, json_list)
    if inputs.query is not None:
        documents = inputs.documents if inputs.texts is None else inputs.texts
        if documents is None:
            raise RequestError("a ranking needs query and texts")
        candidates = [each if isinstance(each, str) else each.text for each in documents]
        return _ranking(inputs.query, candidates, asked)
    if inputs.text is not None:
        return _of_pairs([Text(inputs.text, inputs.text_pair)], asked, task)
    raise RequestError(
        "inputs is missing; give a text, a list of texts, an object with source_sentence and sentences, "
        "or one with query and texts"
    )


def _of_pairs(pairs: list[Text], asked: Parameters, task: str) -> Work:
    if task not in ("text-ranking", "rerank"):
        return _classification([_given(pair) for pair in pairs], asked)
    if any(pair.text_pair is None or pair.text != pairs[0].text for pair in pairs):
        raise RequestError("a ranking of pairs needs the same text in all of them, and a text_pair in each")
    return _ranking(pairs[0].text, [pair.text_pair or "" for pair in pairs], asked)


def _ranking(query: str, candidates: list[str], asked: Parameters) -> Work:
    request = RerankTexts(
        query,
        candidates,
        top_k=asked.top_k or asked.top_n,
        raw_scores=bool(asked.raw_scores),
        **_long_texts(asked),
    )
    with_text = asked.return_text or asked.return_documents

    def show(ranking: list[Ranked]) -> bytes:
        return json_list(
            {"index": each.index, "score": each.score} | ({"text": candidates[each.index]} if with_text else {})
            for each in ranking
        )

    return Work(request, show)


def _given(pair: Text) -> str | tuple[str, str]:
    return pair.text if pair.text_pair is None else (pair.text, pair.text_pair)


def _classification(inputs: Sequence[str | tuple[str, str]], asked: Parameters) -> Work:
    function = "identity" if asked.function_to_apply == "none" else asked.function_to_apply
    request = ClassifyTexts(inputs, top_k=asked.top_k, function=function, **_long_texts(asked))

    # A list of lists also for one text: both official clients take its first element.
    def show(labels: list[list[Labelled]]) -> bytes:
        return json_list([{"label": each.label, "score": each.score} for each in row] for row in labels)

    return Work(request, show)
