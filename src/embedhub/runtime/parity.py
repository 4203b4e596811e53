"""How close a loaded model comes to sentence-transformers, measured on the machine that serves it."""

from dataclasses import dataclass

import numpy as np

from embedhub.engine.model import Model
from embedhub.models.references import find_reference
from embedhub.search.metrics import cos_sim
from embedhub.tasks import AnyModel


@dataclass(frozen=True)
class Parity:
    """Vectors of a model beside those of sentence-transformers.

    Attributes:
        made_by: what made the reference vectors; None when there are none.
        texts: how many were compared.
        mean_cosine, min_cosine: between own vectors and the reference's, 1.0 where they are alike.
        max_difference: the largest between two numbers.
        reason: why nothing was measured.
    """

    made_by: str | None = None
    texts: int = 0
    mean_cosine: float | None = None
    min_cosine: float | None = None
    max_difference: float | None = None
    reason: str | None = None


def measure_parity(model: AnyModel) -> Parity:
    """Embed the texts of the model's reference (a few milliseconds) and compare."""
    if not isinstance(model, Model):
        return Parity(reason="no reference vectors are kept for classifiers")
    reference = find_reference(model.spec.weights_sha256)
    if reference is None:
        return Parity(reason=f"no reference vectors are kept for weights {model.spec.weights_sha256}")
    vectors = model.embed(reference.texts).vectors
    if vectors.shape != reference.vectors.shape:
        return Parity(
            reason=f"vectors have {vectors.shape[1]} dimensions, the reference's {reference.vectors.shape[1]}"
        )
    cosines = np.diagonal(cos_sim(vectors, reference.vectors))
    return Parity(
        made_by=reference.made_by,
        texts=len(reference.texts),
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(vectors - reference.vectors).max()),
    )
