"""Every architecture beside transformers, on tiny checkpoints with random weights."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import WORDS, vocabulary, write_modules, write_tokenizer

from embedhub import EncodeOptions, Model
from embedhub.config import read_settings

pytestmark = pytest.mark.reference
pytest.importorskip("torch", reason="torch is not installed (make test-reference installs it)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

MAX_TOKENS = 40
TOLERANCE = 1e-5
COMMON = {"vocab_size": len(vocabulary()), "pad_token_id": 0}
WIDE = COMMON | {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
}
# RoBERTa's and MPNet's position tables begin behind the padding token's id.
SHIFTED = WIDE | {"max_position_embeddings": MAX_TOKENS + 2, "pad_token_id": 1}

FAMILIES: dict[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**WIDE)),
    "bert-relu": lambda: transformers.BertModel(transformers.BertConfig(**WIDE, hidden_act="relu")),
    "bert-gelu-new": lambda: transformers.BertModel(transformers.BertConfig(**WIDE, hidden_act="gelu_new")),
    "bert-with-head": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**WIDE)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(
            **COMMON, dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=MAX_TOKENS
        )
    ),
    "roberta": lambda: transformers.RobertaModel(transformers.RobertaConfig(**SHIFTED, type_vocab_size=1)),
    "xlm-roberta": lambda: transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**SHIFTED, type_vocab_size=1)),
    "camembert": lambda: transformers.CamembertModel(transformers.CamembertConfig(**SHIFTED, type_vocab_size=1)),
    "mpnet": lambda: transformers.MPNetModel(transformers.MPNetConfig(**SHIFTED)),
}


def texts() -> list[str]:
    """One short, one empty, mixed lengths and two that are too long."""
    chooser = random.Random(5)
    words = WORDS.split()
    mixed = [" ".join(chooser.choices(words, k=chooser.randint(1, 36))) for _ in range(30)]
    return ["a", "", *mixed, " ".join(chooser.choices(words, k=300)), "which " * 60]


@pytest.fixture(scope="module", params=list(FAMILIES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    """Our model and transformers', over one folder."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(7)
    folder: Path = tmp_path_factory.mktemp(request.param)
    made = FAMILIES[request.param]()
    for parameter in made.parameters():
        # The usual start of 0.02 makes all outputs nearly alike; errors would not show.
        torch.nn.init.normal_(parameter, std=0.25)
    made.save_pretrained(folder)
    write_tokenizer(folder, max_tokens=MAX_TOKENS)
    write_modules(folder, pooling={"pooling_mode_mean_tokens": True}, normalize=False)
    config = read_settings({"EMBEDHUB_HOME": str(folder / "home"), "EMBEDHUB_PACK_TOKENS": "128"})
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    return Model(folder, dtype="f32", config=config), theirs


def expected(model: Model, theirs: Any, inputs: list[str]) -> np.ndarray:
    """Mean pooling over transformers' token vectors, text by text: nothing is padded."""
    torch = pytest.importorskip("torch")
    vectors = []
    for text in inputs:
        ids = torch.from_numpy(model.tokenize([text])["input_ids"])
        with torch.inference_mode():
            vectors.append(theirs(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy())
    return np.stack(vectors)


def difference(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


def test_one_text(pair: tuple[Model, Any]) -> None:
    model, theirs = pair
    assert (
        difference(
            model.encode("the one that is not a b c")[None], expected(model, theirs, ["the one that is not a b c"])
        )
        < TOLERANCE
    )


def test_mixed_and_over_long(pair: tuple[Model, Any]) -> None:
    model, theirs = pair
    found = model.embed(texts())
    assert difference(found.vectors, expected(model, theirs, texts())) < TOLERANCE
    assert found.truncated.tolist() == [False] * 32 + [True, True]
    assert found.tokens[-1] == 62


def test_packed(pair: tuple[Model, Any]) -> None:
    model, theirs = pair
    packed = model.embed(texts(), EncodeOptions(mixed=True)).vectors
    assert difference(packed, expected(model, theirs, texts())) < TOLERANCE


def test_order_of_the_batch_does_not_matter(pair: tuple[Model, Any]) -> None:
    model, _ = pair
    order = list(range(len(texts())))
    random.Random(3).shuffle(order)
    shuffled = model.encode([texts()[number] for number in order], batch_size=5)
    assert difference(shuffled, model.encode(texts())[order]) < TOLERANCE


def test_token_vectors(pair: tuple[Model, Any]) -> None:
    torch = pytest.importorskip("torch")
    model, theirs = pair
    found = model.token_embeddings(texts()[:5])
    for text, tokens in zip(texts()[:5], found, strict=True):
        with torch.inference_mode():
            wanted = theirs(input_ids=torch.from_numpy(model.tokenize([text])["input_ids"])).last_hidden_state[0]
        assert difference(tokens, wanted.numpy()) < TOLERANCE
