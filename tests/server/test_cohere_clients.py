"""The cohere package, with its defaults, against a real server."""

import cohere
import pytest

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

QUERY = "Where does a cat sleep?"
DOCUMENTS = ["Stocks fell on Monday.", "The cat sleeps on the sofa.", "Dogs bark at night."]


@pytest.fixture
def scores(default_model: Model) -> list[float]:
    found = default_model.similarity(default_model.encode([QUERY]), default_model.encode(DOCUMENTS))
    return [float(score) for score in found[0]]


def test_the_first_versions_client(server: str, scores: list[float]) -> None:
    with cohere.Client(api_key="none", base_url=server) as client:
        answer = client.rerank(query=QUERY, documents=DOCUMENTS, model=DEFAULT_MODEL, top_n=2, return_documents=True)
    assert [each.index for each in answer.results] == sorted(range(3), key=lambda index: -scores[index])[:2]
    assert answer.results[0].relevance_score == pytest.approx(scores[1], abs=1e-5)
    assert answer.results[0].document is not None
    assert answer.results[0].document.text == DOCUMENTS[1]
    assert answer.id
    assert answer.meta is not None
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "1"
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.search_units == 1


def test_the_second_versions_client(server: str, scores: list[float]) -> None:
    with cohere.ClientV2(api_key="none", base_url=server) as client:
        answer = client.rerank(query=QUERY, documents=DOCUMENTS, model=DEFAULT_MODEL, max_tokens_per_doc=4096)
    assert [each.index for each in answer.results] == sorted(range(3), key=lambda index: -scores[index])
    found = [each.relevance_score for each in answer.results]
    assert found == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert answer.meta is not None
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "2"


def test_errors_are_the_packages_own(server: str) -> None:
    with cohere.ClientV2(api_key="none", base_url=server) as client:
        with pytest.raises(cohere.BadRequestError, match="documents"):
            client.rerank(query=QUERY, documents=[], model=DEFAULT_MODEL)
        with pytest.raises(cohere.NotFoundError, match="no/such"):
            client.rerank(query=QUERY, documents=DOCUMENTS, model="no/such")
