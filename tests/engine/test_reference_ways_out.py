"""Architectures without a graph here: the repository's ONNX export, transformers, or an error that names both."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import vocabulary, write_modules, write_tokenizer
from tests.engine.forking import vectors_in_forks

from embedhub import EncodeOptions, Model
from embedhub.config import Settings
from embedhub.errors import MissingExtraError, UnsupportedModelError

pytestmark = [
    pytest.mark.reference,
    # The exporter warns of its own successor, of traced values and more.
    pytest.mark.filterwarnings("ignore"),
]
torch = pytest.importorskip("torch", reason="torch is not installed (make test-reference installs it)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

TEXTS = ["a", "", "the one that is not", "which all was had it are have not or be an by", "to be or not to be " * 20]


@pytest.fixture
def electra(tmp_path: Path) -> tuple[Path, Any]:
    """An architecture that has no graph here, with the pooling `mean`."""
    torch.manual_seed(3)
    config = transformers.ElectraConfig(
        vocab_size=len(vocabulary()),
        embedding_size=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    model = transformers.ElectraModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, max_tokens=40)
    write_modules(tmp_path, pooling={"pooling_mode_mean_tokens": True}, normalize=False)
    return tmp_path, model


def export(folder: Path, model: Any) -> None:
    """onnx/model.onnx as repositories have it."""

    class Exported(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    (folder / "onnx").mkdir()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    # With nothing masked, transformers leaves the mask out of the trace.
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    sample = (torch.ones(2, 5, dtype=torch.long), mask, torch.zeros(2, 5, dtype=torch.long))
    torch.onnx.export(
        Exported().eval(),
        sample,
        str(folder / "onnx" / "model.onnx"),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*names, "last_hidden_state"]},
        dynamo=False,
    )


def expected(ours: Model, theirs: Any) -> np.ndarray:
    vectors = []
    for text in TEXTS:
        with torch.inference_mode():
            ids = torch.from_numpy(ours.tokenize([text])["input_ids"])
            vectors.append(theirs(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy())
    return np.stack(vectors)


def test_torch(electra: tuple[Path, Any], offline: Settings) -> None:
    folder, theirs = electra
    ours = Model(folder, config=offline)
    assert (ours.backend, ours.dtype) == ("torch", "f32")
    assert np.abs(ours.encode(TEXTS) - expected(ours, theirs)).max() < 1e-5
    assert np.abs(ours.embed(TEXTS, EncodeOptions(mixed=True)).vectors - expected(ours, theirs)).max() < 1e-5
    assert [len(tokens) for tokens in ours.token_embeddings(TEXTS)] == [3, 2, 7, 14, 40]


def test_onnx_goes_before_torch(electra: tuple[Path, Any], offline: Settings) -> None:
    folder, theirs = electra
    export(folder, theirs)
    ours = Model(folder, dtype="f32", config=offline)
    assert (ours.backend, ours.dtype) == ("onnx", "f32")
    assert np.abs(ours.encode(TEXTS) - expected(ours, theirs)).max() < 1e-5
    assert np.abs(ours.encode(TEXTS[::-1])[::-1] - expected(ours, theirs)).max() < 1e-5


def test_an_export_survives_forks(electra: tuple[Path, Any], tmp_path: Path) -> None:
    export(*electra)
    assert vectors_in_forks(electra[0], tmp_path / "home") == "same vectors everywhere"


def test_without_torch_the_error_names_both_ways(
    electra: tuple[Path, Any], offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"onnx/model\.onnx.*embedhub\[torch\]"):
        Model(electra[0], config=offline)


def test_number_types_that_only_graphs_have(electra: tuple[Path, Any], offline: Settings) -> None:
    with pytest.raises(UnsupportedModelError, match=r"bert.*mpnet|no VNNI"):
        Model(electra[0], dtype="int8", config=offline)


def test_a_broken_onnx_file(electra: tuple[Path, Any], offline: Settings) -> None:
    (electra[0] / "onnx").mkdir()
    (electra[0] / "onnx" / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(Exception, match=r"model\.onnx") as caught:
        Model(electra[0], config=offline)
    assert type(caught.value).__name__ == "ModelIntegrityError"
