"""Questions to an embedded dataset that is hosted here: JSON to a question, hits to JSON."""

from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from embedhub.errors import RequestError, RequestTooLargeError
from embedhub.hub.access import Action
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.runtime.answers import Caller
from embedhub.runtime.hosted import Found, Question
from embedhub.server.headers import answer_headers
from embedhub.server.hub.cells import encoded
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute

MOST_HITS = 1000
MOST_QUESTIONS = 1000
# Of all questions of one request together.
MOST_HITS_IN_ALL = 10_000

_MAIN = "main"


class SearchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A question in words or as a vector, or a list of such.

    Attributes:
        query: in words.
        vector: the question, embedded by the dataset's model.
        top_k: hits a question.
        revision: a branch, a tag or a commit.
        columns: of the hits; all but the vectors if there are none.
        filter: by column a value, a list of values or comparisons, such as `{"year": {"gte": 2000}}`.
    """

    query: str | list[str] | None = None
    vector: list[float | list[float]] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1, le=MOST_HITS)] = 10
    revision: str | None = None
    columns: list[str] | None = None
    filter: dict[str, Any] | None = None


async def search(exchange: Exchange) -> Response:
    """The rows of a dataset nearest to questions."""
    asked: SearchRequest = exchange.json(SearchRequest)
    question, lone = question_of(asked)
    repository, commit = await exchange.run(_commit, exchange, asked.revision or _MAIN)
    caller = caller_of(exchange)
    found = await exchange.hosted.search(repository, commit, question, exchange.service, caller)
    headers = {"x-repo-commit": commit}
    if found.answer is not None:
        headers |= answer_headers(found.answer, compute_time_in_seconds=False)
    body = await exchange.run(_body, exchange, repository, found, lone)
    return Response(body, 200, headers, media_type="application/json")


def caller_of(exchange: Exchange) -> Caller:
    """Who asks, for the service."""
    identity = exchange.identity
    charge = partial(exchange.gate.quota.charge, identity.account, identity.address)
    return Caller(client=identity.user or identity.address, charge=charge)


def question_of(asked: SearchRequest) -> tuple[Question, bool]:
    """What is asked, and whether it is one question that is answered without a list around it. Pure.

    Raises:
        RequestError: there is no question, two kinds of them, or a vector that is none.
        RequestTooLargeError: more questions or hits than are allowed.
    """
    if (asked.query is None) == (asked.vector is None):
        raise RequestError("send either query, a text or a list of texts, or vector, a list of numbers or of vectors")
    texts = [asked.query] if isinstance(asked.query, str) else asked.query or []
    vectors = None if asked.vector is None else _vectors(asked.vector)
    count = len(texts) if vectors is None else len(vectors)
    if not count:
        raise RequestError("the list of questions is empty")
    if count > MOST_QUESTIONS or count * asked.top_k > MOST_HITS_IN_ALL:
        raise RequestTooLargeError(
            f"{count} questions with {asked.top_k} hits each: {MOST_QUESTIONS} questions and {MOST_HITS_IN_ALL} hits "
            "in all are allowed in one request"
        )
    lone = isinstance(asked.query, str) or (asked.vector is not None and not isinstance(asked.vector[0], list))
    return Question(texts, vectors, asked.top_k, asked.columns, asked.filter or {}), lone


def _vectors(sent: list[float | list[float]]) -> NDArray[np.float32]:
    rows = sent if sent and isinstance(sent[0], list) else [sent]
    lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
    # Numbers and vectors side by side, vectors of unlike lengths, or no numbers.
    if len(lengths) != 1 or lengths & {-1, 0} or not all(isinstance(row, list) for row in rows):
        raise RequestError("vector is to be a list of numbers, or a list of equally long lists of numbers")
    if any(isinstance(number, list) for row in rows if isinstance(row, list) for number in row):
        raise RequestError("vector is to be a list of numbers, or a list of equally long lists of numbers")
    with np.errstate(over="ignore"):
        return np.array(rows, np.float64).astype(np.float32)


def hosted_dataset(exchange: Exchange) -> Repository:
    """The dataset that the address names, if whoever asks may read it; errors as of `Hub.find`."""
    id = f"{exchange.path['namespace']}/{exchange.path['name']}"
    return exchange.hub.find(exchange.actor, Kind.DATASET, id, Action.READ)


def at_revision(exchange: Exchange) -> tuple[Repository, str]:
    """The dataset that the address names and the commit that its query does, if whoever asks may read it."""
    return _commit(exchange, exchange.query.get("revision") or _MAIN)


def _commit(exchange: Exchange, revision: str) -> tuple[Repository, str]:
    repository = hosted_dataset(exchange)
    with exchange.hub.open(repository) as git:
        return repository, git.resolve(revision)


def _body(exchange: Exchange, repository: Repository, found: Found, lone: bool) -> bytes:
    content = {
        "dataset": repository.id,
        "revision": found.commit,
        "model": found.model,
        "hits": found.hits[0] if lone else found.hits,
    }
    body = encoded(content)
    if len(body) > exchange.config.max_body_mb << 20:
        raise RequestTooLargeError(
            f"the answer has {len(body) >> 20} MB, {exchange.config.max_body_mb} are allowed (EMBEDHUB_MAX_BODY_MB): "
            "ask for fewer hits, or name the columns that are wanted"
        )
    return body


ROUTES = (HubRoute("POST", "/api/datasets/{namespace}/{name}/search", search, large=True),)
