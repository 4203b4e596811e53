"""Labels of texts, and of pairs of texts, with their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.classifier import Classifier
from embedhub.engine.scores import ACTIVATIONS
from embedhub.errors import InputError, SettingError, UnsupportedTaskError
from embedhub.tasks.plan import AnyModel, Plan, refuse_long

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClassifyTexts:
    """Ask for the labels of texts, best first.

    Attributes:
        inputs: texts, and pairs of texts.
        top_k: how many labels of each; None gives all.
        function: what makes scores of logits: `sigmoid`, `softmax` or `identity`; None does as the model says.
        long_texts: `truncate` or `error`.
        long_texts_keep: `start` or `end`, the part of a long text that is read; None does as the model says.
    """

    inputs: Sequence[str | tuple[str, str]]
    top_k: int | None = None
    function: str | None = None
    long_texts: str = "truncate"
    long_texts_keep: str | None = None

    @property
    def texts(self) -> Sequence[str]:
        """Everything that is to be read; both texts of a pair."""
        return [text for given in self.inputs for text in ((given,) if isinstance(given, str) else given)]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A label and its score."""

    label: str
    score: float


def classifier(model: AnyModel, task: str) -> Classifier:
    """The model as one that classifies.

    Raises:
        UnsupportedTaskError: it does not.
    """
    if not isinstance(model, Classifier):
        raise UnsupportedTaskError(f"{model.spec.id} is an embedding model and cannot do {task}; name a classifier")
    return model


def score_function(name: str) -> Callable[[Floats], Floats]:
    """What makes scores of logits.

    Raises:
        SettingError: no such function.
    """
    if name not in ACTIVATIONS:
        raise SettingError(f"{name!r:.40} is no way to make scores of logits; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def prepare_classification(model: AnyModel, request: ClassifyTexts) -> Plan[list[list[Labelled]]]:
    """Plan of labels, a list for each input."""
    loaded = classifier(model, "text classification")
    if not request.inputs:
        raise InputError("inputs is empty; give at least one text")
    if request.top_k is not None and request.top_k < 1:
        raise SettingError(f"top_k is {request.top_k}, at least 1 is needed")
    activation = score_function(request.function or loaded.spec.activation)
    prepared = loaded.prepare(request.inputs, keep=request.long_texts_keep)
    refuse_long(prepared.tokens, prepared.truncated, loaded.spec.max_tokens, request.long_texts)

    def finish(pooled: Floats) -> list[list[Labelled]]:
        scores = activation(loaded.finish(pooled))
        return [_best_first(row, loaded.labels, request.top_k) for row in scores]

    return Plan(prepared.jobs, prepared.tokens, prepared.truncated, finish=finish)


def _best_first(scores: Floats, labels: Sequence[str], top_k: int | None) -> list[Labelled]:
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [Labelled(labels[label], float(scores[label])) for label in order]
