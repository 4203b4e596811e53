"""Tiny models with random weights, made here: every architecture can be tested without a download."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "the a of and to in is was for on with as by at from it an be this that which or are not have had but one all "
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def vocabulary() -> dict[str, int]:
    """Special tokens, common words and single letters."""
    pieces = [*SPECIAL, *WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", ",", "?", "!"]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def write_tokenizer(folder: Path, *, max_tokens: int, inputs: list[str] | None = None) -> None:
    """A WordPiece tokenizer that puts [CLS] before and [SEP] behind a text.

    `inputs` are what its settings say that it gives: `token_type_ids` among them or not.
    """
    words = vocabulary()
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=200))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens}
    config |= {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    if inputs is not None:
        config["model_input_names"] = inputs
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_modules(folder: Path, *, pooling: dict[str, object], normalize: bool, extra: list[str] | None = None) -> None:
    """modules.json with pooling, extra modules (their folders' names) and normalisation."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [(name, name.partition("_")[2]) for name in extra or []]
    if normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def write_bert(folder: Path, *, layers: int = 2, width: int = 32, max_tokens: int = 48, seed: int = 0) -> Path:
    """A whole BERT model with mean pooling and normalisation, without torch."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    size = len(vocabulary())
    config = {
        "model_type": "bert",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": max_tokens,
        "type_vocab_size": 2,
        "vocab_size": size,
        "pad_token_id": 0,
    }
    tensors: dict[str, np.ndarray] = {}

    def matrix(name: str, *shape: int) -> None:
        tensors[name] = (random.standard_normal(shape) * 0.2).astype(np.float32)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = np.ones(width, np.float32)
        matrix(f"{name}.bias", width)

    matrix("embeddings.word_embeddings.weight", size, width)
    matrix("embeddings.position_embeddings.weight", max_tokens, width)
    matrix("embeddings.token_type_embeddings.weight", 2, width)
    norm("embeddings.LayerNorm")
    for layer in range(layers):
        block = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            matrix(f"{block}.{name}.weight", width, width)
            matrix(f"{block}.{name}.bias", width)
        matrix(f"{block}.intermediate.dense.weight", 2 * width, width)
        matrix(f"{block}.intermediate.dense.bias", 2 * width)
        matrix(f"{block}.output.dense.weight", width, 2 * width)
        matrix(f"{block}.output.dense.bias", width)
        norm(f"{block}.attention.output.LayerNorm")
        norm(f"{block}.output.LayerNorm")
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, max_tokens=max_tokens)
    write_modules(folder, pooling={"pooling_mode_mean_tokens": True}, normalize=True)
    return folder


# How the tensors of other families are called, by what replaces which part of BERT's names.
_RENAMED = {
    "distilbert": {
        "encoder.layer": "transformer.layer",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    },
    "mpnet": {
        "attention.self.query": "attention.attn.q",
        "attention.self.key": "attention.attn.k",
        "attention.self.value": "attention.attn.v",
        "attention.output.dense": "attention.attn.o",
        "attention.output.LayerNorm": "attention.LayerNorm",
    },
}


def write_family(folder: Path, family: str, **config: object) -> Path:
    """A tiny model of any architecture that has a graph, by its `model_type`. `config` goes into config.json."""
    max_tokens, shifted = 48, family not in ("bert", "distilbert")
    # Position tables of the others begin behind the padding token's id.
    write_bert(folder, max_tokens=max_tokens + 2 * shifted, seed=len(family))
    settings = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    types = tensors.pop("embeddings.token_type_embeddings.weight")
    settings |= {"model_type": family, "pad_token_id": int(shifted)}
    if family == "bert":
        tensors["embeddings.token_type_embeddings.weight"] = types
    elif family in _RENAMED:
        del settings["type_vocab_size"]
        for old, new in _RENAMED[family].items():
            tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    else:
        settings["type_vocab_size"] = 1
        tensors["embeddings.token_type_embeddings.weight"] = types[:1]
    if family == "mpnet":
        bias = np.random.default_rng(5).standard_normal((32, 4)) * 0.3
        tensors["encoder.relative_attention_bias.weight"] = bias.astype(np.float32)
    if family == "distilbert":
        settings |= {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "activation": "gelu"}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings | config))
    write_tokenizer(folder, max_tokens=max_tokens)
    return folder


def write_classifier(folder: Path, *, labels: int = 1, max_tokens: int = 48, seed: int = 0, **config: object) -> Path:
    """A whole BERT classifier, as transformers saves it, without torch. `config` goes into config.json."""
    write_bert(folder, max_tokens=max_tokens, seed=seed)
    for name in ("modules.json", "1_Pooling/config.json"):
        (folder / name).unlink()
    random = np.random.default_rng(seed + 1)
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    width = len(tensors["bert.embeddings.LayerNorm.bias"])
    for name, rows in (("bert.pooler.dense", width), ("classifier", labels)):
        tensors[f"{name}.weight"] = (random.standard_normal((rows, width)) * 0.3).astype(np.float32)
        tensors[f"{name}.bias"] = (random.standard_normal(rows) * 0.3).astype(np.float32)
    save_file(tensors, folder / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text())
    settings["architectures"] = ["BertForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder
