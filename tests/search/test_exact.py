"""Exact search: equal to brute force in every shape, with ties, nulls and blocks of any size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from embedhub.errors import InputError, SettingError
from embedhub.search import (
    SCORES,
    ExactIndex,
    Hits,
    RowBlock,
    cos_sim,
    dot_score,
    euclidean_sim,
    semantic_search,
    top_k,
)
from embedhub.search.exact import Block, matrix_blocks

NUMBERS = st.floats(-4, 4, width=16) | st.sampled_from([0.0, 1.0, -1.0])


@st.composite
def searches(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Queries and a corpus of few distinct numbers, so that ties are common."""
    queries, rows, dimensions = draw(st.integers(1, 4)), draw(st.integers(0, 40)), draw(st.integers(1, 8))
    return (
        draw(hnp.arrays(np.float32, (queries, dimensions), elements=NUMBERS)),
        draw(hnp.arrays(np.float32, (rows, dimensions), elements=NUMBERS)),
    )


def brute_force(queries: NDArray[Any], corpus: NDArray[Any], k: int, score: str) -> Hits:
    """Every pair by itself in float64, sorted whole."""
    rows, scores = [], []
    for query in queries:
        exact = SCORES[score].score(SCORES[score].pair_ranks(query, corpus)).astype(np.float32)
        order = np.lexsort((np.arange(len(corpus)), -exact))[:k]
        rows.append(order)
        scores.append(exact[order])
    return Hits(np.array(rows, np.int64), np.array(scores, np.float32))


def assert_same(found: Hits, expected: Hits) -> None:
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@settings(deadline=None)
@given(searches(), st.integers(1, 50), st.sampled_from(sorted(SCORES)), st.integers(1, 20))
def test_equals_brute_force_whatever_the_blocks(
    given_search: tuple[NDArray[np.float32], NDArray[np.float32]], k: int, score: str, size: int
) -> None:
    queries, corpus = given_search
    expected = brute_force(queries, corpus, k, score)
    assert_same(top_k(queries, corpus, k, score), expected)
    assert_same(top_k(queries, matrix_blocks(corpus, size), k, score), expected)


@pytest.mark.parametrize("score", sorted(SCORES))
def test_equals_brute_force_on_many_rows_of_long_vectors(score: str) -> None:
    random = np.random.default_rng(1)
    corpus = random.normal(size=(20_000, 96)).astype(np.float32)
    queries = random.normal(size=(3, 96)).astype(np.float32)
    assert_same(top_k(queries, corpus, 10, score), brute_force(queries, corpus, 10, score))


@pytest.mark.parametrize("score", sorted(SCORES))
def test_equal_rows_come_by_row_number(score: str) -> None:
    random = np.random.default_rng(2)
    row = random.normal(size=384).astype(np.float32)
    corpus = np.tile(row, (9000, 1))
    found = top_k(random.normal(size=(2, 384)), corpus, 7, score)
    np.testing.assert_array_equal(found.rows, [range(7)] * 2)
    assert len(set(found.scores[0].tolist())) == 1


def test_row_numbers_are_those_handed_in() -> None:
    blocks: list[RowBlock] = [(np.array([70, 5]), np.eye(2)), (np.array([6]), np.ones((1, 2)))]
    found = top_k([1.0, 1.0], blocks, 3)
    assert found.rows.tolist() == [[6, 5, 70]]


def test_half_precision_rows_score_as_what_they_hold() -> None:
    corpus = np.random.default_rng(3).normal(size=(50, 16)).astype(np.float16)
    assert_same(top_k(corpus[:2], corpus, 5), top_k(corpus[:2], corpus.astype(np.float32), 5))


def test_more_hits_wanted_than_rows() -> None:
    found = top_k(np.ones((2, 3)), np.eye(3, dtype=np.float32), 10)
    assert found.rows.shape == found.scores.shape == (2, 3)


def test_empty_corpus_and_no_queries() -> None:
    assert top_k(np.ones((2, 3)), np.empty((0, 3), np.float32)).rows.shape == (2, 0)
    assert top_k(np.empty((0, 3)), np.eye(3, dtype=np.float32)).rows.shape == (0, 3)


@pytest.mark.parametrize("score", sorted(SCORES))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_null_rows_are_nobodys_neighbours(score: str, bad: float) -> None:
    corpus = np.random.default_rng(4).normal(size=(30, 4)).astype(np.float32)
    corpus[::3, 1] = bad
    found = top_k(corpus[1:3], corpus, 30, score)
    assert found.rows.shape == (2, 20)
    assert not np.isin(found.rows, np.arange(0, 30, 3)).any()
    assert np.isfinite(found.scores).all()


def test_a_corpus_of_nulls_only() -> None:
    assert top_k([1.0], np.full((5, 1), np.nan, np.float32)).rows.shape == (1, 0)


def test_zero_vectors_have_cosine_zero() -> None:
    corpus = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], np.float32)
    assert top_k([1.0, 0.0], corpus).rows.tolist() == [[2, 1, 0]]
    assert top_k([0.0, 0.0], corpus).scores.tolist() == [[0.0, 0.0, 0.0]]


def test_an_index_answers_again_and_again() -> None:
    corpus = np.random.default_rng(5).normal(size=(300, 8)).astype(np.float32)
    index = ExactIndex([Block.of(rows, vectors) for rows, vectors in matrix_blocks(corpus, 64)])
    assert_same(index.search(corpus[:3], 4), index.search(corpus[:3], 4))
    assert index.search(corpus[:200], 1).rows[:, 0].tolist() == list(range(200))


def test_what_cannot_be_searched_is_refused() -> None:
    corpus = np.eye(3, dtype=np.float32)
    with pytest.raises(SettingError, match="at least 1"):
        top_k(np.ones(3), corpus, 0)
    with pytest.raises(SettingError, match="2 dimensions, the rows 3"):
        top_k(np.ones(2), corpus)
    with pytest.raises(SettingError, match="shape"):
        top_k(np.ones((1, 1, 3)), corpus)
    with pytest.raises(InputError, match="query 1"):
        top_k([[1.0, 0, 0], [np.nan, 0, 0]], corpus)
    with pytest.raises(SettingError, match="cosine, dot, euclidean"):
        top_k(np.ones(3), corpus, score="cos")


@pytest.mark.parametrize("function", [cos_sim, dot_score, euclidean_sim])
def test_semantic_search_by_name_function_and_callable_agree(function: Any) -> None:
    random = np.random.default_rng(6)
    queries, corpus = random.normal(size=(7, 12)), random.normal(size=(90, 12))
    by_function = semantic_search(queries, corpus, score_function=function)
    by_callable = semantic_search(
        queries, corpus, query_chunk_size=3, corpus_chunk_size=13, score_function=lambda a, b: function(a, b)
    )
    for ours, theirs in zip(by_function, by_callable, strict=True):
        assert [hit["corpus_id"] for hit in ours] == [hit["corpus_id"] for hit in theirs]
        np.testing.assert_allclose([hit["score"] for hit in ours], [hit["score"] for hit in theirs], atol=1e-5)


def test_semantic_search_takes_one_query_and_lists() -> None:
    found = semantic_search([1.0, 0.0], [[0.0, 1.0], [2.0, 0.0]], top_k=1)
    assert found == [[{"corpus_id": 1, "score": 1.0}]]
    assert semantic_search([[1.0, 0.0]], []) == [[]]


def test_semantic_search_leaves_out_what_a_callable_scores_nan() -> None:
    corpus = np.array([[1.0], [np.nan], [3.0]])
    found = semantic_search([[1.0]], corpus, score_function=lambda a, b: a @ b.T)
    assert [hit["corpus_id"] for hit in found[0]] == [2, 0]


@pytest.mark.parametrize("name", ["query_chunk_size", "corpus_chunk_size", "top_k"])
@pytest.mark.parametrize("wrong", [0, "2", 1.5])
def test_semantic_search_refuses_impossible_numbers(name: str, wrong: Any) -> None:
    with pytest.raises(SettingError, match=name):
        semantic_search([[1.0]], [[1.0]], **{name: wrong})


@pytest.mark.reference
@pytest.mark.parametrize("score", sorted(SCORES))
def test_semantic_search_finds_what_sentence_transformers_finds(score: str) -> None:
    util = pytest.importorskip("sentence_transformers.util")
    functions = {"cosine": util.cos_sim, "dot": util.dot_score, "euclidean": util.euclidean_sim}
    random = np.random.default_rng(7)
    queries = random.normal(size=(20, 32)).astype(np.float32)
    corpus = random.normal(size=(3000, 32)).astype(np.float32)
    theirs = util.semantic_search(queries, corpus, 7, 501, 15, functions[score])
    for ours in (
        semantic_search(queries, corpus, 7, 501, 15, score),
        semantic_search(queries, corpus, 7, 501, 15, functions[score]),
    ):
        for our_hits, their_hits in zip(ours, theirs, strict=True):
            assert [hit["corpus_id"] for hit in our_hits] == [hit["corpus_id"] for hit in their_hits]
            np.testing.assert_allclose(
                [hit["score"] for hit in our_hits], [hit["score"] for hit in their_hits], atol=1e-4
            )


@pytest.mark.parametrize(
    ("corpus", "told"),
    [
        (np.ones(3), r"the corpus must be rows of vectors, \[rows, dimensions\], not of shape \(3,\)"),
        (np.ones((2, 2, 3)), r"not of shape \(2, 2, 3\)"),
        (np.float32(1), r"not of shape \(\)"),
        (np.ones((2, 3), np.complex64), "the corpus must be real numbers, not complex64"),
        ([["a", "b", "c"]], "the corpus must be real numbers, not <U1"),
        ([[1, 2, 3], [1, 2]], "the corpus must be rows of equally many numbers"),
        (np.ones((2, 4)), "the queries have 3 dimensions, the rows 4"),
    ],
)
def test_a_corpus_that_is_none_is_refused_in_one_line(corpus: Any, told: str) -> None:
    searches: list[Callable[[], object]] = [lambda: semantic_search(np.ones(3), corpus)]
    if isinstance(corpus, np.ndarray):
        searches.append(lambda: top_k(np.ones(3), corpus))
    for search in searches:
        with pytest.raises(SettingError, match=told) as raised:
            search()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("function", ["cosine", cos_sim])
@pytest.mark.parametrize(
    ("queries", "told"), [(np.ones((2, 3), np.complex128), "queries must be real"), ([[1, 2, 3], [1]], "equally many")]
)
def test_queries_that_are_none_are_refused_in_one_line(queries: Any, told: str, function: Any) -> None:
    with pytest.raises(SettingError, match=told):
        semantic_search(queries, np.ones((2, 3)), score_function=function)


@pytest.mark.parametrize("corpus", [[], np.empty((0, 3)), np.empty(0)])
def test_an_empty_corpus_has_no_hits(corpus: Any) -> None:
    assert semantic_search(np.ones((2, 3)), corpus) == [[], []]


def test_among_some_rows_only_these_are_found() -> None:
    corpus = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    index = ExactIndex([Block.of(rows, vectors) for rows, vectors in matrix_blocks(corpus, 7)])
    among = np.array([0, 8, 9, 49, 1_000])
    found = index.search(corpus[:3], 3, among)
    alone = top_k(corpus[:3], corpus[among[:4]], 3)
    np.testing.assert_array_equal(found.rows, among[alone.rows])
    np.testing.assert_array_equal(found.scores, alone.scores)
    assert index.search(corpus[:3], 3, among[:0]).rows.shape == (3, 0)
