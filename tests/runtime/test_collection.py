"""A file embedded and asked, with the tiny model: the rooms work together."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.models.fake_hub import FakeHub, files_of

from embedhub import EmbeddedDataset, Model, semantic_search
from embedhub.config import Settings, read_settings
from embedhub.datasets import BuildOptions, BuildReport, InputRequest, read_dataset
from embedhub.errors import (
    ColumnError,
    DatasetError,
    ModelMismatchError,
    ModelNotFoundError,
    SettingError,
    TextTooLongError,
)
from embedhub.models import pull_model
from embedhub.runtime.embedding import EmbedRequest, embed_file

WORDS = ["the", "a", "of and", "to in is", "was for on", "with as by", "at from it", "an be this", "that which or"]


def embed(model: Model, folder: Path, **request: object) -> BuildReport:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "words.csv"
    lines = [f'{number},"{words}",{number / 2}' for number, words in enumerate(WORDS)]
    file.write_text("\n".join(["row,words,score", *lines]))
    return embed_file(
        EmbedRequest(InputRequest(file), folder / "out", BuildOptions(), **request),  # type: ignore[arg-type]
        lambda: model,
    )


def test_hits_are_those_of_semantic_search(tiny: Model, tmp_path: Path) -> None:
    embed(tiny, tmp_path)
    dataset = EmbeddedDataset.load(tmp_path / "out", model=tiny)
    found = dataset.search(["of and", "this"], top_k=4)
    wanted = semantic_search(tiny.encode(["of and", "this"]), tiny.encode(WORDS), top_k=4)
    for hits, expected in zip(found, wanted, strict=True):
        assert [hit["row"] for hit in hits] == [hit["corpus_id"] for hit in expected]
        np.testing.assert_allclose([hit["score"] for hit in hits], [hit["score"] for hit in expected], atol=1e-5)
        assert [hit["words"] for hit in hits] == [WORDS[hit["row"]] for hit in hits]


def test_a_lone_question_gives_one_list(tiny: Model, tmp_path: Path) -> None:
    embed(tiny, tmp_path)
    hits = EmbeddedDataset.load(tmp_path / "out", model=tiny).search("of and", top_k=1)
    # The input's own columns row and score give way.
    assert hits == [{"row": 2, "score": pytest.approx(1, abs=1e-5), "row_": 2, "words": "of and", "score_": 1.0}]


def test_the_right_model_is_loaded_by_itself(tiny: Model, tmp_path: Path, offline: Settings) -> None:
    embed(tiny, tmp_path)
    dataset = EmbeddedDataset.load(tmp_path / "out", config=offline)
    assert dataset.search("of and", top_k=1)[0]["row_"] == 2
    assert dataset.model.spec.weights_sha256 == tiny.spec.weights_sha256
    assert len(dataset) == len(WORDS)


def test_another_model_is_refused_with_both_names(tiny: Model, tmp_path: Path, offline: Settings) -> None:
    embed(tiny, tmp_path)
    other = Model(write_bert(tmp_path / "other", seed=9), config=offline)
    with pytest.raises(ModelMismatchError, match=r"tiny.*other"):
        EmbeddedDataset.load(tmp_path / "out", model=other)


def test_a_model_that_changed_is_refused(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "mine", seed=3)
    embed(Model(folder, config=offline), tmp_path)
    write_bert(folder, seed=4)
    with pytest.raises(ModelMismatchError, match="cannot be compared"):
        EmbeddedDataset.load(tmp_path / "out", config=offline).search("a")


def test_equal_weights_pooled_otherwise_are_refused(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "mine", seed=3)
    model = Model(folder, config=offline)
    embed(model, tmp_path)
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(ModelMismatchError, match="pooling"):
        EmbeddedDataset.load(tmp_path / "out", config=offline).search("a")
    again = embed(Model(folder, config=offline), tmp_path)
    assert (again.embedded, again.reused) == (len(WORDS), 0), "vectors pooled in two ways were mixed"


def test_the_same_model_by_another_name_is_the_same(tmp_path: Path, offline: Settings) -> None:
    model = Model(write_bert(tmp_path / "mine", seed=3), config=offline)
    embed(model, tmp_path)
    copy = Model(write_bert(tmp_path / "copy", seed=3), config=offline)
    assert embed(copy, tmp_path).up_to_date
    assert EmbeddedDataset.load(tmp_path / "out", model=copy).search("of and", top_k=1)[0]["row_"] == 2


def test_a_dataset_that_is_rebuilt_while_open_says_so(tiny: Model, tmp_path: Path) -> None:
    embed(tiny, tmp_path)
    opened = EmbeddedDataset.load(tmp_path / "out", model=tiny)
    opened.search("a")
    file = tmp_path / "words.csv"
    file.write_text("words\nsomething\nelse\n")
    embed_file(EmbedRequest(InputRequest(file), tmp_path / "out", BuildOptions()), lambda: tiny)
    with pytest.raises(DatasetError, match="load the dataset again"):
        opened.search("a")


def test_equal_weights_under_another_revision_are_taken_without_asking_the_hub(
    tmp_path: Path, tiny_folder: Path
) -> None:
    files = files_of(tiny_folder)
    with FakeHub() as hub:

        def machine(name: str) -> Settings:
            places = {"EMBEDHUB_HOME": str(tmp_path / name / "home"), "HF_HOME": str(tmp_path / name / "hf")}
            return read_settings(places | {"HF_ENDPOINT": hub.endpoint})

        old = hub.publish("acme/tiny", files)
        embed(Model("acme/tiny", config=machine("maker")), tmp_path)
        assert read_dataset(tmp_path / "out").provenance.revision == old
        # Newer commits: one with other weights, one with other words only.
        hub.publish("acme/tiny", files_of(write_bert(tmp_path / "other", seed=9)))
        pull_model("acme/tiny", settings=machine("asker"))
        new = hub.publish("acme/tiny", files | {"README.md": b"better words"})
        pull_model("acme/tiny", settings=machine("asker"))
        asked = len(hub.requests)
        dataset = EmbeddedDataset.load(tmp_path / "out", config=machine("asker"))
        assert dataset.search("of and", top_k=1)[0]["row_"] == 2
        assert dataset.model.spec.revision == new
        assert len(hub.requests) == asked
        # A machine that has nothing of the kind fetches the dataset's own commit.
        again = EmbeddedDataset.load(tmp_path / "out", config=machine("empty"))
        assert again.model.spec.revision == old
        assert len(hub.requests) > asked


def test_prompts_of_questions(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "mine", seed=3)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "the ", "title": "an "}}')
    model = Model(folder, config=offline)
    embed(model, tmp_path)
    dataset = EmbeddedDataset.load(tmp_path / "out", model=model)

    def scores(**prompt: str) -> list[float]:
        return [hit["score"] for hit in dataset.search("of and", top_k=9, **prompt)]

    def wanted(text: str) -> list[float]:
        return [hit["score"] for hit in semantic_search(model.encode([text]), model.encode(WORDS), top_k=9)[0]]

    assert scores() == pytest.approx(wanted("the of and"), abs=1e-5)
    assert scores(prompt="") == pytest.approx(wanted("of and"), abs=1e-5)
    assert scores(prompt="for ") == pytest.approx(wanted("for of and"), abs=1e-5)
    assert scores(prompt_name="title") == pytest.approx(wanted("an of and"), abs=1e-5)
    with pytest.raises(SettingError, match="it has: query, title"):
        scores(prompt_name="passage")


def test_a_model_in_a_relative_folder_is_found_from_elsewhere(
    tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bert(tmp_path / "mine", seed=3)
    monkeypatch.chdir(tmp_path)
    embed(Model("mine", config=offline), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert EmbeddedDataset.load(tmp_path / "out", config=offline).search("of and", top_k=1)[0]["row_"] == 2


def test_a_model_that_is_gone_is_named(tmp_path: Path, offline: Settings) -> None:
    folder = write_bert(tmp_path / "mine", seed=3)
    embed(Model(folder, config=offline), tmp_path)
    folder.rename(tmp_path / "moved")
    with pytest.raises(ModelNotFoundError, match="mine"):
        EmbeddedDataset.load(tmp_path / "out", config=offline).search("a")
    moved = Model(tmp_path / "moved", config=offline)
    assert len(EmbeddedDataset.load(tmp_path / "out", model=moved).search("a")) == 5


def test_provenance_tells_how_vectors_were_made(tiny: Model, tmp_path: Path) -> None:
    embed(tiny, tmp_path, prompt="the ", truncate_dim=8, long_texts="chunk")
    provenance = read_dataset(tmp_path / "out").provenance
    assert provenance.weights_sha256 == tiny.spec.weights_sha256
    assert (provenance.prompt, provenance.dimensions, provenance.normalized) == ("the ", 8, True)
    assert (provenance.pooling, provenance.long_texts) == ("mean", "chunk")
    assert provenance.model_fingerprint == tiny.spec.fingerprint
    assert provenance.dtype == "f32"
    # A question is cut to the same dimensions.
    assert EmbeddedDataset.load(tmp_path / "out", model=tiny).search("the of", top_k=1)[0]["row_"] == 2


def test_the_input_is_looked_at_before_a_model_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "two.csv"
    file.write_text("a,b\nx,y\n")

    def never() -> Model:
        raise AssertionError("a model was loaded for a broken input")

    with pytest.raises(ColumnError, match="several columns"):
        embed_file(EmbedRequest(InputRequest(file), tmp_path / "out", BuildOptions()), never)


def test_truncation_reaches_the_dataset(tiny: Model, tmp_path: Path) -> None:
    folder = tmp_path / "in.jsonl"
    folder.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("the", "the " * 60, "an it")))
    request = EmbedRequest(InputRequest(folder), tmp_path / "out", BuildOptions())
    assert embed_file(request, lambda: tiny).truncated == 1
    assert embed_file(request, lambda: tiny).truncated == 1
    rows = read_dataset(tmp_path / "out").truncated_rows()
    assert rows is not None
    assert rows.tolist() == [1]


def test_a_forbidden_long_text_is_named_by_file_row_and_column(tiny: Model, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("id,words\n1,the\n2," + "the " * 60 + "\n")
    request = EmbedRequest(InputRequest(file), tmp_path / "out", BuildOptions(), prompt="an ", long_texts="error")
    with pytest.raises(TextTooLongError) as raised:
        embed_file(request, lambda: tiny)
    told = f"{file}, row 2, column 'words': a text of 63 tokens, the model reads 48; --long-texts truncate reads "
    assert str(raised.value).startswith(told)


def test_impossible_dimensions(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="1 to 32"):
        embed(tiny, tmp_path, truncate_dim=33)


def test_scores(tiny: Model, tmp_path: Path) -> None:
    embed(tiny, tmp_path)
    dataset = EmbeddedDataset.load(tmp_path / "out", model=tiny)
    for score in ("dot", "euclidean"):
        assert dataset.search("of and", 1, score=score)[0]["row_"] == 2
    with pytest.raises(SettingError, match="cosine, dot, euclidean"):
        dataset.search("of and", score="hamming")
    with pytest.raises(SettingError):
        dataset.search("of and", 0)
