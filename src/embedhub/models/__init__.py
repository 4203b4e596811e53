"""Find a model and describe it. Loads no weights and runs nothing.

`find_model` looks in every source in turn and gives a frozen `ModelSpec`.
"""

from embedhub.models.checksums import combined_sha256, file_sha256
from embedhub.models.sources import (
    SOURCES,
    card_summary,
    find_model,
    installed_models,
    needed_files,
    pull_model,
    remove_model,
)
from embedhub.models.spec import DenseSpec, ModelSpec, position_capacity, read_spec
from embedhub.models.store import ModelStore

__all__ = [
    "SOURCES",
    "DenseSpec",
    "ModelSpec",
    "ModelStore",
    "card_summary",
    "combined_sha256",
    "file_sha256",
    "find_model",
    "installed_models",
    "needed_files",
    "position_capacity",
    "pull_model",
    "read_spec",
    "remove_model",
]
