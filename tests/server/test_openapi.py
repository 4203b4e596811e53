"""The document and the pages made of it: they say what the server does, and need nothing but themselves."""

import json
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
import msgspec
import pytest

from embedhub.errors import ModelIntegrityError, RequestError, UnauthorizedError, UnsupportedTaskError
from embedhub.server.app import DIALECTS
from embedhub.server.docs_page import ADDRESS, docs_page
from embedhub.server.endpoint import Call, Endpoint, Reply
from embedhub.server.errors import Failure, failure_of
from embedhub.server.examples import example_of
from embedhub.server.openapi import document
from embedhub.server.pages import address


class Left(msgspec.Struct):
    """<b>One</b> way to ask."""

    a: Annotated[str, msgspec.Meta(min_length=1, description="what to <read>", examples=["it's this"])]
    inner: "Left | None" = None


class Right(msgspec.Struct):
    b: list[list[float]]
    c: int = 3


async def answer(call: Call) -> Reply:
    """Does it."""
    return Reply(b"{}")


def failed(failure: Failure) -> Reply:
    """With another status, and a field that only a wait has."""
    failure.status = 422 if failure.status == 400 else failure.status
    body: dict[str, Any] = {"message": failure.message}
    if failure.status == 503:
        body["estimated_time"] = failure.retry_after
    return Reply(json.dumps(body).encode())


MADE = (
    Endpoint(
        "POST", "/do/{task}/{model:path}", answer, failed, "Do it", "made", request=Left | Right, response=list[Right]
    ),
    Endpoint("POST", "/do/{name}/{other:path}", answer, failed, "Never reached", "made"),
    Endpoint("GET", "/do", answer, failed, "Look", "made", scope="public"),
)


def test_everything_an_endpoint_says_is_in_the_document() -> None:
    made = document(MADE, bearer=True)
    post = made["paths"]["/do/{task}/{model}"]["post"]
    assert [each["name"] for each in post["parameters"]] == ["task", "model"]
    assert post["security"] == [{"token": []}]
    assert made["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"anyOf": [{"$ref": "#/components/schemas/Left"}, {"$ref": "#/components/schemas/Right"}]}
    assert made["components"]["schemas"]["Left"]["properties"]["a"]["minLength"] == 1
    assert post["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert "400" not in post["responses"]
    assert list(post["responses"]["422"]["content"]["application/json"]["schema"]["properties"]) == ["message"]
    waiting = post["responses"]["503"]["content"]["application/json"]["schema"]
    assert waiting["properties"]["estimated_time"] == {"type": "number"}
    assert UnauthorizedError.code in post["responses"]["401"]["description"]
    assert "security" not in made["paths"]["/do"]["get"]
    assert "requestBody" not in made["paths"]["/do"]["get"]


def test_without_tokens_nobody_is_asked_for_one() -> None:
    made = document(MADE, bearer=False)
    assert "securitySchemes" not in made["components"]
    assert "security" not in str(made["paths"])


def test_every_reference_leads_somewhere(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    names = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(told)))
    assert names <= set(told["components"]["schemas"])
    ids = [each["operationId"] for operations in told["paths"].values() for each in operations.values()]
    assert len(ids) == len(set(ids))


def test_examples_are_what_their_schemas_allow() -> None:
    for type in (Left, Right, list[Right], dict[str, int], tuple[int, str], bool | None):
        (schema,), components = msgspec.json.schema_components([type], ref_template="#/components/schemas/{name}")
        msgspec.convert(example_of(schema, components), type)


class Page(HTMLParser):
    """What a page loads, and its shell commands."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object"):
            self.loads.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_in_itself(client: httpx.Client) -> None:
    answer = client.get("/docs", headers={"accept": "text/html,*/*"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page()
    page.feed(answer.text)
    assert page.loads == []
    assert page.open == []
    assert "url(" not in answer.text
    assert "@import" not in answer.text


def test_the_docs_name_every_path(client: httpx.Client) -> None:
    text = unescape(client.get("/docs").text)
    for endpoint in DIALECTS:
        assert f"{endpoint.method} {re.sub(r':path', '', endpoint.path)}" in text


def test_what_the_types_say_is_escaped() -> None:
    page = docs_page(document(MADE, bearer=True)).decode()
    assert "<b>One</b>" not in page
    assert "&lt;b&gt;One&lt;/b&gt; way" in page
    assert "what to &lt;read&gt;" in page


def test_the_examples_can_be_copied(client: httpx.Client) -> None:
    found = re.findall(r"<pre>(curl .*?)</pre>", client.get("/docs").text, re.DOTALL)
    assert len(found) >= len(DIALECTS)
    for command in found:
        words = shlex.split(unescape(command).replace("\\\n", ""))
        path = words[1].removeprefix(str(client.base_url).rstrip("/"))
        if "-d" in words:
            answer = client.post(
                path, content=words[words.index("-d") + 1], headers={"content-type": "application/json"}
            )
            # A path may name a model that is not here, or ask what this one cannot do; what is sent is right.
            assert answer.status_code in ((404,) if "{" in path else (200, 424)), answer.text
        else:
            assert client.get(path).status_code == (404 if "{" in path else 200)


def test_the_first_page_is_for_people_and_for_programs(client: httpx.Client) -> None:
    assert client.get("/", headers={"accept": "application/json"}).json()["docs"] == "/docs"
    assert '<a href="/docs">' in client.get("/", headers={"accept": "text/html"}).text
    assert '<a href="/">' in client.get("/docs").text


def test_commands_on_the_page_have_the_address_that_was_asked_and_a_token() -> None:
    page = docs_page(document(MADE, bearer=True)).decode()
    assert f"curl {ADDRESS}/do/" in unescape(page)
    assert 'authorization: Bearer $HF_TOKEN"' in unescape(page)
    assert "Bearer" not in docs_page(document(MADE, bearer=False)).decode()


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"host": "embed.example:9000"}, "http://embed.example:9000"),
        ({"host": "embed.example", "x-forwarded-proto": "https"}, "https://embed.example"),
        ({"host": "[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "$(id)"}, ADDRESS),
        ({"host": "a<b"}, ADDRESS),
        ({"host": "a:b"}, ADDRESS),
        ({}, ADDRESS),
    ],
)
def test_an_address_that_can_be_shown(headers: dict[str, str], shown: str) -> None:
    assert address(headers) == shown


def test_the_page_is_shown_with_that_address(client: httpx.Client) -> None:
    page = client.get("/docs", headers={"host": "embed.example:9000"}).text
    assert "curl http://embed.example:9000/v1/embeddings" in page
    assert ADDRESS not in page


def test_below_v1_errors_of_no_path_are_openais(client: httpx.Client) -> None:
    for answer in (client.post("/v1/nothing"), client.delete("/v1/embeddings")):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.json()["error"]["code"] == answer.headers["x-error-code"]
    assert isinstance(client.get("/nowhere").json()["error"], str)


def test_errors_do_not_tell_where_the_server_keeps_its_files() -> None:
    for error, shown in (
        (ModelIntegrityError("/srv/models/acme/a/config.json: the keys (of /srv/x/y)"), "config.json: the keys (of y)"),
        (UnsupportedTaskError("/srv/tiny is an embedding model"), "tiny is an embedding model"),
        (UnsupportedTaskError("acme/a is at https://hub.example/acme/a"), "acme/a is at https://hub.example/acme/a"),
        (RequestError("task '/a/b' is not served"), "task '/a/b' is not served"),
    ):
        assert failure_of(error).message == shown
