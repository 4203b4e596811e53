"""DistilBERT: config and weights to a graph."""

from collections.abc import Mapping
from typing import Any

from embedhub.engine.graphs.layers import Layers, Node
from embedhub.engine.graphs.post_norm import BlockNames, post_norm_block
from embedhub.engine.quiet_openvino import op

PREFIXES = ("distilbert.",)


def encode(layers: Layers, config: Mapping[str, Any]) -> Node:
    """Token vectors [B, T, H] of the last layer."""
    x = op.add(
        layers.table("embeddings.word_embeddings.weight", layers.ids, layers.largest_id),
        layers.table("embeddings.position_embeddings.weight", layers.positions, layers.max_tokens - 1),
    )
    x = layers.norm(x, "embeddings.LayerNorm")
    bias = layers.mask()
    for index in range(config["n_layers"]):
        x = post_norm_block(layers, x, _names(index), bias=bias, hidden_act=config["activation"], index=index)
    return x


def _names(index: int) -> BlockNames:
    block = f"transformer.layer.{index}"
    return BlockNames(
        query=f"{block}.attention.q_lin",
        key=f"{block}.attention.k_lin",
        value=f"{block}.attention.v_lin",
        attention_output=f"{block}.attention.out_lin",
        attention_norm=f"{block}.sa_layer_norm",
        up=f"{block}.ffn.lin1",
        down=f"{block}.ffn.lin2",
        output_norm=f"{block}.output_layer_norm",
    )
