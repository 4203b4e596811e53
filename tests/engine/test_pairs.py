"""Pairs of texts as tokens: what is cut, what is counted, beside the tokenizers library's own truncation."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.checkpoints import write_classifier
from tests.models.layouts import change
from tokenizers import Tokenizer

from embedhub.engine.tokenizer import PairTokenizer, kept_lengths
from embedhub.errors import ModelIntegrityError
from embedhub.models import read_spec

WORDS = st.integers(0, 90).map(lambda count: "the " * count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("classifier") / "model")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PairTokenizer:
    return PairTokenizer(read_spec(folder, id="tiny"))


@pytest.fixture(scope="module")
def library(folder: Path) -> Tokenizer:
    """The same tokenizer, cutting by itself."""
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    own.enable_truncation(48, strategy="longest_first")
    return own


@given(first=WORDS, second=WORDS)
def test_pairs_are_cut_as_the_library_cuts_them(
    tokenizer: PairTokenizer, library: Tokenizer, first: str, second: str
) -> None:
    pair, lone = tokenizer.tokenize([(first, second), first])
    for found, wanted, specials, words in (
        (pair, library.encode(first, second), 3, (first + second).split()),
        (lone, library.encode(first), 2, first.split()),
    ):
        assert (found.ids, found.types) == (wanted.ids, wanted.type_ids)
        assert found.tokens == len(words) + specials
        assert found.truncated == (found.tokens > 48)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 100))
def test_kept_lengths(first: int, second: int, room: int) -> None:
    kept = kept_lengths(first, second, room)
    assert sum(kept) == min(first + second, room)
    assert kept[0] <= first
    assert kept[1] <= second
    assert kept_lengths(second, first, room) == kept[::-1] or min(first, second) > room // 2


def test_two_texts_that_are_both_very_long(tokenizer: PairTokenizer) -> None:
    """Every combination of their pieces would not fit into memory."""
    (found,) = tokenizer.tokenize([("the " * 200_000, "one " * 200_000)])
    assert (found.tokens, found.truncated, len(found.ids)) == (400_003, True, 48)
    assert sum(found.types) == 24


def test_half_a_character_in_either_text(tokenizer: PairTokenizer) -> None:
    odd, plain = tokenizer.tokenize([("the \ud83d", "\ud83d one"), ("the \ufffd", "\ufffd one")])
    assert odd == plain


def test_the_beginning_is_cut_where_the_settings_say_so(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "left")
    whole = PairTokenizer(read_spec(folder, id="tiny")).tokenize([("the one", "a b c")])[0]
    change(folder / "tokenizer_config.json", truncation_side="left", model_max_length=7)
    cut = PairTokenizer(read_spec(folder, id="tiny")).tokenize([("the one", "a b c")])[0]
    assert cut.ids == [*whole.ids[:4], *whole.ids[5:]]


@pytest.mark.parametrize(
    ("settings", "given_types"),
    [
        ({"model_input_names": ["input_ids", "attention_mask"]}, False),
        ({"model_input_names": ["input_ids", "token_type_ids"], "tokenizer_class": "TokenizersBackend"}, True),
        ({"tokenizer_class": "TokenizersBackend"}, False),
        ({"tokenizer_class": "BertTokenizer"}, True),
    ],
)
def test_token_types_are_given_where_transformers_gives_them(
    tmp_path: Path, settings: dict[str, object], given_types: bool
) -> None:
    folder = write_classifier(tmp_path / "types")
    change(folder / "tokenizer_config.json", **settings)
    (found,) = PairTokenizer(read_spec(folder, id="tiny")).tokenize([("the", "one")])
    assert found.types == ([0, 0, 0, 1, 1] if given_types else [0] * 5)


def test_a_model_too_short_for_a_pair_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "short")
    change(folder / "tokenizer_config.json", model_max_length=3)
    with pytest.raises(ModelIntegrityError, match="leaves no room"):
        PairTokenizer(read_spec(folder, id="tiny"))
