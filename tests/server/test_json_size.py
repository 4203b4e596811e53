"""Counting what a JSON text holds: strings do not count, however they are escaped, wherever a lot ends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedhub.server import json_size as counting
from embedhub.server.json_size import JsonSize, json_size, most_json_size

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a,"[{\\\n]}:é')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('a,"[\\'), max_size=3), inner),
)


def truly(value: Any) -> JsonSize:
    """The size of a value, by walking through it."""
    if not isinstance(value, list | dict):
        return JsonSize(0, 0)
    inner = [truly(each) for each in (value.values() if isinstance(value, dict) else value)]
    commas = max(0, len(value) - 1) + sum(each.commas for each in inner)
    return JsonSize(commas, 1 + sum(each.containers for each in inner))


@settings(max_examples=60)
@given(VALUES, st.integers(1, 9))
def test_it_is_what_walking_through_the_value_gives(value: Any, lot: int) -> None:
    text = json.dumps(value).encode()
    before = counting._LOT
    counting._LOT = lot
    try:
        exact = json_size(text)
    finally:
        counting._LOT = before
    assert exact == json_size(text) == truly(value)
    most = most_json_size(text)
    assert most.commas >= exact.commas
    assert most.containers >= exact.containers


@pytest.mark.parametrize("text", [b"", b"\\", b'"', b"\\" * 7, b'"\\', b"[[["])
def test_what_is_no_json_is_counted_all_the_same(text: bytes) -> None:
    assert json_size(text) == JsonSize(0, 0)
