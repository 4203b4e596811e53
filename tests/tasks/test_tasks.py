"""Tasks: a plan's outcome is what the library computes, and what is wrong with a request is said by its place."""

from typing import Any

import numpy as np
import pytest
from tests.runtime.workers import pooled_alone

from embedhub import Model
from embedhub.engine.model import EncodeOptions
from embedhub.errors import EmbedhubError, InputError, SettingError, TextTooLongError, TextTypeError
from embedhub.search.metrics import cos_sim
from embedhub.tasks import REQUESTS, CompareTexts, EmbedTexts, EmbedTokens, Request, RerankTexts, prepare

TEXTS = ["the", "this is that and not this", "of " * 90, "?"]


def run(model: Model, request: Request) -> Any:
    """The result, computed without a service."""
    plan = prepare(model, request)
    if not plan.of_tokens:
        return plan.finish(pooled_alone(model.encoder, plan.jobs))
    found: dict[int, Any] = {}
    packs = model.encoder.plan_arriving(plan.jobs)
    model.encoder.run_tokens(
        [(pack, plan.jobs) for pack in packs],
        lambda batch, outputs: found.update(zip(batch.texts, outputs, strict=True)),
    )
    return plan.finish([found[number] for number in range(len(plan.jobs))])


def test_every_request_has_a_plan() -> None:
    assert set(REQUESTS) == set(Request.__args__)


@pytest.mark.parametrize("long_texts", ["truncate", "chunk"])
@pytest.mark.parametrize("normalize", [None, True, False])
@pytest.mark.parametrize("dimensions", [None, 8])
def test_vectors_are_those_of_the_library(
    tiny: Model, long_texts: str, normalize: bool | None, dimensions: int | None
) -> None:
    options = EncodeOptions(normalize=normalize, truncate_dim=dimensions, long_texts=long_texts)
    wanted = tiny.embed(TEXTS, options)
    request = EmbedTexts(TEXTS, normalize=normalize, dimensions=dimensions, long_texts=long_texts)
    plan = prepare(tiny, request)
    np.testing.assert_allclose(run(tiny, request), wanted.vectors, atol=1e-5)
    assert plan.tokens.tolist() == wanted.tokens.tolist()
    assert plan.truncated.tolist() == wanted.truncated.tolist()
    assert (len(plan.jobs) > len(TEXTS)) == (long_texts == "chunk")


def test_token_ids_are_as_good_as_texts(tiny: Model) -> None:
    ids = [list(prepare(tiny, EmbedTexts([text])).jobs[0].ids) for text in TEXTS[:2]]
    by_ids, by_texts = run(tiny, EmbedTexts(ids)), run(tiny, EmbedTexts(TEXTS[:2]))
    # With or without the tokens that a text is put between: whoever sends ids has decided.
    assert by_ids.shape == by_texts.shape
    np.testing.assert_allclose(np.linalg.norm(by_ids, axis=1), 1, atol=1e-5)


def test_token_vectors_are_one_a_token(tiny: Model) -> None:
    found = run(tiny, EmbedTokens(TEXTS))
    plan = prepare(tiny, EmbedTokens(TEXTS))
    assert [len(each) for each in found] == [min(48, int(count)) for count in plan.tokens]
    mean = run(tiny, EmbedTexts(TEXTS, normalize=False))
    unit = [each.mean(axis=0) / np.linalg.norm(each.mean(axis=0)) for each in found]
    np.testing.assert_allclose(unit, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_similarity_is_the_cosine_of_vectors(tiny: Model) -> None:
    found = run(tiny, CompareTexts("this", TEXTS))
    wanted = cos_sim(tiny.encode(["this"]), tiny.encode(TEXTS))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.dtype == np.float32
    assert run(tiny, CompareTexts("the", ["the"]))[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("top_k", [None, 1, 3, 99])
def test_reranking_is_by_cosine_best_first(tiny: Model, top_k: int | None) -> None:
    documents = [*TEXTS, "the"]
    found = run(tiny, RerankTexts("the", documents, top_k=top_k))
    scores = cos_sim(tiny.encode(["the"]), tiny.encode(documents))[0]
    wanted = np.argsort(-scores, kind="stable")[:top_k]
    # The first and the last are one text, and equal scores stay in the order of the candidates.
    assert [each.index for each in found][:2] == [0, 4][: len(found)]
    assert [each.score for each in found] == pytest.approx(scores[wanted].tolist(), abs=1e-5)
    assert prepare(tiny, RerankTexts("the", documents)).method == "cosine"
    assert prepare(tiny, RerankTexts("the", documents)).tokens.shape == (6,)


def test_what_is_cut_is_counted_from_the_first_document_and_a_query_apart(tiny: Model) -> None:
    long = TEXTS[2]
    for make in (RerankTexts, CompareTexts):
        for query, documents, wanted in (
            ("the", ["a", long, "b"], ([False, True, False], False)),
            (long, ["a", "b"], ([False, False], True)),
            (long, [long, "b"], ([True, False], True)),
        ):
            plan = prepare(tiny, make(query, documents))
            assert (plan.truncated.tolist(), plan.query_truncated) == wanted
            assert plan.tokens.shape == (1 + len(documents),)
    with pytest.raises(TextTooLongError, match="the query has 92 tokens, the model reads 48"):
        prepare(tiny, RerankTexts(long, ["a"], long_texts="error"))


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (EmbedTexts([]), InputError, "inputs is empty"),
        (EmbedTokens([]), InputError, "inputs is empty"),
        (CompareTexts("the", []), InputError, "sentences is empty"),
        (RerankTexts("the", []), InputError, "no texts to rank"),
        (EmbedTexts(["the", [5, 6]]), InputError, "one kind"),
        (EmbedTexts([[5], [99_999]]), InputError, "1"),
        (EmbedTexts([[-1]]), InputError, "0"),
        (EmbedTexts([[5], []]), InputError, "1"),
        (EmbedTexts(["the", None]), EmbedhubError, ""),  # type: ignore[list-item]
        (CompareTexts("the", ["a", 3]), TextTypeError, "2"),  # type: ignore[list-item]
        (EmbedTexts(["the"], dimensions=0), SettingError, "1"),
        (EmbedTexts(["the"], dimensions=33), SettingError, "1 to 32"),
        (EmbedTexts(["the"], prompt_name="nobody"), SettingError, "no prompt 'nobody'; it has: none"),
        (EmbedTexts(["the", TEXTS[2]], long_texts="error"), TextTooLongError, "1"),
        (EmbedTokens(["the", TEXTS[2]], long_texts="error"), TextTooLongError, "1"),
    ],
)
def test_what_is_wrong_is_said(tiny: Model, request_: Request, error: type[EmbedhubError], message: str) -> None:
    with pytest.raises(error) as caught:
        prepare(tiny, request_)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_end_of_a_long_text_can_be_read(tiny: Model) -> None:
    words = ("of " * 80 + "this that this that").strip()
    start, end = (run(tiny, EmbedTexts([words], long_texts_keep=keep)) for keep in ("start", "end"))
    assert not np.allclose(start, end, atol=1e-3)
    np.testing.assert_allclose(start, tiny.encode([words]), atol=1e-5)
