"""Every family's classifiers beside transformers and sentence-transformers' CrossEncoder, on tiny checkpoints."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import WORDS, vocabulary, write_tokenizer

from embedhub import Classifier
from embedhub.config import read_settings
from embedhub.engine.scores import ACTIVATIONS

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="torch is not installed (make test-reference installs it)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
st = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

MAX_TOKENS = 40
TOLERANCE = 1e-5
COMMON = {"vocab_size": len(vocabulary()), "pad_token_id": 0}
WIDE = COMMON | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
}
SHIFTED = WIDE | {"max_position_embeddings": MAX_TOKENS + 2, "pad_token_id": 1}
ONE_TYPE = SHIFTED | {"type_vocab_size": 1}
DISTIL = COMMON | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": MAX_TOKENS}

# Name: the class, its settings, and whether its tokenizer gives token types.
FAMILIES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "bert": ("Bert", WIDE, True),
    "bert-without-types": ("Bert", WIDE, False),
    "camembert": ("Camembert", ONE_TYPE, False),
    "distilbert": ("DistilBert", DISTIL, False),
    "mpnet": ("MPNet", SHIFTED, False),
    "roberta": ("Roberta", ONE_TYPE, False),
    "roberta-with-types": ("Roberta", SHIFTED | {"type_vocab_size": 2}, True),
    "xlm-roberta": ("XLMRoberta", ONE_TYPE, False),
}
INPUTS = ["input_ids", "attention_mask"]


def save(folder: Path, family: str, labels: int, **config: Any) -> Any:
    """A tiny classifier of the family in `folder`, and the same in transformers."""
    name, settings, types = FAMILIES[family]
    torch.manual_seed(7)
    made = getattr(transformers, f"{name}ForSequenceClassification")(
        getattr(transformers, f"{name}Config")(**settings, num_labels=labels, **config)
    )
    for parameter in made.parameters():
        # The usual start of 0.02 makes all outputs nearly alike; errors would not show.
        torch.nn.init.normal_(parameter, std=0.25)
    made.save_pretrained(folder)
    write_tokenizer(folder, max_tokens=MAX_TOKENS, inputs=[*INPUTS, "token_type_ids"] if types else INPUTS)
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()


def open_ours(folder: Path) -> Classifier:
    config = read_settings({"EMBEDHUB_HOME": str(folder / "home"), "EMBEDHUB_PACK_TOKENS": "128"})
    return Classifier(folder, dtype="f32", config=config)


@pytest.fixture(scope="module", params=[(family, labels) for family in FAMILIES for labels in (1, 3)], ids=str)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classifier, Any]:
    """The folder, our classifier and transformers'."""
    family, labels = request.param
    folder = tmp_path_factory.mktemp(family)
    theirs = save(folder, family, labels)
    return folder, open_ours(folder), theirs


def pairs(count: int = 24) -> list[tuple[str, str]]:
    """Mixed lengths, empty ones, and too long ones: the first, the second, both."""
    chooser = random.Random(5)

    def words(low: int, high: int) -> str:
        return " ".join(chooser.choices(WORDS.split(), k=chooser.randint(low, high)))

    mixed = [(words(1, 12), words(1, 24)) for _ in range(count)]
    long = [
        (words(60, 90), "the"),
        ("the", words(60, 90)),
        (words(60, 90), words(50, 70)),
        (words(22, 22), words(9, 30)),
    ]
    return [("a", "b"), ("", "a"), ("a", ""), ("", ""), *mixed, *long]


def texts() -> list[str]:
    return [first for first, _ in pairs()] + [second for _, second in pairs()]


def expected(folder: Path, theirs: Any, inputs: list[Any]) -> np.ndarray:
    """Transformers' logits. In batches, because it takes a lone pair with an empty second text for a lone text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    arguments = {"truncation": "longest_first", "padding": True, "return_tensors": "pt"}
    kinds = [given if isinstance(given, str) else list(given) for given in inputs]
    with torch.inference_mode():
        logits: np.ndarray = theirs(**tokenizer(kinds, **arguments)).logits.numpy()
    return logits


def difference(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left - right).max())


def test_logits(opened: tuple[Path, Classifier, Any]) -> None:
    folder, ours, theirs = opened
    of_pairs, of_texts = expected(folder, theirs, pairs()), expected(folder, theirs, texts())
    for mixed in (False, True):
        assert difference(ours.logits(pairs(), mixed=mixed), of_pairs) < TOLERANCE
        assert difference(ours.logits(texts(), mixed=mixed), of_texts) < TOLERANCE
        together = ours.logits([*pairs(), *texts()], mixed=mixed)
        assert difference(together, np.concatenate([of_pairs, of_texts])) < TOLERANCE


def test_order_and_neighbours_do_not_matter(opened: tuple[Path, Classifier, Any]) -> None:
    _, ours, _ = opened
    order = list(range(len(pairs())))
    random.Random(3).shuffle(order)
    wanted = np.concatenate([ours.logits([pair]) for pair in pairs()])
    shuffled = [pairs()[number] for number in order]
    assert difference(ours.logits(shuffled, batch_size=5), wanted[order]) < TOLERANCE
    assert difference(ours.logits(shuffled, mixed=True), wanted[order]) < TOLERANCE


def test_tokens_are_those_of_transformers(opened: tuple[Path, Classifier, Any]) -> None:
    folder, ours, _ = opened
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prepared = ours.prepare(pairs())
    for number, (first, second) in enumerate(pairs()):
        found, tokens = prepared.jobs[number], prepared.tokens[number]
        wanted = tokenizer([first], [second], truncation="longest_first", verbose=False)
        assert found.ids == wanted["input_ids"][0]
        assert found.types == wanted.get("token_type_ids", [[0] * len(found.ids)])[0]
        assert tokens == len(tokenizer([first], [second], verbose=False)["input_ids"][0])
        assert prepared.truncated[number] == (tokens > MAX_TOKENS)


def test_predict(opened: tuple[Path, Classifier, Any]) -> None:
    folder, ours, _ = opened
    theirs = st.CrossEncoder(str(folder), device="cpu")
    assert difference(ours.predict(pairs()), theirs.predict(pairs())) < TOLERANCE
    assert (
        difference(ours.predict(pairs(), apply_softmax=True), theirs.predict(pairs(), apply_softmax=True)) < TOLERANCE
    )
    assert difference(ours.predict(pairs()[7]), theirs.predict(pairs()[7])) < TOLERANCE
    assert difference(ours.predict(list(pairs()[7])), theirs.predict(list(pairs()[7]))) < TOLERANCE
    assert difference(ours.predict(np.array(pairs())), theirs.predict(np.array(pairs()))) < TOLERANCE
    raw = theirs.predict(pairs(), activation_fn=torch.nn.Identity())
    assert difference(ours.predict(pairs(), activation_fn=lambda logits: logits), raw) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("activation", ["Identity", "Sigmoid"])
@pytest.mark.parametrize("labels", [1, 3])
def test_what_cross_encoder_saves(tmp_path: Path, family: str, activation: str, labels: int) -> None:
    save(tmp_path / "bare", family, labels)
    prompts = {"search": "that which is "}
    theirs = st.CrossEncoder(
        str(tmp_path / "bare"),
        device="cpu",
        activation_fn=getattr(torch.nn, activation)(),
        prompts=prompts,
        default_prompt_name="search",
    )
    theirs.save(str(tmp_path / "saved"))
    ours = open_ours(tmp_path / "saved")
    assert (ours.spec.kind, ours.spec.activation) == ("classifier", activation.lower())
    again = st.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert difference(ours.predict(pairs()), again.predict(pairs())) < TOLERANCE


def test_rank(tmp_path: Path) -> None:
    save(tmp_path, "bert", 1)
    ours, theirs = open_ours(tmp_path), st.CrossEncoder(str(tmp_path), device="cpu")
    documents = sorted({second for _, second in pairs()})
    for top_k in (None, 3):
        found = ours.rank("the one that", documents, top_k=top_k, return_documents=True)
        wanted = theirs.rank("the one that", documents, top_k=top_k, return_documents=True)
        assert [hit["corpus_id"] for hit in found] == [hit["corpus_id"] for hit in wanted]
        assert [hit["text"] for hit in found] == [hit["text"] for hit in wanted]
        assert [hit["score"] for hit in found] == pytest.approx([hit["score"] for hit in wanted], abs=TOLERANCE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_that_is_cut(tmp_path: Path, side: str) -> None:
    theirs = save(tmp_path, "bert", 2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, truncation_side=side)
    tokenizer.save_pretrained(tmp_path)
    assert difference(open_ours(tmp_path).logits(pairs()), expected(tmp_path, theirs, pairs())) < TOLERANCE


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        ("regression", 1),
        ("regression", 2),
        ("single_label_classification", 2),
        ("multi_label_classification", 1),
        ("multi_label_classification", 2),
        (None, 1),
        (None, 2),
    ],
)
def test_activation_of_the_classification_pipeline(tmp_path: Path, problem: str | None, labels: int) -> None:
    theirs = save(tmp_path, "bert", labels, problem_type=problem)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pipeline = transformers.pipeline("text-classification", model=theirs, tokenizer=tokenizer, device="cpu")
    wanted = pipeline(["the one that is"], top_k=None)[0]
    ours = open_ours(tmp_path)
    scored = ACTIVATIONS[ours.spec.activation](ours.logits(["the one that is"]))[0]
    assert dict(zip(ours.labels, scored.tolist(), strict=True)) == pytest.approx(
        {each["label"]: each["score"] for each in wanted}, abs=TOLERANCE
    )
