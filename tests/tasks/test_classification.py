"""Labels, and ranking by a cross-encoder, as plans on tiny models."""

from pathlib import Path

import numpy as np
import pytest
from tests.engine.checkpoints import write_classifier

from embedhub import Classifier, Model
from embedhub.config import read_settings
from embedhub.errors import InputError, SettingError, TextTooLongError, UnsupportedTaskError
from embedhub.tasks import ClassifyTexts, EmbedTexts, Plan, Request, RerankTexts, prepare

LONG = "that which is not " * 40


def loaded(folder: Path) -> Classifier:
    return Classifier(
        folder, dtype="f32", config=read_settings({"EMBEDHUB_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"})
    )


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return loaded(write_classifier(tmp_path_factory.mktemp("ranker") / "model"))


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    names = {"0": "bad", "1": "so-so", "2": "good"}
    return loaded(write_classifier(tmp_path_factory.mktemp("moods") / "model", labels=3, id2label=names))


def result(model: Model | Classifier, request: Request) -> tuple[Plan[object], object]:
    plan = prepare(model, request)
    return plan, plan.finish(model.encoder.compute(plan.jobs))


def test_labels_come_best_first_and_their_scores_are_shares_of_one(moods: Classifier) -> None:
    plan, found = result(moods, ClassifyTexts(["the one", ("which is", "not")]))
    assert isinstance(found, list)
    logits = moods.logits(["the one", ("which is", "not")])
    for row, labelled in zip(logits, found, strict=True):
        shares = np.exp(row) / np.exp(row).sum()
        assert [each.label for each in labelled] == [moods.labels[place] for place in np.argsort(-shares)]
        assert [each.score for each in labelled] == pytest.approx(sorted(shares, reverse=True), abs=1e-5)
    assert plan.tokens.shape == (2,)


def test_how_scores_are_made_can_be_asked_for(moods: Classifier) -> None:
    _, raw = result(moods, ClassifyTexts(["the one"], function="identity", top_k=1))
    assert isinstance(raw, list)
    assert len(raw[0]) == 1
    assert raw[0][0].score == pytest.approx(moods.logits(["the one"]).max(), abs=1e-5)
    with pytest.raises(SettingError, match="softmax"):
        prepare(moods, ClassifyTexts(["a"], function="loud"))
    with pytest.raises(SettingError, match="top_k"):
        prepare(moods, ClassifyTexts(["a"], top_k=0))


def test_a_cross_encoder_ranks_as_rank_does(ranker: Classifier) -> None:
    documents = ["a b c", "which is not", "the one", "it"]
    plan, found = result(ranker, RerankTexts("the one", documents, top_k=3))
    wanted = ranker.rank("the one", documents, top_k=3)
    assert plan.method == "cross-encoder"
    assert isinstance(found, list)
    assert [each.index for each in found] == [hit["corpus_id"] for hit in wanted]
    assert [each.score for each in found] == pytest.approx([hit["score"] for hit in wanted], abs=1e-5)
    _, raw = result(ranker, RerankTexts("the one", documents, raw_scores=True))
    assert isinstance(raw, list)
    assert [each.index for each in raw[:3]] == [each.index for each in found]
    assert raw[0].score != pytest.approx(found[0].score, abs=1e-3)


def test_what_a_model_cannot_do_is_said(moods: Classifier, ranker: Classifier, tiny: Model) -> None:
    for model, request in (
        (moods, RerankTexts("a", ["b"])),
        (moods, EmbedTexts(["a"])),
        (ranker, EmbedTexts(["a"])),
        (tiny, ClassifyTexts(["a"])),
    ):
        with pytest.raises(UnsupportedTaskError, match=r"cannot|can do"):
            prepare(model, request)


def test_long_inputs_are_flagged_or_refused_by_their_number(moods: Classifier, ranker: Classifier) -> None:
    assert prepare(moods, ClassifyTexts(["a", LONG])).truncated.tolist() == [False, True]
    with pytest.raises(TextTooLongError, match="text 1 "):
        prepare(moods, ClassifyTexts(["a", LONG], long_texts="error"))
    with pytest.raises(TextTooLongError, match="text 0 "):
        prepare(ranker, RerankTexts("a", [LONG, "b"], long_texts="error"))


def test_the_end_of_a_long_input_can_be_read_instead(moods: Classifier, ranker: Classifier) -> None:
    mixed = "the " * 100 + "one " * 100
    for start, end, same in (
        (mixed, mixed, ("the " * 100, "one " * 100)),
        (("a", mixed), ("a", mixed), (("a", "the " * 100), ("a", "one " * 100))),
    ):
        for given, keep, wanted in ((start, "start", same[0]), (start, None, same[0]), (end, "end", same[1])):
            (job,) = prepare(moods, ClassifyTexts([given], long_texts_keep=keep)).jobs
            assert list(job.ids) == list(prepare(moods, ClassifyTexts([wanted])).jobs[0].ids)
    (job,) = prepare(ranker, RerankTexts("a", [mixed], long_texts_keep="end")).jobs
    assert list(job.ids) == list(prepare(ranker, RerankTexts("a", ["one " * 100])).jobs[0].ids)
    with pytest.raises(SettingError, match="'middle'"):
        moods.prepare(["a"], keep="middle")


def test_a_ranking_tells_a_cut_query_from_cut_documents(ranker: Classifier) -> None:
    for query, documents, wanted in (
        ("the", ["a", LONG, "b"], ([False, True, False], False)),
        (LONG, ["a", "b"], ([False, False], True)),
        (LONG, [LONG, "b"], ([True, False], True)),
        ("the", ["a"], ([False], False)),
    ):
        plan = prepare(ranker, RerankTexts(query, documents))
        assert (plan.truncated.tolist(), plan.query_truncated) == wanted


def test_nothing_to_do_is_said(moods: Classifier, ranker: Classifier) -> None:
    with pytest.raises(InputError, match="empty"):
        prepare(moods, ClassifyTexts([]))
    with pytest.raises(InputError, match="no texts"):
        prepare(ranker, RerankTexts("a", []))
