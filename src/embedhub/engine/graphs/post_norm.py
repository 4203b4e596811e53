"""The encoder block that BERT and its descendants share ("post-norm", Vaswani et al. 2017).

Attention, then a feed-forward pair, each followed by residual and normalisation.

Knows the block, refuses to know whose weights it gets: the names come from the architecture's file.
"""

from dataclasses import dataclass

from embedhub.engine.graphs.layers import Layers, Node, activation
from embedhub.engine.quiet_openvino import op


@dataclass(frozen=True)
class BlockNames:
    """Names of one block's tensors, without .weight and .bias."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    up: str
    down: str
    output_norm: str


def post_norm_block(layers: Layers, x: Node, names: BlockNames, *, bias: Node, hidden_act: str, index: int) -> Node:
    """One encoder block: [B, T, H] to [B, T, H]. `bias` is added to the attention scores."""
    mixed = layers.attention(x, (names.query, names.key, names.value), bias, f"{index}.attention")
    mixed = layers.site(mixed, f"{index}.attention_output")
    x = layers.norm(
        op.add(x, layers.linear(mixed, names.attention_output, f"{index}.attention_output")),
        names.attention_norm,
    )
    wide = activation(hidden_act)(layers.linear(layers.site(x, f"{index}.up"), names.up, f"{index}.up"))
    down = layers.linear(layers.site(wide, f"{index}.down"), names.down, f"{index}.down")
    return layers.norm(op.add(x, down), names.output_norm)
