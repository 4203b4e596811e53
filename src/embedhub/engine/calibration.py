"""Calibration for int8: run a sample of texts in float32, note the ranges, keep them.

Knows the sample that ships with the package and where results are kept: EMBEDHUB_HOME/calibrations, by the sha256 of
the weights, so that a calibration can never be used with other weights.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings
from embedhub.engine.backends.openvino import Machine, compile_graph, machine
from embedhub.engine.graphs import build_graph
from embedhub.engine.packing import Batch, Job, lay_out, plan_packed
from embedhub.engine.quantization import RECIPE, SiteRange, fit_site
from embedhub.engine.tokenizer import TextTokenizer
from embedhub.errors import SettingError, UnsupportedModelError
from embedhub.models import ModelSpec, find_model
from embedhub.storage import whole_file

_PACK_TOKENS = 512

# Tokens at which the errors of a layer are compared.
_SAMPLE_TOKENS = 512

Floats = NDArray[np.float32]

logger = logging.getLogger(__name__)


def sample_texts() -> list[str]:
    """The texts that a calibration reads when it is given none."""
    text = resources.files("embedhub.engine").joinpath("calibration.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def calibrated_ranges(spec: ModelSpec, tokenizer: TextTokenizer, home: Path, use: Machine) -> dict[str, SiteRange]:
    """The ranges of a model's linear layers: kept ones, else measured now (seconds) and kept.

    Args:
        spec: the model.
        tokenizer: its tokenizer.
        home: EMBEDHUB_HOME.
        use: threads and streams.
    """
    kept = _place(home, spec)
    found = _read(kept)
    if found is not None:
        return found
    logger.info("calibrating %s for int8, once (some seconds)", spec.id)
    sample = sample_texts()
    ranges = measure(spec, tokenizer, use, sample)
    _write(kept, ranges, sample)
    return ranges


def _place(home: Path, spec: ModelSpec) -> Path:
    return home / "calibrations" / f"{spec.weights_sha256}-{RECIPE}.npz"


def calibrate_model(name_or_path: str | None, texts: Sequence[str] | None, config: Settings) -> Path:
    """Measure a model's ranges now, whether or not there are kept ones; returns the file they are kept in.

    Args:
        name_or_path: the model; None is the setting's.
        texts: texts like those to be embedded, which are looked at beside the package's sample.
        config: settings.

    Raises:
        ModelError: the model cannot be found, has no graph here, or is a classifier.
        SettingError: no text to measure with.
    """
    spec = find_model(name_or_path or config.model, settings=config)
    if spec.kind != "embedding":
        raise UnsupportedModelError(f"{spec.id}: int8 is for embeddings; a {spec.kind} runs in dtype f32 or bf16")
    mine = [text for text in texts or () if text.strip()]
    if texts is not None and not mine:
        raise SettingError("there is no text to calibrate with")
    # The package's own sample stays in: a few texts of one kind would leave all others badly off.
    sample = [*mine, *sample_texts()]
    use = machine(config.threads, config.streams)
    path = _place(config.home, spec)
    _write(path, measure(spec, TextTokenizer(spec), use, sample), sample)
    return path


def measure(spec: ModelSpec, tokenizer: TextTokenizer, use: Machine, texts: Sequence[str]) -> dict[str, SiteRange]:
    """Run the texts through the float32 graph, look at each linear layer's inputs, and fit how to quantise them."""
    observed: dict[str, Any] = {}
    weights: dict[str, list[Floats]] = {}
    graph = build_graph(spec, observe=observed, observed_weights=weights)
    request = compile_graph(graph, "f32", Machine(use.threads, 1)).create_infer_request()
    jobs = [Job(text.pieces[0]) for text in tokenizer.tokenize(texts)]
    packs = plan_packed([len(job.ids) for job in jobs], budget=_PACK_TOKENS)
    notes = {site: _Notes() for site in observed}
    for pack in packs:
        batch = lay_out(pack, jobs, tokenizer.filler)
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


def ranges_checksum(ranges: Mapping[str, SiteRange]) -> str:
    """A checksum of a calibration: vectors of different calibrations are not mixed."""
    digest = hashlib.sha256()
    for site in sorted(ranges):
        for field in ("low", "high", "mean", "smoothing"):
            digest.update(f"{site}/{field}".encode() + np.asarray(getattr(ranges[site], field)).tobytes())
    return digest.hexdigest()[:16]


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
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
