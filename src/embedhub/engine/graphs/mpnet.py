"""MPNet: config and weights to a graph.

Two things differ from BERT: positions count from the padding token's id + 1, and every layer adds a learned bias
for the distance between two tokens, in logarithmic buckets (Raffel et al. 2020, section 2.1).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.graphs.layers import Layers, Node, axes
from embedhub.engine.graphs.post_norm import BlockNames, post_norm_block
from embedhub.engine.quiet_openvino import op

PREFIXES = ("mpnet.",)

# Distances from here on share the last bucket of their side.
_FAR = 128


def encode(layers: Layers, config: Mapping[str, Any]) -> Node:
    """Token vectors [B, T, H] of the last layer."""
    offset = int(config.get("pad_token_id", 1)) + 1
    positions = op.add(layers.positions, op.constant(np.int32(offset)))
    x = op.add(
        layers.table("embeddings.word_embeddings.weight", layers.ids, layers.largest_id),
        layers.table("embeddings.position_embeddings.weight", positions, layers.max_tokens - 1 + offset),
    )
    x = layers.norm(x, "embeddings.LayerNorm")
    bias = op.add(layers.mask(), _distance_bias(layers, int(config.get("relative_attention_num_buckets", 32))))
    for index in range(config["num_hidden_layers"]):
        x = post_norm_block(layers, x, _names(index), bias=bias, hidden_act=config["hidden_act"], index=index)
    return x


def distance_buckets(distances: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The bucket of each distance (key position - query position): exact when near, logarithmic when far."""
    half = count // 2
    magnitude = np.abs(distances)
    near = half // 2
    # Distance 0 has no logarithm; it is near anyway.
    ratio = np.log(np.maximum(magnitude, 1).astype(np.float32) / np.float32(near)) / np.float32(np.log(_FAR / near))
    far = np.minimum(near + (ratio * (half - near)).astype(np.int64), half - 1)
    return np.where(distances > 0, half, 0) + np.where(magnitude < near, magnitude, far)


def _distance_bias(layers: Layers, count: int) -> Node:
    """[B, heads, T, T], looked up by clipped distance in a table made once."""
    by_distance = layers.weights["encoder.relative_attention_bias.weight"][
        distance_buckets(np.arange(-_FAR, _FAR + 1), count)
    ]
    query = op.unsqueeze(layers.positions, axes(2))
    key = op.unsqueeze(layers.positions, axes(1))
    distance = op.clamp(op.convert(op.subtract(key, query), "f32"), -_FAR, _FAR)
    index = op.add(op.convert(distance, "i32"), op.constant(np.int32(_FAR)))
    return op.transpose(op.gather(op.constant(by_distance), index, np.int64(0)), axes(0, 3, 1, 2))


def _names(index: int) -> BlockNames:
    block = f"encoder.layer.{index}"
    return BlockNames(
        query=f"{block}.attention.attn.q",
        key=f"{block}.attention.attn.k",
        value=f"{block}.attention.attn.v",
        attention_output=f"{block}.attention.attn.o",
        attention_norm=f"{block}.attention.LayerNorm",
        up=f"{block}.intermediate.dense",
        down=f"{block}.output.dense",
        output_norm=f"{block}.output.LayerNorm",
    )
