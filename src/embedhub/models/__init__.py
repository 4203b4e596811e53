"""Find a model and describe it. Loads no weights and runs nothing.

`find_model` looks in every source in turn and gives a frozen `ModelSpec`.
"""

from embedhub.models.cache import HuggingFaceCache
from embedhub.models.checksums import combined_sha256, file_sha256
from embedhub.models.modules import POOLING_MODES, DenseSpec
from embedhub.models.selection import needed_files
from embedhub.models.sources import SOURCES, find_model, installed_copies, installed_models, pull_model, remove_model
from embedhub.models.spec import ModelSpec, card_summary, position_capacity, read_spec
from embedhub.models.store import ModelStore

__all__ = [
    "POOLING_MODES",
    "SOURCES",
    "DenseSpec",
    "HuggingFaceCache",
    "ModelSpec",
    "ModelStore",
    "card_summary",
    "combined_sha256",
    "file_sha256",
    "find_model",
    "installed_copies",
    "installed_models",
    "needed_files",
    "position_capacity",
    "pull_model",
    "read_spec",
    "remove_model",
]
