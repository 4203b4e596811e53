"""The model's encoder as an ONNX file, for systems that read nothing else.

Knows torch's exporter. Refuses to know who reads the file. Needs torch, transformers and onnx.

    python onnx_export.py MODEL_FOLDER ONNX_FOLDER
"""

import shutil
import sys
import warnings
from pathlib import Path

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "last_hidden_state"


def export(model: Path, folder: Path) -> None:
    """Write `model.onnx` (f32, any number of texts and tokens) and the tokenizer's files into `folder`."""
    import torch
    from transformers import AutoModel

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # The exporter cannot trace the fused attention with a mask of variable size.
            self.encoder = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.encoder(**dict(zip(INPUTS, inputs, strict=True))).last_hidden_state

    example = torch.ones(2, 8, dtype=torch.long)
    axes = {name: {0: "texts", 1: "tokens"} for name in (*INPUTS, OUTPUT)}
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(),
            (example,) * len(INPUTS),
            str(folder / "model.onnx"),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(model / name, folder)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
