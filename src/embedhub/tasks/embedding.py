"""Vectors of texts, and vectors of their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.model import EncodeOptions, Model, PreparedTexts
from embedhub.engine.prompts import prompt_of
from embedhub.errors import InputError, SettingError, UnsupportedTaskError
from embedhub.tasks.plan import AnyModel, Plan

Floats = NDArray[np.float32]

# A text, or its token ids in the model's own vocabulary.
Input = str | Sequence[int]


@dataclass(frozen=True)
class EmbedTexts:
    """Ask for one vector a text.

    Attributes:
        inputs: texts, or lists of token ids of the model's own vocabulary.
        prompt: put before every text; wins over `prompt_name`. None for the model's default.
        prompt_name: name of one of the model's prompts.
        normalize: scale to length one, or not; None does as the model says.
        dimensions: keep that many.
        long_texts: `truncate`, `error` or `chunk`.
        long_texts_keep: `start` or `end`, the part of a long text that is read.
    """

    inputs: Sequence[Input]
    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    long_texts: str = "truncate"
    long_texts_keep: str = "start"

    @property
    def texts(self) -> Sequence[Input]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return self.inputs


@dataclass(frozen=True)
class EmbedTokens:
    """Ask for the vectors of each text's tokens; fields as in `EmbedTexts`."""

    inputs: Sequence[Input]
    prompt_name: str | None = None
    long_texts: str = "truncate"
    long_texts_keep: str = "start"

    @property
    def texts(self) -> Sequence[Input]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return self.inputs


def embedding_model(model: AnyModel, task: str) -> Model:
    """The model as one that embeds.

    Raises:
        UnsupportedTaskError: it does not.
    """
    if not isinstance(model, Model):
        raise UnsupportedTaskError(f"{model.spec.id} is a classifier and cannot do {task}; it can do classification")
    return model


def prepare_embedding(model: AnyModel, request: EmbedTexts) -> Plan[Floats]:
    """Plan of vectors, float32 [n, dimensions]."""
    encoder = embedding_model(model, "feature extraction")
    options = EncodeOptions(
        prompt=prompt_of(encoder.spec, request.prompt, request.prompt_name),
        normalize=request.normalize,
        truncate_dim=request.dimensions,
        long_texts=request.long_texts,
        long_texts_keep=request.long_texts_keep,
    )
    check_dimensions(encoder, request.dimensions)
    prepared = prepared_inputs(encoder, request.inputs, options)
    return Plan(
        prepared.jobs,
        prepared.tokens,
        prepared.truncated,
        finish=lambda pooled: encoder.finish(pooled, prepared, options),
    )


def prepare_tokens(model: AnyModel, request: EmbedTokens) -> Plan[list[Floats]]:
    """Plan of token vectors, a list of float32 [tokens, H]."""
    encoder = embedding_model(model, "feature extraction")
    options = EncodeOptions(
        prompt=prompt_of(encoder.spec, None, request.prompt_name),
        long_texts="error" if request.long_texts == "error" else "truncate",
        long_texts_keep=request.long_texts_keep,
    )
    prepared = prepared_inputs(encoder, request.inputs, options)
    return Plan(prepared.jobs, prepared.tokens, prepared.truncated, finish=_as_they_are, of_tokens=True)


def check_dimensions(model: Model, dimensions: int | None) -> None:
    """Refuse a width that the model does not have.

    Raises:
        SettingError: more dimensions than there are, or none.
    """
    if dimensions is not None and not 1 <= dimensions <= model.spec.dimensions:
        raise SettingError(f"dimensions is {dimensions}, {model.spec.id} gives 1 to {model.spec.dimensions}")


def prepared_inputs(model: Model, inputs: Sequence[Input], options: EncodeOptions) -> PreparedTexts:
    """Jobs of texts and of token ids, in the order of the inputs.

    Raises:
        InputError: there is none, or token ids beside texts, or ids beyond the vocabulary.
    """
    if not inputs:
        raise InputError("inputs is empty; give at least one text")
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) == len(inputs):
        return model.prepare(texts, options)
    if texts:
        raise InputError("inputs has texts and token ids; give one kind")
    return model.prepare_ids([ids for ids in inputs if not isinstance(ids, str)], options)


def _as_they_are(outputs: Any) -> list[Floats]:
    return list(outputs)
