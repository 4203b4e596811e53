"""embedhub: texts to vectors, datasets and answers. This file holds the public names and nothing else.

Names are loaded when first used, so that searching vectors does not wait for the engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedhub.engine.classifier import Classifier
    from embedhub.engine.model import Model
    from embedhub.engine.options import EncodeOptions
    from embedhub.engine.postprocess import quantize_embeddings
    from embedhub.runtime.collection import EmbeddedDataset
    from embedhub.search import semantic_search

__version__ = "0.1.0"

__all__ = ["Classifier", "EmbeddedDataset", "EncodeOptions", "Model", "quantize_embeddings", "semantic_search"]

_HOMES = {
    "Classifier": "embedhub.engine.classifier",
    "EmbeddedDataset": "embedhub.runtime.collection",
    "EncodeOptions": "embedhub.engine.options",
    "Model": "embedhub.engine.model",
    "quantize_embeddings": "embedhub.engine.postprocess",
    "semantic_search": "embedhub.search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embedhub' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
