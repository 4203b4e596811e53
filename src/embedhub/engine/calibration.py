"""Calibration for int8: run a sample of texts in float32, note the ranges, keep them.

Knows the sample that ships with the package and where results are kept: EMBEDHUB_HOME/calibrations, by the sha256 of
the weights, so that a calibration can never be used with other weights.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.backends.openvino import Machine, compile_graph
from embedhub.engine.graphs import build_graph
from embedhub.engine.packing import Batch, lay_out, plan_packed
from embedhub.engine.quantization import RECIPE, SiteRange, fit_site
from embedhub.engine.tokenizer import TextTokenizer
from embedhub.models import ModelSpec

_PACK_TOKENS = 512

# Tokens at which the errors of a layer are compared.
_SAMPLE_TOKENS = 512

Floats = NDArray[np.float32]


def sample_texts() -> list[str]:
    """The texts that a calibration reads when it is given none."""
    text = resources.files("embedhub.engine").joinpath("calibration.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def calibrated_ranges(
    spec: ModelSpec, tokenizer: TextTokenizer, home: Path, use: Machine, texts: Sequence[str] | None = None
) -> dict[str, SiteRange]:
    """The ranges of a model's linear layers: kept ones, else measured now (seconds) and kept.

    Args:
        spec: the model.
        tokenizer: its tokenizer.
        home: EMBEDHUB_HOME.
        use: threads and streams.
        texts: what to measure with; given, kept ranges are measured anew.
    """
    kept = home / "calibrations" / f"{spec.weights_sha256}-{RECIPE}.npz"
    if texts is None and (found := _read(kept)) is not None:
        return found
    sample = list(texts) if texts is not None else sample_texts()
    ranges = measure(spec, tokenizer, use, sample)
    _write(kept, ranges, sample)
    return ranges


def measure(spec: ModelSpec, tokenizer: TextTokenizer, use: Machine, texts: Sequence[str]) -> dict[str, SiteRange]:
    """Run the texts through the float32 graph, look at each linear layer's inputs, and fit how to quantise them."""
    observed: dict[str, Any] = {}
    weights: dict[str, list[Floats]] = {}
    graph = build_graph(spec, observe=observed, observed_weights=weights)
    request = compile_graph(graph, "f32", Machine(use.threads, 1)).create_infer_request()
    ids = [text.pieces[0] for text in tokenizer.tokenize(texts)]
    packs = plan_packed([len(each) for each in ids], budget=_PACK_TOKENS)
    notes = {site: _Notes() for site in observed}
    for pack in packs:
        batch = lay_out(pack, ids, tokenizer.filler)
        request.infer(_observation_inputs(batch))
        real = batch.segments.reshape(-1) >= 0
        for number, site in enumerate(observed):
            inputs = request.get_output_tensor(1 + number).data
            notes[site].add(inputs.reshape(batch.ids.size, -1)[real], keep=-(-_SAMPLE_TOKENS // len(packs)))
    return {
        site: fit_site(note.low, note.high, note.mean, np.concatenate(note.sample), weights[site])
        for site, note in notes.items()
    }


class _Notes:
    """What is remembered of one site's inputs: extremes and mean of all, and an even sample of tokens."""

    def __init__(self) -> None:
        self.sample: list[Floats] = []
        self._sum: NDArray[np.float64] | float = 0.0
        self._count = 0

    def add(self, inputs: Floats, keep: int) -> None:
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        self.low: Floats = np.minimum(self.low, low) if self._count else low
        self.high: Floats = np.maximum(self.high, high) if self._count else high
        self._sum = self._sum + inputs.sum(axis=0, dtype=np.float64)
        self._count += len(inputs)
        self.sample.append(inputs[:: max(1, len(inputs) // keep)].copy())

    @property
    def mean(self) -> Floats:
        return np.asarray(self._sum / self._count, dtype=np.float32)


def _observation_inputs(batch: Batch) -> list[NDArray[Any]]:
    # The sums are not looked at; a matrix of one empty row asks for as good as nothing.
    return [batch.ids, batch.positions, batch.segments, np.zeros((1, batch.ids.size), np.float32)]


def _read(path: Path) -> dict[str, SiteRange] | None:
    """The kept ranges, or None when there are none that can be read: they can always be measured again."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files if name != "about"}
    except (OSError, ValueError, EOFError, KeyError):
        return None
    sites = sorted({name.rpartition("/")[0] for name in arrays})
    fields = ("low", "high", "mean", "smoothing")
    if any(f"{site}/{field}" not in arrays for site in sites for field in fields):
        return None
    return {site: SiteRange(*(arrays[f"{site}/{field}"] for field in fields)) for site in sites}


def _write(path: Path, ranges: Mapping[str, SiteRange], texts: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for site, observed in ranges.items():
        for field in ("low", "high", "mean", "smoothing"):
            arrays[f"{site}/{field}"] = getattr(observed, field)
    about = {
        "texts": len(texts),
        "texts_sha256": hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest(),
    }
    arrays["about"] = np.array(json.dumps(about))
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
