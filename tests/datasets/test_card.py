"""The card: what machines read in it, and what of a person's words is kept."""

from dataclasses import replace
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
    assert said["embedhub"] == {"model": "example/fake", "dimensions": 8, "text_column": "text", "rows": 13}


def test_body_tells_how_it_was_made(facts: CardFacts) -> None:
    card = write_card(facts)
    assert "| sha256 of the weights | `" + "00" * 32 + "` |" in card
    assert "| before every text | `a\\|b\\n` |" in card
    assert "calibration" not in card


def test_nothing_to_tell_leaves_no_empty_cell(facts: CardFacts) -> None:
    card = write_card(replace(facts, provenance=provenance(revision=None)))
    table = [line for line in card.splitlines() if line.startswith("|")][2:]
    assert "| before every text | nothing |" in table
    assert not [line for line in table if "| |" in line or "None" in line or "``" in line]


def test_the_head_says_in_words_what_changes_with_the_data(facts: CardFacts) -> None:
    description = head(write_card(facts))["configs"][0]["description"]
    assert description == "13 rows embedded with example/fake, build 00"


@pytest.mark.parametrize(("count", "told"), [(0, False), (3, True)])
def test_truncation_is_told(facts: CardFacts, count: int, told: bool) -> None:
    card = write_card(replace(facts, truncated=count))
    assert ("longer than the model reads" in card) is told
    assert ("- 3 rows" in card) is told


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
