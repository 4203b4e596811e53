"""Which files of a repository are downloaded."""

import pytest

from embedhub.models import needed_files

DESCRIPTION = ["config.json", "modules.json", "tokenizer.json", "1_Pooling/config.json"]


@pytest.mark.parametrize(
    ("available", "architecture", "weights"),
    [
        (["model.safetensors", "onnx/model.onnx", "pytorch_model.bin"], "bert", ["model.safetensors"]),
        (["model.safetensors", "onnx/model.onnx"], "modernbert", ["model.safetensors", "onnx/model.onnx"]),
        (["model.safetensors", "onnx/model.onnx"], None, ["model.safetensors", "onnx/model.onnx"]),
        (
            ["onnx/model.onnx", "onnx/model.onnx_data", "pytorch_model.bin"],
            "bert",
            ["onnx/model.onnx", "onnx/model.onnx_data"],
        ),
        (["onnx/model_quantized.onnx", "pytorch_model.bin"], "bert", ["pytorch_model.bin"]),
        (
            ["pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin"],
            "t5",
            ["pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin"],
        ),
        (
            ["model-1-of-2.safetensors", "model-2-of-2.safetensors"],
            "bert",
            ["model-1-of-2.safetensors", "model-2-of-2.safetensors"],
        ),
        (["model.safetensors", "model-1-of-1.safetensors"], "bert", ["model.safetensors"]),
        (["model.fp16.safetensors", "consolidated.safetensors", "tf_model.h5", "rust_model.ot"], "bert", []),
    ],
)
def test_one_set_of_weights(available: list[str], architecture: str | None, weights: list[str]) -> None:
    assert needed_files([*DESCRIPTION, *available], architecture) == sorted([*DESCRIPTION, *weights])


def test_every_description_and_nothing_else() -> None:
    wanted = [
        *DESCRIPTION,
        "vocab.txt",
        "spiece.model",
        "README.md",
        "LICENSE",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ]
    other = [".gitattributes", "train.py", "data/x.json", "2_Dense/pytorch_model.bin", "1_Pooling/x.json", "logo.png"]

    assert needed_files([*wanted, *other, "model.safetensors"], "bert") == sorted([*wanted, "model.safetensors"])


def test_an_encoder_in_a_folder_of_its_own() -> None:
    inner = [
        f"0_Transformer/{name}"
        for name in ("config.json", "vocab.txt", "model.safetensors", "sentence_bert_config.json")
    ]

    found = needed_files(["modules.json", "1_Pooling/config.json", *inner, "0_Transformer/pytorch_model.bin"], "bert")

    assert found == sorted(["modules.json", "1_Pooling/config.json", *inner])


@pytest.mark.parametrize(
    "name", ["../config.json", "/x.json", "*.json", "a\\b.json", "x\0.json", "../model.safetensors", "[x].json"]
)
def test_names_that_lead_elsewhere_or_stand_for_others_are_left_out(name: str) -> None:
    assert needed_files([*DESCRIPTION, name], "bert") == sorted(DESCRIPTION)
