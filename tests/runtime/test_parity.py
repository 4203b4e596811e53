"""What a server says of its own closeness to sentence-transformers."""

from pathlib import Path

import numpy as np
import pytest
from tests.engine.references import TEXTS

from embedhub import Model
from embedhub.config import DEFAULT_MODEL, settings
from embedhub.models import find_model, references
from embedhub.models.references import find_reference, reference_path
from embedhub.runtime.parity import measure_parity


def test_the_default_model_is_close(default_model: Model) -> None:
    parity = measure_parity(default_model)
    assert parity.texts == len(TEXTS)
    assert parity.made_by is not None
    assert parity.made_by.startswith("sentence-transformers ")
    assert parity.min_cosine is not None
    assert parity.mean_cosine is not None
    assert parity.max_difference is not None
    assert 0.99999 < parity.min_cosine <= parity.mean_cosine <= 1.00001
    assert 0 < parity.max_difference < 1e-5
    assert parity.reason is None


def test_a_model_that_goes_wrong_is_seen(default_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = find_reference(default_model.spec.weights_sha256)
    assert reference is not None
    turned = references.Reference(reference.made_by, reference.texts[::-1], reference.vectors)
    monkeypatch.setattr("embedhub.runtime.parity.find_reference", lambda sha256: turned)
    parity = measure_parity(default_model)
    assert parity.min_cosine is not None
    assert parity.min_cosine < 0.5


def test_a_model_without_reference_says_so(tiny: Model) -> None:
    parity = measure_parity(tiny)
    assert parity.mean_cosine is None
    assert parity.min_cosine is None
    assert parity.max_difference is None
    assert parity.reason is not None
    assert tiny.spec.weights_sha256 in parity.reason


def test_other_weights_of_the_same_prefix_have_no_reference(default_model: Model) -> None:
    sha256 = default_model.spec.weights_sha256
    assert find_reference(sha256[:16] + "0" * 48) is None
    assert find_reference(sha256) is not None


@pytest.mark.reference
def test_the_file_holds_what_sentence_transformers_gives() -> None:
    from sentence_transformers import SentenceTransformer

    spec = find_model(DEFAULT_MODEL, settings=settings())
    reference = find_reference(spec.weights_sha256)
    assert reference is not None
    assert reference.texts == TEXTS
    vectors = SentenceTransformer(str(spec.folder), device="cpu").encode(list(TEXTS))
    np.testing.assert_allclose(reference.vectors, vectors, atol=1e-6)


def test_every_file_is_named_after_its_weights() -> None:
    files = sorted(Path(references.__file__).with_name("reference_vectors").iterdir())
    assert files
    for path in files:
        sha256 = path.read_text().split('"weights_sha256":"')[1][:64]
        assert reference_path(sha256) == path
