"""Tokens with their places, and back to text."""

import threading

import pytest

from embedhub import Model
from embedhub.engine.patience import NobodyWaitsError, until
from embedhub.errors import InputError


def test_places_lead_back_to_the_text(default_model: Model) -> None:
    text = "Zürich, 東京 and 🙂 " + "word " * 500
    (spans,) = default_model.tokenizer.spans([text])
    tokens = list(spans)
    assert len(spans) == len(tokens) > default_model.max_seq_length, "nothing is cut"
    assert all(text[token.start : token.stop] == token.text for token in tokens if not token.special)
    assert [token.text for token in tokens if token.special] == ["[CLS]", "[SEP]"]
    assert [token.id for token in tokens][:9] == default_model.tokenize([text])["input_ids"][0].tolist()[:9]


def test_without_special_tokens(default_model: Model) -> None:
    spans, empty = default_model.tokenizer.spans(["hi there", ""], add_special_tokens=False)
    assert [token.text for token in spans] == ["hi", "there"]
    assert list(empty) == []


def test_half_a_surrogate_pair_is_one_character(default_model: Model) -> None:
    (spans,) = default_model.tokenizer.spans(["a \ud800 b"], add_special_tokens=False)
    places = {token.text: token.start for token in spans}
    assert (places["a"], places["b"]) == (0, 4)


def test_other_calls_cut_as_before(default_model: Model) -> None:
    default_model.tokenizer.spans(["word " * 500])
    assert default_model.embed(["word " * 500]).truncated.tolist() == [True]
    assert default_model.tokenize(["word " * 500])["input_ids"].shape == (1, 256)


def test_decoding(default_model: Model) -> None:
    ids = [token.id for token in next(iter(default_model.tokenizer.spans(["Hello there!"])))]
    assert default_model.tokenizer.decode([ids, []]) == ["hello there!", ""]
    assert default_model.tokenizer.decode([ids], skip_special_tokens=False) == ["[CLS] hello there! [SEP]"]
    with pytest.raises(InputError, match="input 1 has token id 30522"):
        default_model.tokenizer.decode([ids, [30522]])


def test_texts_that_nobody_waits_for_are_not_read(tiny: Model) -> None:
    given_up = threading.Event()
    with until(given_up):
        assert len(tiny.tokenizer.tokenize(["the one"] * 2000)) == 2000
        given_up.set()
        for work in (tiny.tokenizer.spans, tiny.tokenizer.tokenize):
            with pytest.raises(NobodyWaitsError):
                work(["the one"])
