"""What this machine's matrix products can do at most, in each number type.

Knows one OpenVINO graph of one product. Refuses to know models, save for counting their multiplications.

    python ceiling.py

prints {number type: operations a second}, without the types that the CPU does not have.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

TOKENS, WIDTH = 1024, 1536
SECONDS = 1.5
REPEATS = 3
PRECISIONS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}


def flops_per_token(config: Path) -> int:
    """Multiplications and additions of one token in the linear layers of a BERT, from its `config.json`.

    A layer has four products of hidden x hidden and two of hidden x intermediate; each weight is one multiplication
    and one addition. Attention's own products, which grow with the text, are left out.
    """
    values = json.loads(config.read_text())
    hidden, intermediate = values["hidden_size"], values["intermediate_size"]
    return int(2 * values["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * intermediate))


def dtypes_of_cpu() -> list[str]:
    """The number types that this CPU computes natively; the rest is emulated and no ceiling."""
    from embedhub.engine.quiet_openvino import ov as openvino

    has = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [dtype for dtype, capability in (("f32", "FP32"), ("bf16", "BF16"), ("int8", "INT8")) if capability in has]


def operations_per_second(dtype: str) -> float:
    """Operations a second of [tokens, width] x [width, width], as many products at once as suits the machine."""
    from embedhub.engine.quiet_openvino import ov as openvino

    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": PRECISIONS[dtype]}
    compiled = openvino.Core().compile_model(_product(dtype), "CPU", options)
    queue = openvino.AsyncInferQueue(compiled)
    values = np.random.default_rng(0).uniform(-1, 1, (TOKENS, WIDTH)).astype(np.float32)
    for _ in range(len(queue)):
        queue.start_async({0: values})
    queue.wait_all()
    return statistics.median(_rate(queue) for _ in range(REPEATS))


def _rate(queue: Any) -> float:
    """Inputs stay in place: what is timed is the product and nothing before it."""
    products, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        queue.start_async()
        products += 1
    queue.wait_all()
    return products * 2 * TOKENS * WIDTH * WIDTH / (time.perf_counter() - start)


def _product(dtype: str) -> Any:
    from embedhub.engine.quiet_openvino import op as ops
    from embedhub.engine.quiet_openvino import ov as openvino

    random = np.random.default_rng(1)
    tokens = ops.parameter([TOKENS, WIDTH], np.float32)
    if dtype == "int8":
        weights = ops.constant(random.integers(-127, 128, (WIDTH, WIDTH)).astype(np.int8))
        right = ops.multiply(ops.convert(weights, "f32"), np.float32(1 / 127))
        left = ops.fake_quantize(
            tokens, np.float32(-1), np.float32(127 / 128), np.float32(-1), np.float32(127 / 128), 256
        )
    else:
        right = ops.constant(random.uniform(-1, 1, (WIDTH, WIDTH)).astype(np.float32))
        left = tokens
    return openvino.Model([ops.matmul(left, right, False, True)], [tokens])


if __name__ == "__main__":
    print(json.dumps({dtype: operations_per_second(dtype) for dtype in dtypes_of_cpu()}))
