"""The API, fuzzed from its own document: no bug, no hang, and every answer is one that the document foretells.

Whatever is in the document is fuzzed: a new dialect needs no test here. `make fuzz` tries many more requests, other
ones each time.
"""

import os
import re
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from embedhub.config import DEFAULT_MODEL
from embedhub.server.app import DIALECTS
from embedhub.server.openapi import document
from embedhub.server.pages import own_endpoints

Operation = APIOperation[Any, Any, Any, Any]

# Examples of all operations together: a suite that anybody can run, or a long night.
_LONG = int(os.environ.get("EMBEDHUB_FUZZ", "0"))
_EXAMPLES = _LONG or 600
_SECONDS = 30

DOCUMENT = document([*DIALECTS, *own_endpoints(DIALECTS, bytes, lambda: False)], bearer=False)
OPERATIONS: list[Operation] = [
    found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations() if isinstance(found, Ok)
]
WITH_INPUT = [found for found in OPERATIONS if len(found.body) or any(True for _ in found.iter_parameters())]
POSTED = [path for path, operations in DOCUMENT["paths"].items() if "post" in operations]

# What stands for parameters of paths: nonsense alone would never come as far as a model.
KNOWN = {"model": DEFAULT_MODEL, "task": "feature-extraction"}

# A document cannot say which models there are, or how many dimensions one has.
_UNFIT: list[Any] = [positive_data_acceptance]


def fuzzed(count: int) -> settings:
    return settings(
        max_examples=max(3, count),
        deadline=None,
        derandomize=not _LONG,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink) if _LONG else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def test_the_server_tells_the_document_that_is_fuzzed(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values()))


def cases(operation: Operation, mode: GenerationMode) -> st.SearchStrategy[Case[Any]]:
    """Requests for an operation, half of them with parameters in the path that mean something."""
    known = {name: value for name, value in KNOWN.items() if f"{{{name}}}" in operation.path}
    anything = operation.as_strategy(generation_mode=mode)
    return anything | operation.as_strategy(generation_mode=mode, path_parameters=known) if known else anything


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        *((operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
        # Of a path alone, nothing can be wrong but that there is nothing of that name.
        *((operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if len(operation.body)),
    ],
    ids=lambda value: value.value if isinstance(value, GenerationMode) else value.label,
)
def test_answers_are_as_the_document_says(operation: Operation, mode: GenerationMode, server: str) -> None:
    with requests.Session() as session:
        # Under some addresses people who take more see a page.
        session.headers["accept"] = "application/json, text/plain"

        @fuzzed(_EXAMPLES // (2 * len(WITH_INPUT)) if operation in WITH_INPUT else 3)
        @given(case=cases(operation, mode))
        def check(case: Case[Any]) -> None:
            case.call_and_validate(base_url=server, session=session, timeout=_SECONDS, excluded_checks=_UNFIT)

        check()


_TEXTS = st.text(max_size=30)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_BODIES = st.one_of(
    st.binary(max_size=60),
    _JSON.map(lambda value: httpx.Request("POST", "http://x", json=_finite(value)).content),
    st.sampled_from(
        [b"[" * 100_000, b'{"input":' * 50_000, b'"\xff"', b'{"input": "\\ud800"}', b"1e999", b"-", b"", b"null"]
    ),
)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if value - value == 0 else 0.0
        case list():
            return [_finite(each) for each in value]
        case dict():
            return {name: _finite(each) for name, each in value.items()}
    return value


@pytest.mark.parametrize("path", POSTED)
def test_any_bytes_are_answered(path: str, client: httpx.Client) -> None:
    where = re.sub(r"\{(\w+)\}", lambda found: KNOWN.get(found[1], "x"), path)

    @fuzzed(_EXAMPLES // (4 * len(POSTED)))
    @given(body=_BODIES, kind=st.sampled_from(["application/json", "text/plain", "application/x-nonsense", ""]))
    def check(body: bytes, kind: str) -> None:
        answer = client.post(where, content=body, headers={"content-type": kind}, timeout=_SECONDS)
        assert answer.status_code < 500, answer.text
        answer.json()

    check()
    assert client.get("/health").status_code == 200
