"""OpenAI's vocabulary: ids become the text they were made of, or an error, never another text."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedhub.errors import MissingExtraError, ModelIntegrityError, RequestError
from embedhub.server.dialects.openai.cl100k import FILE, texts_of, vocabulary

# A letter, the bytes of é one by one, and a byte that no text has.
SMALL: Mapping[int, bytes] = {0: b"a", 1: b"\xc3", 2: b"\xa9", 3: b"\xff", 4: b"\xf0\x9f\xa6", 5: b"\x89"}

BYTES = {number: bytes([number]) for number in range(256)}


def test_bytes_of_a_character_may_be_several_ids() -> None:
    assert texts_of([[0, 1, 2, 0], [4, 5]], SMALL) == ["aéa", "🦉"]


def test_half_a_character_at_the_edges_is_what_a_client_cut() -> None:
    assert texts_of([[0, 1], [2, 0], [0, 4], [5, 0]], SMALL) == ["a", "a", "a", "a"]


@pytest.mark.parametrize("ids", [[0, 2, 0], [0, 1, 0], [3], [0, 3], [1, 1], [1], [2], [2, 2, 2, 2, 0], [9]])
def test_what_is_no_text_is_refused_by_its_number(ids: list[int]) -> None:
    with pytest.raises(RequestError, match=r"^input 1 "):
        texts_of([[0], ids], SMALL)


@settings(max_examples=50)
@given(st.text(min_size=1), st.integers(min_value=1, max_value=200))
def test_a_text_cut_between_bytes_loses_no_whole_character(text: str, width: int) -> None:
    content = text.encode()
    pieces = [list(content[at : at + width]) for at in range(0, len(content), width)]
    try:
        found = "".join(texts_of(pieces, BYTES))
    except RequestError:
        # A piece that is nothing but the inside of a character.
        assert any(len(piece) < 4 for piece in pieces)
        return
    assert len(text) - len(pieces) < len(found) <= len(text)


def test_it_decodes_as_tiktoken_does(cl100k_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cl100k_folder))
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    table = vocabulary(cl100k_folder)
    assert len(table) == encoding.n_vocab - 16
    for id in range(encoding.n_vocab):
        try:
            theirs = encoding.decode_single_token_bytes(id)
        except KeyError:
            assert id not in table
        else:
            assert table[id] == theirs


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"openai-tokens.*TIKTOKEN_CACHE_DIR"):
        vocabulary(tmp_path)
    (tmp_path / FILE).write_bytes(b"IQ== 0\n")
    with pytest.raises(ModelIntegrityError, match="damaged"):
        vocabulary(tmp_path)
