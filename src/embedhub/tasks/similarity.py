"""How like one text is to others: cosine of their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.model import EncodeOptions, Model
from embedhub.engine.prompts import prompt_of
from embedhub.errors import InputError
from embedhub.search.metrics import cos_sim
from embedhub.tasks.embedding import embedding_model
from embedhub.tasks.plan import AnyModel, Plan

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CompareTexts:
    """Ask for the cosine of one text to each of several; the other fields as in `EmbedTexts`."""

    source: str
    sentences: Sequence[str]
    prompt_name: str | None = None
    long_texts: str = "truncate"
    long_texts_keep: str = "start"

    @property
    def texts(self) -> Sequence[str]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return [self.source, *self.sentences]


def prepare_similarity(model: AnyModel, request: CompareTexts) -> Plan[Floats]:
    """Plan of cosines, float32 [n]; the plan's tokens count the source first, its truncated ones leave it out."""
    encoder = embedding_model(model, "sentence similarity")
    if not request.sentences:
        raise InputError("sentences is empty; give at least one")
    options = EncodeOptions(
        prompt=prompt_of(encoder.spec, None, request.prompt_name),
        long_texts=request.long_texts,
        long_texts_keep=request.long_texts_keep,
    )
    return cosine_plan(encoder, request.texts, options)


def cosine_plan(model: Model, texts: Sequence[str], options: EncodeOptions) -> Plan[Floats]:
    """Plan of the cosines of the first text to each of the others, float32 [n - 1]."""
    prepared = model.prepare(texts, options)

    def finish(pooled: Floats) -> Floats:
        vectors = model.finish(pooled, prepared, options)
        return np.asarray(cos_sim(vectors[:1], vectors[1:])[0], np.float32)

    cut = prepared.truncated
    return Plan(prepared.jobs, prepared.tokens, cut[1:], finish=finish, query_truncated=bool(cut[0]))
