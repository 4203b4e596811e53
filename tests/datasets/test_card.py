"""The card: what machines read in it, and what of a person's words is kept."""

from typing import Any

import pytest
import yaml
from tests.datasets.fake_embedder import provenance

from embedhub.datasets.card import CardFacts, write_card


@pytest.fixture
def facts() -> CardFacts:
    return CardFacts(
        name="faq",
        rows=13,
        nulls=0,
        skipped=0,
        truncated=0,
        text_column="text",
        vectors="float32",
        job="00",
        license="unknown",
        provenance=provenance(prompt="a|b\n"),
    )


def head(card: str) -> dict[str, Any]:
    parsed = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(parsed, dict)
    return parsed


def test_head(facts: CardFacts) -> None:
    said = head(write_card(facts))
    assert said["license"] == "unknown"
    assert said["size_categories"] == ["n<1K"]
    assert said["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert {"embedhub", "embeddings", "sentence-similarity"} <= set(said["tags"])
    assert said["embedhub"] == {"model": "example/fake", "dimensions": 8, "text_column": "text"}


def test_body_tells_how_it_was_made(facts: CardFacts) -> None:
    card = write_card(facts)
    assert "| weights_sha256 | `" + "00" * 32 + "` |" in card
    assert "| prompt | `a\\|b\\n` |" in card


def test_a_persons_words_are_kept(facts: CardFacts) -> None:
    card = write_card(facts).replace("license: unknown", "license: cc0-1.0\nlanguage: [de]")
    card = card.replace("# faq\n", "# Our FAQ\n\nCollected by hand.\n").replace("13 rows", "12 rows") + "\n## Thanks\n"
    again = write_card(facts, card)
    assert (head(again)["license"], head(again)["language"]) == ("cc0-1.0", ["de"])
    assert "Collected by hand." in again
    assert again.endswith("\n## Thanks\n")
    assert "13 rows" in again
    assert "12 rows" not in again
    assert write_card(facts, again) == again


@pytest.mark.parametrize("before", ["", "no head", "---\n: : [broken\n---\nbody", "---\n- list\n---\nbody"])
def test_any_card_gets_a_head(facts: CardFacts, before: str) -> None:
    card = write_card(facts, before)
    assert head(card)["pretty_name"] == "faq"
    assert before in ("",) or before.split("\n")[-1] in card
