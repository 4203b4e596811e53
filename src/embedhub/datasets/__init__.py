"""Texts with their vectors as tables on disk: read an input, build a dataset of it, load it, export it.

Knows files and rows. Refuses to know models (an `Embedder` is handed to `build`) and search.
"""

from embedhub.datasets.build import (
    BuildOptions,
    BuildReport,
    EmbeddedTexts,
    Embedder,
    Progress,
    build,
)
from embedhub.datasets.columns import EMBEDDING_COLUMN
from embedhub.datasets.export import EXPORT_FORMATS, export
from embedhub.datasets.provenance import Provenance
from embedhub.datasets.shards import Vectors, VectorType
from embedhub.datasets.source import FORMATS, STANDARD_INPUT, InputRequest, OnError, Source, open_source
from embedhub.datasets.stored import StoredDataset, read_dataset

__all__ = [
    "FORMATS",
    "STANDARD_INPUT",
    "InputRequest",
    "OnError",
    "Source",
    "open_source",
    "Provenance",
    "EmbeddedTexts",
    "Embedder",
    "BuildOptions",
    "BuildReport",
    "Progress",
    "build",
    "EMBEDDING_COLUMN",
    "StoredDataset",
    "Vectors",
    "VectorType",
    "read_dataset",
    "EXPORT_FORMATS",
    "export",
]
