"""Model folders as versions of sentence-transformers and transformers write them, around tiny weights."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file


def copy_of(folder: Path, place: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(folder, place))


def write(path: Path, content: object) -> None:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **values: object) -> None:
    """Set keys of a JSON object in a file, which may be new."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    write(path, content | values)


def write_dense(folder: Path, settings: Mapping[str, object] | None = None, *, into: int = 32, out: int = 8) -> None:
    """A dense layer's folder."""
    folder.mkdir()
    activation = "torch.nn.modules.linear.Identity"
    write(
        folder / "config.json",
        {"in_features": into, "out_features": out, "bias": True, "activation_function": activation}
        | dict(settings or {}),
    )
    weights = {
        "linear.weight": np.zeros((out, into), np.float32),
        "linear.bias": np.zeros(out, np.float32),
    }
    save_file(weights, folder / "model.safetensors")


def write_modules(folder: Path, *modules: tuple[str, str]) -> None:
    """modules.json of (path, class path behind `sentence_transformers.`)."""
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    write(folder / "modules.json", listed)


def as_version_6(folder: Path) -> Path:
    """The layout that sentence-transformers 6.2 saves: other class paths, a list of pooling modes, more settings."""
    write_modules(
        folder,
        ("", "base.modules.transformer.Transformer"),
        ("1_Pooling", "sentence_transformer.modules.pooling.Pooling"),
        ("2_Dense", "base.modules.dense.Dense"),
        ("3_Normalize", "base.modules.normalize.Normalize"),
    )
    ends = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    write(
        folder / "1_Pooling" / "config.json",
        {"embedding_dimension": 32, "pooling_mode": ["max", "mean"], "include_prompt": True},
    )
    write_dense(folder / "2_Dense", ends, into=64)
    write(folder / "3_Normalize" / "config.json", ends)
    write(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"pytorch": "2.13.0", "sentence_transformers": "6.2.0", "transformers": "5.23.0"},
            "default_prompt_name": None,
            "model_type": "SentenceTransformer",
            "prompts": {"document": "d: ", "query": "q: "},
            "similarity_fn_name": "cosine",
        },
    )
    write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
        },
    )
    return folder
