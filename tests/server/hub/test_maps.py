"""Maps over HTTP: points, colours and texts of a dataset that was pushed, for who may read it."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.server.hub.conftest import Embedded

from embedhub import Model
from embedhub.datasets import read_dataset
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.search.projection import fitted_to_square, has_umap, principal_plane

WORDS = ["the", "a", "of and", "to in is", "was for on", "with as by", "at from it", "an be this", "that which or"]
LINES = ["words,year", *(f'"{words}",{1990 + number}' for number, words in enumerate(WORDS))]

API = "/api/datasets/alice/mapped"

Push = Callable[[Kind, str, Path], str]


@pytest.fixture(scope="module")
def folder(embedded: Embedded, tiny: Model) -> Path:
    return embedded(tiny, LINES, shard_rows=4)


@pytest.fixture(scope="module", autouse=True)
def commit(push: Push, folder: Path) -> str:
    return push(Kind.DATASET, "alice/mapped", folder)


def test_points_come_as_one_file(as_alice: httpx.Client, folder: Path, commit: str) -> None:
    answer = as_alice.get(f"{API}/map")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-repo-commit"] == commit
    magic, length = struct.unpack("<4sI", answer.content[:8])
    head = json.loads(answer.content[8 : 8 + length])
    assert (magic, head["method"], head["points"], head["sampled"]) == (b"EMAP", "pca", 9, False)
    vectors = read_dataset(folder).vectors().matrix
    expected = fitted_to_square(principal_plane(vectors).points(vectors))
    np.testing.assert_allclose(
        np.frombuffer(answer.content, "<f4", offset=8 + length).reshape(2, 9).T, expected, atol=1e-6
    )
    again = as_alice.get(f"{API}/map", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head_only = as_alice.head(f"{API}/map", params={"revision": commit})
    assert head_only.headers["content-length"] == str(len(answer.content))


def test_colours_and_texts_follow_the_points(as_alice: httpx.Client) -> None:
    told = as_alice.get(f"{API}/map/column", params={"name": "year"}).json()
    assert told == {"kind": "number", "values": [1990 + number for number in range(9)]}
    found = as_alice.get(f"{API}/map/texts", params={"rows": "4,0"}).json()
    assert found == {"rows": [{"row": 4, "text": WORDS[4]}, {"row": 0, "text": WORDS[0]}]}


@pytest.mark.parametrize(
    ("part", "query", "status", "told"),
    [
        ("", {"method": "tsne"}, 400, "one of pca, umap"),
        ("", {"revision": "other"}, 404, "Invalid rev id"),
        ("/column", {"name": "embedding"}, 400, "no column"),
        ("/column", {}, 400, "no column"),
        ("/texts", {}, 400, "rows=0,17"),
        ("/texts", {"rows": "-1"}, 400, "rows=0,17"),
        ("/texts", {"rows": "1,"}, 400, "rows=0,17"),
        ("/texts", {"rows": "9"}, 400, "there is no row 9"),
        ("/texts", {"rows": "9" * 12}, 400, "there is no row"),
        ("/texts", {"rows": ",".join("1" * 201)}, 400, "200 is the most"),
    ],
)
def test_a_wrong_question_is_told_what_to_do(
    as_alice: httpx.Client, part: str, query: dict[str, Any], status: int, told: str
) -> None:
    answer = as_alice.get(f"{API}/map{part}", params=query)
    assert answer.status_code == status
    assert told in answer.json()["error"]


def test_umap_is_there_or_it_is_said_how_it_comes(as_alice: httpx.Client) -> None:
    answer = as_alice.get(f"{API}/map", params={"method": "umap"})
    if has_umap():
        assert answer.status_code in (200, 202)
    else:
        assert answer.status_code == 501
        assert "embedhub[map]" in answer.json()["error"]


def test_a_dataset_without_vectors_and_one_of_others_have_no_map(
    as_alice: httpx.Client, as_bob: httpx.Client, hub: Hub
) -> None:
    files = {"a.csv": b"words\none\n"}
    hub.create(hub.actor("alice", "write"), Kind.DATASET, "alice/mapless", visibility="private", files=files)
    for part in ("", "/column?name=words", "/texts?rows=0"):
        answer = as_alice.get(f"/api/datasets/alice/mapless/map{part}")
        assert answer.status_code == 400
        assert "alice/mapless" in answer.json()["error"]
        assert as_bob.get(f"/api/datasets/alice/mapless/map{part}").status_code == 404
