"""Heads of README.md files: read as YAML, bounded, always JSON."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.errors import HubContentError
from embedhub.hub.cards import read_card, tags_of

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + each)}: &{chr(98 + each)} [{','.join([f'*{chr(97 + each)}'] * 10)}]\n" for each in range(12)
)


def _card(head: str) -> str:
    return f"---\n{head}\n---\n# Text\n"


def test_a_card() -> None:
    card = read_card(_card("license: mit\ntags: [a, b]\nwhen: 2024-01-02\n1: {x: .inf, y: !!set {q}}"))
    assert card == {"license": "mit", "tags": ["a", "b"], "when": "2024-01-02", "1": {"x": None, "y": ["q"]}}


@pytest.mark.parametrize(
    "readme", ["", "# hello", "---", "--- \n", "text\n---\na: 1\n---\n", "---\n---\n", "---\na: 1\n"]
)
def test_no_card(readme: str) -> None:
    assert read_card(readme) == {}


@pytest.mark.parametrize("readme", ["---\r\na: 1\r\n---\r\n", "\ufeff---\na: 1\n---", "\n\n---\na: 1\n---\nx"])
def test_what_editors_do_to_it(readme: str) -> None:
    assert read_card(readme) == {"a": 1}


@pytest.mark.parametrize(
    "head",
    [
        "- a",
        "a: [",
        "a: *b",
        "a: &a [*a]",
        "a: !!python/object/apply:os.system [ls]",
        "a: 2024-13-45",
        "a: " + "9" * 5000,
        "a: \x01",
        "[" * 100_000,
        "{a: " * 50_000,
        "x: " + "[" * 60 + "]" * 60,
        BOMB,
        "a: " + "x" * (1 << 20),
        "? [a]\n: b",
    ],
)
def test_broken_and_hostile_heads(head: str) -> None:
    begun = time.monotonic()
    with pytest.raises(HubContentError) as caught:
        read_card(_card(head))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - begun < 20


@given(st.text(max_size=200))
def test_whatever_stands_there_becomes_json(head: str) -> None:
    try:
        card = read_card(_card(head))
    except HubContentError:
        return
    json.dumps(card, allow_nan=False).encode()


def test_tags() -> None:
    card = {
        "tags": ["a", "a", 7, None, {"x": 1}],
        "license": "mit",
        "language": ["en", "de"],
        "task_categories": ["text-retrieval"],
        "pipeline_tag": "feature-extraction",
        "datasets": ["alice/faq"],
    }
    assert tags_of(card, "dataset") == [
        "a",
        "7",
        "license:mit",
        "language:en",
        "language:de",
        "task_categories:text-retrieval",
    ]
    assert tags_of(card, "model") == ["a", "7", "feature-extraction", "en", "de", "license:mit", "dataset:alice/faq"]
    assert tags_of({"tags": "one", "license": True, "language": {}}, "model") == ["one"]
