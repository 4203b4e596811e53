"""Texts in the order in which they answer a query: by a cross-encoder when the model is one, else by cosine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.classifier import Classifier
from embedhub.engine.model import EncodeOptions
from embedhub.errors import InputError, TextTooLongError, UnsupportedTaskError
from embedhub.search.metrics import SCORES
from embedhub.tasks.classification import score_function
from embedhub.tasks.embedding import embedding_model
from embedhub.tasks.plan import AnyModel, Plan, refuse_long

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RerankTexts:
    """Ask for scores of texts as answers to a query, best first.

    Attributes:
        query: the query.
        documents: the candidates.
        top_k: how many of the best to give; None gives all.
        raw_scores: leave out the last step, which makes a probability of a cross-encoder's logit.
        long_texts, long_texts_keep: as in `EmbedTexts`; without a part a cross-encoder does as the model says.
    """

    query: str
    documents: Sequence[str]
    top_k: int | None = None
    raw_scores: bool = False
    long_texts: str = "truncate"
    long_texts_keep: str | None = None

    @property
    def texts(self) -> Sequence[str]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return [self.query, *self.documents]

    @property
    def characters_read(self) -> int:
        """Characters that are tokenised: a cross-encoder reads the query with every document."""
        return len(self.query) * len(self.documents) + sum(map(len, self.documents))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's number and its score."""

    index: int
    score: float


def prepare_reranking(model: AnyModel, request: RerankTexts) -> Plan[list[Ranked]]:
    """Plan of a ranking; equal scores stay in the order of the candidates."""
    if not request.documents:
        raise InputError("there are no texts to rank; give at least one")
    if isinstance(model, Classifier):
        return _cross_encoder_ranking(model, request)
    return _cosine_ranking(model, request)


def best_first(scores: Floats, top_k: int | None) -> list[Ranked]:
    """Scores [n] as a ranking."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [Ranked(int(index), float(scores[index])) for index in order]


def _cross_encoder_ranking(model: Classifier, request: RerankTexts) -> Plan[list[Ranked]]:
    if not model.is_cross_encoder:
        raise UnsupportedTaskError(
            f"{model.spec.id} has {len(model.labels)} labels and cannot rank; name a cross-encoder"
        )
    # CrossEncoder's rule, which knows no problem types.
    stated = model.spec.stated_activation or "sigmoid"
    activation = score_function("identity" if request.raw_scores else stated)
    pairs = [(request.query, document) for document in request.documents]
    prepared = model.prepare(pairs, keep=request.long_texts_keep)
    refuse_long(prepared.tokens, prepared.truncated, model.spec.max_tokens, request.long_texts)
    return Plan(
        prepared.jobs,
        prepared.tokens,
        prepared.cut[:, 1],
        query_truncated=bool(prepared.cut[:, 0].any()),
        finish=lambda pooled: best_first(activation(model.finish(pooled))[:, 0], request.top_k),
        method="cross-encoder",
    )


def _cosine_ranking(model: AnyModel, request: RerankTexts) -> Plan[list[Ranked]]:
    encoder = embedding_model(model, "reranking")
    options = EncodeOptions(long_texts=request.long_texts, long_texts_keep=request.long_texts_keep or "start")
    as_query = replace(options, prompt=encoder.query_prompt)
    as_document = replace(options, prompt=encoder.document_prompt)
    try:
        query = encoder.prepare([request.query], as_query)
    except TextTooLongError as error:
        limit = encoder.max_seq_length
        raise TextTooLongError(f"the query has {error.tokens} tokens, the model reads {limit}") from error
    documents = encoder.prepare(request.documents, as_document)

    def finish(pooled: Floats) -> list[Ranked]:
        first = len(query.jobs)
        asked = encoder.finish(pooled[:first], query, as_query)
        candidates = encoder.finish(pooled[first:], documents, as_document)
        # Not by a matrix product, in which equal candidates may differ in the last bit by where they stand.
        scores = SCORES["cosine"].pair_ranks(asked[0], candidates)
        return best_first(np.asarray(scores, np.float32), request.top_k)

    return Plan(
        [*query.jobs, *documents.jobs],
        np.concatenate([query.tokens, documents.tokens]),
        documents.truncated,
        query_truncated=bool(query.truncated[0]),
        finish=finish,
        method="cosine",
    )
