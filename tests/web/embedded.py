"""Embedded datasets for pages to show: with the real model's vectors, or with many that were never computed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedhub import Model
from embedhub.datasets import BuildOptions, EmbeddedTexts, InputRequest, Provenance, build, open_source
from embedhub.engine.options import EncodeOptions
from embedhub.runtime.embedding import EmbedRequest, ModelEmbedder, embed_file

TOPICS = ("river", "engine", "bread", "guitar", "planet", "contract", "fever", "garden", "goal", "tax", "poem", "dog")


@dataclass
class Clusters:
    """Vectors around a place a topic, the first word of a text: as quick as they are meaningless."""

    provenance: Provenance

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(5)
        self._places = self._random.standard_normal((len(TOPICS), self.provenance.dimensions))

    def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        at = [TOPICS.index(text.split()[0]) for text in texts]
        noise = self._random.standard_normal((len(texts), self.provenance.dimensions))
        vectors = self._places[at] + noise * self._random.uniform(0.4, 1.1, (len(texts), 1))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return EmbeddedTexts(vectors.astype(np.float32), len(texts), np.zeros(len(texts), np.bool_))


def clustered(folder: Path, rows: int, model: Model) -> Path:
    """A dataset that claims to be made by a model, so that it can be asked; columns text, topic, year, share."""
    folder.mkdir(parents=True)
    with (folder / "in.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "topic", "year", "share"])
        for number in range(rows):
            topic = TOPICS[number * 7 % len(TOPICS)]
            lines.writerow([f"{topic} number {number}", topic, 1950 + number % 70, f"{number % 97 / 97:.3f}"])
    provenance = replace(ModelEmbedder(model, EncodeOptions()).provenance, prompt="")
    with open_source(InputRequest(folder / "in.csv", column="text")) as source:
        build(source, folder / "out", Clusters(provenance), BuildOptions(vectors="float16"))
    return folder / "out"


def embedded(folder: Path, lines: Sequence[str], model: Model, column: str = "text") -> Path:
    """Lines of a csv, embedded by the model."""
    folder.mkdir(parents=True)
    (folder / "in.csv").write_text("\n".join(lines))
    embed_file(
        EmbedRequest(InputRequest(folder / "in.csv", column=column), folder / "out", BuildOptions()), lambda: model
    )
    return folder / "out"
