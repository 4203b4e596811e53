"""BERT (MiniLM, E5, BGE, GTE), RoBERTa and XLM-RoBERTa: config and weights to a graph.

RoBERTa differs in one thing: its position table counts from the padding token's id + 1.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from embedhub.engine.graphs.layers import Layers, Node
from embedhub.engine.graphs.post_norm import BlockNames, post_norm_block
from embedhub.engine.quiet_openvino import op
from embedhub.errors import UnsupportedModelError

PREFIXES = ("bert.", "roberta.", "camembert.", "model.bert.")


def encode(layers: Layers, config: Mapping[str, Any]) -> Node:
    """Token vectors [B, T, H] of the last layer.

    Raises:
        UnsupportedModelError: relative positions or decoder settings.
    """
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise UnsupportedModelError(f"{config['model_type']} with relative positions or as a decoder")
    offset = 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1
    positions = op.add(layers.positions, op.constant(np.int32(offset)))
    x = op.add(
        layers.table("embeddings.word_embeddings.weight", layers.ids, layers.largest_id),
        layers.table("embeddings.position_embeddings.weight", positions, layers.max_tokens - 1 + offset),
    )
    x = op.add(x, _types(layers))
    x = layers.norm(x, "embeddings.LayerNorm")
    bias = layers.mask()
    for index in range(config["num_hidden_layers"]):
        x = post_norm_block(layers, x, _names(index), bias=bias, hidden_act=config["hidden_act"], index=index)
    return x


def _types(layers: Layers) -> Node:
    name = "embeddings.token_type_embeddings.weight"
    if layers.types is None:
        # A single text is the first of a pair.
        return op.constant(layers.weights[name][0])
    return layers.table(name, layers.types, 1)


def _names(index: int) -> BlockNames:
    block = f"encoder.layer.{index}"
    return BlockNames(
        query=f"{block}.attention.self.query",
        key=f"{block}.attention.self.key",
        value=f"{block}.attention.self.value",
        attention_output=f"{block}.attention.output.dense",
        attention_norm=f"{block}.attention.output.LayerNorm",
        up=f"{block}.intermediate.dense",
        down=f"{block}.output.dense",
        output_norm=f"{block}.output.LayerNorm",
    )
