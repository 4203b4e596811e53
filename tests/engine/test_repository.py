"""A model's repository of files: what others read from it is what the model is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from tests.engine.checkpoints import write_bert, write_classifier, write_modules
from tokenizers import Tokenizer

from embedhub import Classifier, Model
from embedhub.choices import OnnxForm
from embedhub.config import Settings
from embedhub.engine.export.repository import RepositoryFiles, repository_files, write_repository
from embedhub.errors import ModelError, SettingError, UnsupportedModelError
from embedhub.models import ModelSpec, read_spec

FORMS = list(OnnxForm)
TEXTS = ["The One", "a of and to in is was " * 30]


def parsed(files: RepositoryFiles, path: str) -> Any:
    content = files[path]
    assert isinstance(content, bytes)
    return json.loads(content)


def described(spec: ModelSpec) -> dict[str, object]:
    """What a spec says beside the place where it lies."""
    elsewhere = {"id", "folder", "source", "weights", "onnx", "dense", "config", "licence"}
    said = {name: getattr(spec, name) for name in spec.__dataclass_fields__ if name not in elsewhere}
    return said | {"dense": [layer.activation for layer in spec.dense], "config": dict(spec.config)}


def written(spec: ModelSpec, folder: Path, settings: Settings) -> Path:
    """The whole repository as a folder, weights included."""
    for path, content in repository_files(spec, settings).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder


def test_listing_makes_nothing(tmp_path: Path, offline: Settings) -> None:
    spec = read_spec(write_bert(tmp_path / "model"), id="tiny")
    files = repository_files(spec, offline)
    assert list(files) == [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert "onnx/model.onnx" in files
    assert not offline.home.exists()
    assert isinstance(files["onnx/model.onnx"], Path)
    assert "model.safetensors" not in repository_files(spec, offline, weights=False)


def test_read_again_it_is_the_same_model(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "model")
    write_modules(folder, pooling={"pooling_mode": ["mean", "cls"]}, normalize=True, extra=["2_Dense"])
    (folder / "2_Dense").mkdir()
    dense = {"in_features": 64, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense))
    weight = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    save_file({"linear.weight": weight, "linear.bias": weight[:, 0].copy()}, folder / "2_Dense" / "model.safetensors")
    settings = {"prompts": {"query": "the "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": True}))
    model = Model(folder, dtype="f32", config=offline)
    again = Model(written(model.spec, tmp_path / "again", offline), dtype="f32", config=offline)
    assert described(again.spec) == described(model.spec)
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))


def test_a_classifier_read_again(tmp_path: Path, offline: Settings) -> None:
    nested = {"activation_fn": "torch.nn.modules.linear.Identity"}
    folder = write_classifier(tmp_path / "model", labels=2, sentence_transformers=nested)
    model = Classifier(folder, dtype="f32", config=offline)
    files = repository_files(model.spec, offline)
    assert "modules.json" not in files
    again = Classifier(written(model.spec, tmp_path / "again", offline), dtype="f32", config=offline)
    assert described(again.spec) == described(model.spec)
    np.testing.assert_array_equal(again.logits([("the", "one")]), model.logits([("the", "one")]))


def test_the_tokenizer_says_what_the_model_reads(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": True}))
    files = repository_files(read_spec(folder, id="tiny"), offline)
    # It said 48: what the encoder could read.
    assert parsed(files, "tokenizer_config.json")["model_max_length"] == 20
    assert parsed(files, "special_tokens_map.json")["pad_token"] == "[PAD]"
    library = Tokenizer.from_str(json.dumps(parsed(files, "tokenizer.json")))
    assert len(library.encode(TEXTS[1]).ids) == 20
    assert library.encode("THE ONE").tokens == ["[CLS]", "the", "one", "[SEP]"]


def test_a_bare_vocabulary_becomes_a_tokenizer(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "model")
    words = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    files = repository_files(read_spec(folder, id="tiny"), offline)
    assert Tokenizer.from_str(json.dumps(parsed(files, "tokenizer.json"))).encode("The").tokens[1] == "the"
    said = parsed(files, "tokenizer_config.json")
    assert (said["tokenizer_class"], said["pad_token"], said["model_max_length"]) == ("BertTokenizer", "[PAD]", 48)


def test_what_speaks_of_files_elsewhere_is_left_out(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    more = {"transformers.js_config": {"use_external_data_format": True}, "auto_map": {"AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config | more))
    (folder / "code.py").write_text("raise SystemExit")
    files = repository_files(read_spec(folder, id="tiny"), offline)
    assert parsed(files, "config.json") == config
    assert "code.py" not in files


def test_the_card_is_true(tmp_path: Path, offline: Settings) -> None:
    spec = read_spec(write_bert(tmp_path / "model"), id="acme/tiny")

    def card(**changes: Any) -> tuple[dict[str, Any], str]:
        content = repository_files(replace(spec, **changes), offline)["README.md"]
        assert isinstance(content, bytes)
        _, head, body = content.decode().split("---\n", 2)
        return yaml.safe_load(head), body

    head, body = card(licence="mit, apache-2.0")
    assert head["license"] == ["mit", "apache-2.0"]
    assert head["pipeline_tag"] == "sentence-similarity"
    assert '"acme/tiny"' in body
    assert '{ pooling: "mean", normalize: true }' in body
    assert '{ pooling: "cls", normalize: false }' in card(pooling=("cls",), normalize=False)[1]
    # Transformers.js would pool this otherwise.
    assert "ask an" in card(pooling=("weightedmean",))[1].lower()
    assert card(licence='"; evil: [')[0]["license"] == '"; evil: ['
    assert "\n# evil" not in card(architecture="bert\n# evil")[1]
    assert card(kind="classifier", labels=("a",))[0]["pipeline_tag"] == "text-ranking"


def test_a_model_without_a_graph_is_listed_without_onnx(tmp_path: Path, offline: Settings) -> None:
    spec = replace(read_spec(write_bert(tmp_path / "model"), id="tiny"), architecture="electra")
    assert not [path for path in repository_files(spec, offline) if path.startswith("onnx/")]
    with pytest.raises(UnsupportedModelError, match="electra"):
        write_repository(spec, tmp_path / "out", offline, FORMS)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, offline: Settings) -> None:
    spec = read_spec(write_bert(tmp_path / "model"), id="tiny")
    out = tmp_path / "deep" / "out"
    paths = write_repository(spec, out, offline, [OnnxForm.QUANTIZED])
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(paths)
    assert not (out / "onnx" / "model.onnx").exists()
    with pytest.raises(SettingError, match="there already"):
        write_repository(spec, out, offline, FORMS)
    with pytest.raises(SettingError, match="float32"):
        write_repository(spec, tmp_path / "other", offline, [])
    (spec.folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        write_repository(read_spec(spec.folder, id="tiny"), tmp_path / "deep" / "other", offline, FORMS)
    assert list((tmp_path / "deep").iterdir()) == [out]
