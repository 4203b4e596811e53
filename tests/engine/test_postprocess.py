"""Dense layers, length one, fewer dimensions and other number types."""

from math import erf, sqrt

import numpy as np
import pytest

from embedhub.engine.postprocess import (
    PRECISIONS,
    DenseLayer,
    normalized,
    quantize_embeddings,
    similarity,
    truncated,
)
from embedhub.errors import SettingError

VECTORS = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)


def test_normalized() -> None:
    np.testing.assert_allclose(np.linalg.norm(normalized(VECTORS), axis=1), 1, rtol=1e-6)
    assert np.array_equal(normalized(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


@pytest.mark.parametrize("dimensions", [0, -1, 17])
def test_truncated_refuses(dimensions: int) -> None:
    with pytest.raises(SettingError, match="1 to 16"):
        truncated(VECTORS, dimensions)


def test_truncated_keeps_the_first() -> None:
    assert np.array_equal(truncated(VECTORS, 3), VECTORS[:, :3])
    assert truncated(VECTORS, None) is VECTORS


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-8, 8, 1001, dtype=np.float32)[None]
    layer = DenseLayer(np.eye(1001, dtype=np.float32), None, "GELU")
    wanted = [value * (1 + erf(value / sqrt(2))) / 2 for value in x[0].tolist()]
    np.testing.assert_allclose(layer(x)[0], wanted, atol=1e-6)


def test_precisions_have_the_right_types_and_shapes() -> None:
    found = {precision: quantize_embeddings(VECTORS, precision) for precision in PRECISIONS}
    assert {name: (array.dtype.name, array.shape[1]) for name, array in found.items()} == {
        "float32": ("float32", 16),
        "float16": ("float16", 16),
        "int8": ("int8", 16),
        "uint8": ("uint8", 16),
        "binary": ("int8", 2),
        "ubinary": ("uint8", 2),
    }
    signs = np.unpackbits(found["ubinary"].view(np.uint8), axis=1)
    assert np.array_equal(signs.astype(bool), VECTORS > 0)
    assert np.array_equal(found["binary"].astype(int) + 128, found["ubinary"])
    assert np.array_equal(found["int8"].astype(int) + 128, found["uint8"])


def test_int8_steps() -> None:
    levels = quantize_embeddings(VECTORS, "uint8").astype(np.float32)
    low, high = VECTORS.min(axis=0), VECTORS.max(axis=0)
    assert np.abs(low + (levels + 0.5) * (high - low) / 255 - VECTORS).max() <= float((high - low).max()) / 255


def test_precision_errors() -> None:
    with pytest.raises(SettingError, match=r"int4.*float32"):
        quantize_embeddings(VECTORS, "int4")
    with pytest.raises(SettingError, match="several texts"):
        quantize_embeddings(VECTORS[:1], "int8")
    ranges = np.stack([np.full(16, -1.0), np.full(16, 1.0)]).astype(np.float32)
    assert quantize_embeddings(VECTORS[:1], "int8", ranges=ranges).shape == (1, 16)
    assert quantize_embeddings(VECTORS[:1], "int8", calibration_embeddings=VECTORS).shape == (1, 16)
    assert quantize_embeddings(VECTORS[:0], "int8").shape == (0, 16)


def test_similarity_functions() -> None:
    a, b = VECTORS[:3], VECTORS[3:5]
    assert np.allclose(similarity("dot", a, b), a @ b.T)
    assert np.allclose(similarity("cosine", a, b), normalized(a) @ normalized(b).T)
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    assert np.allclose(similarity("euclidean", a, b), -distances, atol=1e-5)
    assert np.allclose(similarity("manhattan", a, b), -np.abs(a[:, None] - b[None]).sum(axis=2), atol=1e-5)
    # In float32 alone, large squares cancel to 5e-4.
    assert np.abs(np.diag(similarity("euclidean", a, a))).max() < 1e-6
    with pytest.raises(SettingError, match="cosine, dot"):
        similarity("hamming", a, b)
