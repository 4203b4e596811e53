"""The playground without a script: a form, and a page with vectors and how alike they are."""

import html
import json
import re
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from embedhub import Model
from embedhub.config import DEFAULT_MODEL
from embedhub.search.metrics import cos_sim, dot_score, euclidean_sim
from embedhub.server.web.playground import Asked, asked_of, browser_pooling

TEXTS = ["How do I sign up?", "Who pays?", "The <b>cat</b> & 'the' \"dog\""]


def cells(page: str) -> list[list[str]]:
    """The cells of the tables' bodies, a list a row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def test_the_form_begins_with_the_default_model_and_an_example(client: httpx.Client) -> None:
    page = client.get("/playground")
    assert page.status_code == 200
    assert "How do I sign up for Medicare?" in page.text
    told = json.loads(html.unescape(re.findall(r'data-told="(.*?)"', page.text)[0]))
    assert told["name"] == DEFAULT_MODEL
    assert (told["dimensions"], told["maxTokens"], told["pooling"], told["dtype"]) == (384, 256, "mean", "f32")


def test_a_link_fills_the_form_in(client: httpx.Client) -> None:
    page = client.get("/playground", params={"text": "</textarea><script>1</script>", "prompt_name": '"query'}).text
    assert "&lt;/textarea&gt;&lt;script&gt;1&lt;/script&gt;</textarea>" in page
    assert 'value="&#34;query"' in page


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_a_form_gives_vectors_and_their_likeness(client: httpx.Client, metric: str) -> None:
    form = {"text": "\r\n\r\n".join(TEXTS), "dimensions": "32", "metric": metric}
    page = client.post("/playground", data=form).text
    rows = cells(page)
    shown = [[float(value) for value in row[1].split()[:-1]] for row in rows[1:4]]
    raw = np.array(client.post("/embed", json={"inputs": TEXTS, "dimensions": 32, "normalize": False}).json())
    np.testing.assert_allclose(shown, raw[:, :8], atol=6e-5)
    expected = {"cosine": cos_sim, "dot": dot_score, "euclidean": euclidean_sim}[metric](raw, raw)
    sign = -1 if metric == "euclidean" else 1
    np.testing.assert_allclose(np.array(rows[5:8], float), sign * expected, atol=6e-4)
    assert TEXTS[2] not in page
    assert html.escape(TEXTS[2]).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page


def test_length_one_is_the_models_or_the_forms(client: httpx.Client, default_model: Model) -> None:
    page = client.post("/playground", data={"text": "one\ntwo", "normalize": "on"}).text
    shown = [[float(value) for value in row[1].split()[:-1]] for row in cells(page)[1:3]]
    np.testing.assert_allclose(shown, default_model.encode(["one", "two"])[:, :8], atol=6e-5)


@pytest.mark.parametrize(
    ("form", "status", "told"),
    [
        ({"text": " \n\t\n"}, 400, "There is no text"),
        ({}, 400, "There is no text"),
        ({"text": "a", "dimensions": "many"}, 400, "is not a whole number"),
        ({"text": "a", "dimensions": "385"}, 400, "gives 1 to 384"),
        ({"text": "a", "dimensions": "0"}, 400, "is not a whole number above zero"),
        ({"text": "a", "prompt_name": "<query>"}, 400, "&lt;query&gt;"),
        ({"text": "a", "model": "nobody/nothing"}, 404, "nobody/nothing"),
        ({"text": "x" * 1_100_000}, 413, "larger than"),
    ],
)
def test_what_is_wrong_is_told_on_the_page(client: httpx.Client, form: dict[str, str], status: int, told: str) -> None:
    page = client.post("/playground", data=form, headers={"accept": "text/html"})
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert told in page.text


def test_what_a_browser_can_compute(tiny: Model) -> None:
    spec = tiny.spec
    assert browser_pooling("acme/tiny", spec) == "mean"
    assert browser_pooling("acme/tiny", replace(spec, pooling=("cls",))) == "cls"
    without_prompt = {"include_prompt": False, "prompts": {"query": "q: "}}
    changes: dict[str, Any]
    for changes in ({"pooling": ("max",)}, {"architecture": "other"}, without_prompt):
        assert browser_pooling("acme/tiny", replace(spec, **changes)) == "", changes
    # A folder has no name that a browser could ask for.
    assert browser_pooling(str(spec.folder), spec) == ""
    # Of what was pushed there are the files that were pushed.
    assert browser_pooling("acme/tiny", replace(spec, source="hosted")) == ""
    assert browser_pooling("acme/tiny", replace(spec, source="hosted", onnx=spec.folder / "model.onnx")) == "mean"


def test_texts_are_lines_or_blocks() -> None:
    typed = " one\r\n\r\n two\rthree \n \t\nfour"
    assert Asked(text=typed).texts() == ["one", "two", "three", "four"]
    assert Asked(text=typed, split="blocks").texts() == ["one", "two\nthree", "four"]


def test_words_that_the_form_does_not_have_are_not_taken() -> None:
    asked = asked_of({"split": ["pages"], "metric": ["__class__"], "text": ["a", "b"]})
    assert (asked.split, asked.metric, asked.text, asked.normalize) == ("lines", "cosine", "a", False)
