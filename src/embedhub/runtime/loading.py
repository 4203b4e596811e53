"""A found model made ready to serve. Knows one model at a time; refuses to know names of requests, and who waits."""

from dataclasses import dataclass, replace

from embedhub import __version__
from embedhub.config import Settings
from embedhub.engine.classifier import Classifier
from embedhub.engine.load import Background
from embedhub.engine.model import Model
from embedhub.models import ModelSpec
from embedhub.runtime.cache import model_namespace
from embedhub.runtime.parity import Parity, measure_parity
from embedhub.tasks import AnyModel


@dataclass(frozen=True)
class ReadyModel:
    """A model that has computed once.

    Attributes:
        model: the model.
        namespace: stands for it in the cache.
        parity: how close it comes to sentence-transformers.
    """

    model: AnyModel
    namespace: bytes
    parity: Parity


def load_ready(spec: ModelSpec, config: Settings) -> ReadyModel:
    """The model by its kind, with its first computation done: that one compiles, and nobody should wait for it.

    Raises:
        ModelError: it is damaged or cannot be run here.
    """
    model = _load(spec, config)
    # Reads the tokenizer's file once more, which the library that compiles leaves time for.
    fingerprint = Background(lambda: spec.fingerprint)
    model.encoder.compute(model.prepare(["ready"]).jobs)
    parity = measure_parity(model)
    fingerprint.result()
    namespace = model_namespace(__version__, spec.fingerprint, model.dtype, model.backend, model.calibration)
    return ReadyModel(model, namespace, parity)


def _load(spec: ModelSpec, config: Settings) -> AnyModel:
    """A classifier is not computed in int8: where that is the setting, it takes what it can."""
    # Everything that was to be fetched is here.
    here = replace(config, offline=True)
    if spec.kind != "classifier":
        return Model(spec, config=here)
    return Classifier(spec, dtype="auto" if config.dtype == "int8" else None, config=here)
