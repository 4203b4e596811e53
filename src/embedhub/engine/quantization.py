"""int8 for linear layers: from a sample of a layer's inputs to how it is to be quantised.

Knows numbers and the OpenVINO operation that marks them (FakeQuantize); refuses to know models and texts. Weights are
symmetric int8 with a scale for each output; inputs are 8 bits with one scale for all. Two things make that accurate:

* Smoothing (Xiao et al. 2023, SmoothQuant): channels that run hot are divided by a factor, and the weight's column is
  multiplied by it.
* Clipping: the few largest values are cut off when that makes the steps for all others finer.

How much of each is searched for every layer by the error it leaves in the layer's output. What the rounding of the
weights does to the output on average is added to the bias (Nagel et al. 2019, section 4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.quiet_openvino import op

Floats = NDArray[np.float32]

# Part of the name under which calibrations are kept: changes with what they mean.
RECIPE = "searched-2"

# How much of the difficulty moves from inputs to weights, and how much of the range is kept.
_SMOOTHINGS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
_KEPT = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0)


@dataclass(frozen=True)
class SiteRange:
    """How the input of linear layers is quantised.

    Attributes:
        low: smallest value that is kept, after smoothing; float32 scalar.
        high: largest value that is kept, after smoothing; float32 scalar.
        mean: mean input by channel [in], before smoothing.
        smoothing: factor by channel [in]; inputs are divided by it, weight columns multiplied.
    """

    low: Floats
    high: Floats
    mean: Floats
    smoothing: Floats

    def quantize_input(self, x: Any) -> Any:
        """Divided by the smoothing, then FakeQuantize to 256 levels."""
        low, high = op.constant(self.low), op.constant(self.high)
        return op.fake_quantize(op.multiply(x, op.constant(1 / self.smoothing)), low, high, low, high, 256)

    def quantize_weight(self, weight: Floats, bias: Floats) -> tuple[Any, Floats]:
        """The weight [out, in] with smoothed columns as a FakeQuantize, and the corrected bias [out]."""
        smoothed = weight * self.smoothing
        limit = _limits(smoothed)
        corrected = bias + (smoothed - _rounded_weight(smoothed, limit)) @ (self.mean / self.smoothing)
        low, high = op.constant(-limit), op.constant(limit)
        return op.fake_quantize(op.constant(smoothed), low, high, low, high, 255), corrected.astype(np.float32)


def fit_site(low: Floats, high: Floats, mean: Floats, sample: Floats, weights: Sequence[Floats]) -> SiteRange:
    """The way of quantising that leaves the smallest squared error in the layers' outputs.

    Args:
        low: smallest input by channel [in].
        high: largest input by channel [in].
        mean: mean input by channel [in].
        sample: some inputs [n, in].
        weights: of the linear layers that share the input, each [out, in].
    """
    weight = np.concatenate(weights)
    centred = sample - mean
    wanted = centred @ weight.T
    best, smallest = None, np.inf
    for amount, kept in product(_SMOOTHINGS, _KEPT):
        smoothing = smoothing_factors(low, high, np.abs(weight).max(axis=0), amount)
        site = SiteRange(
            low=np.float32(kept) * (low / smoothing).min(),
            high=np.float32(kept) * (high / smoothing).max(),
            mean=mean,
            smoothing=smoothing,
        )
        smoothed = weight * smoothing
        rounded = _rounded_weight(smoothed, _limits(smoothed))
        inputs = _rounded_input(sample / smoothing, site) - mean / smoothing
        error = float(np.square(inputs @ rounded.T - wanted).sum())
        if error < smallest:
            best, smallest = site, error
    assert best is not None
    return best


def smoothing_factors(low: Floats, high: Floats, weight_peak: Floats, amount: float) -> Floats:
    """SmoothQuant's factor by channel, equation 4: peak of the input ** a / peak of the weights ** (1 - a)."""
    if amount == 0:
        return np.ones_like(low)
    peak = np.maximum(np.maximum(-low, high), np.float32(1e-5))
    factors = peak**amount / np.maximum(weight_peak, np.float32(1e-5)) ** (1 - amount)
    return factors.astype(np.float32)


def _limits(weight: Floats) -> Floats:
    """The largest magnitude of each output's weights, [out, 1]."""
    limits: Floats = np.maximum(np.abs(weight).max(axis=1, keepdims=True), np.float32(1e-12))
    return limits


def _rounded_weight(weight: Floats, limit: Floats) -> Floats:
    rounded: Floats = np.rint(weight / limit * np.float32(127)) * (limit / np.float32(127))
    return rounded


def _rounded_input(inputs: Floats, site: SiteRange) -> Floats:
    step = (site.high - site.low) / np.float32(255)
    rounded: Floats = np.rint((np.clip(inputs, site.low, site.high) - site.low) / step) * step + site.low
    return rounded
