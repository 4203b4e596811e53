"""A dataset's page: what it is, its card, a question to it, how to use it.

Knows where the pieces are. Refuses to know how rows and maps are shown: `dataset_rows` and `dataset_map` do.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from embedhub.datasets import StoredDataset
from embedhub.errors import DatasetError, DatasetNotFoundError, EmbedhubError, HubContentError
from embedhub.hub.access import Action
from embedhub.hub.cards import card_body, read_card, tags_of
from embedhub.hub.repositories import Repository
from embedhub.runtime.collection import Hit, hit_name
from embedhub.runtime.hosted import Question
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.search import caller_of
from embedhub.server.web import files
from embedhub.server.web.cards import card_html
from embedhub.server.web.layout import in_bytes, page

ADDRESS = "/datasets/{namespace}/{name}"

_CARD = "README.md"
_MAIN = "main"
_HITS = 10
_LONGEST_QUESTION = 10_000
_TAGS = 12
# Of a hit, beside its text.
_SIDE_COLUMNS = 4
_LONGEST_SIDE = 80


@dataclass(frozen=True)
class Looked:
    """A dataset at a revision, as every part of its page needs it.

    Attributes:
        repository: which.
        revision: as it was asked for.
        commit: what that is.
        readme: text of its card; empty without one.
        head: of that; empty if it is broken.
        stored: its embedded rows; None if it is not embedded.
        problem: why there are none, if they were to be.
        size: bytes of all files.
        modified: seconds since 1970.
    """

    repository: Repository
    revision: str
    commit: str
    readme: str
    head: dict[str, Any]
    stored: StoredDataset | None
    problem: str
    size: int
    modified: float

    @property
    def address(self) -> str:
        """Of its page."""
        return f"/{self.repository.kind.prefix}{self.repository.id}"

    @property
    def text_key(self) -> str:
        """What the embedded column is called in a hit; empty without one."""
        if self.stored is None:
            return ""
        return hit_name(self.stored.text_column, ("row", "score", *self.stored.columns))

    def link(self, part: str = "", **query: object) -> str:
        """The address of a part of the page, at this revision."""
        asked = {"revision": self.revision} if self.revision != _MAIN else {}
        written = urlencode({name: value for name, value in (asked | query).items() if value not in ("", None)})
        return f"{self.address}{part}" + (f"?{written}" if written else "")

    def shown(self) -> dict[str, Any]:
        """What every part's template is given."""
        return {
            "looked": self,
            "repository": self.repository,
            "address": self.address,
            "revision": self.revision,
            "commit": self.commit,
            "licence": words_of(self.head.get("license")),
            "tags": [tag for tag in tags_of(self.head, "dataset") if not tag.startswith("license:")][:_TAGS],
        }


def look(exchange: Exchange) -> Looked:
    """The dataset that the address names; errors as of `Exchange.repository`."""
    exchange.path = {**exchange.path, "kinds": "datasets"}
    repository = exchange.repository(Action.READ)
    revision = exchange.query.get("revision") or _MAIN
    with exchange.hub.open(repository) as git:
        commit = git.resolve(revision)
        readme = git.read_text(commit, _CARD)
        size, modified = git.size(commit), git.read_commit(commit).date
    try:
        head = read_card(readme)
    except HubContentError:
        head = {}
    stored, problem = None, ""
    try:
        stored = exchange.maps.stored(repository, commit)
    except DatasetNotFoundError:
        pass
    except DatasetError as error:
        problem = failure_of(error).message
    return Looked(repository, revision, commit, readme, head, stored, problem, size, modified)


async def show(exchange: Exchange) -> Response:
    """The page."""
    looked = await exchange.run(look, exchange)
    question = exchange.query.get("q", "").strip()[:_LONGEST_QUESTION]
    search = await ask(exchange, looked, question)
    return await exchange.run(_page, exchange, looked, search)


async def ask(exchange: Exchange, looked: Looked, question: str, most: int = _HITS) -> dict[str, Any]:
    """What a template needs to show a question and its answer; an error is one of its words."""
    told: dict[str, Any] = {"q": question, "hits": None, "search_problem": ""}
    if not question or looked.stored is None:
        return told
    asked = Question([question], top_k=most)
    try:
        found = await exchange.hosted.search(
            looked.repository, looked.commit, asked, exchange.service, caller_of(exchange)
        )
    except EmbedhubError as error:
        return told | {"search_problem": failure_of(error).message}
    return told | {"hits": [shown_hit(hit, looked) for hit in found.hits[0]]}


def shown_hit(hit: Hit, looked: Looked) -> dict[str, Any]:
    """A hit as it is shown: its text, its score, its row and a few more columns. Pure."""
    others = [
        (name, str(value)[:_LONGEST_SIDE])
        for name, value in hit.items()
        if name not in ("row", "score", looked.text_key) and isinstance(value, str | int | float)
    ]
    return {
        "row": hit["row"],
        "score": hit["score"],
        "text": hit[looked.text_key],
        "others": others[:_SIDE_COLUMNS],
        "link": looked.link("/rows", offset=hit["row"]) + f"#row-{hit['row']}",
    }


def words_of(value: Any) -> str:
    """A field of a card's head that may be a word or a list of words; empty if it is neither. Pure."""
    values = value if isinstance(value, list) else [value]
    return ", ".join(str(each)[:100] for each in values[:10] if isinstance(each, str | int | float) and each != "")


def facts_of(looked: Looked, rows: int | None) -> list[tuple[str, str]]:
    """What is known of a dataset, a label and a value each. Pure."""
    told = [("Rows", f"{rows:,}")] if rows is not None else []
    if looked.stored is not None:
        made = looked.stored.provenance
        told += [
            ("Embedded column", looked.stored.text_column),
            ("Model", made.model),
            ("Dimensions", f"{made.dimensions:,}"),
            ("Computed in", made.dtype),
        ]
    return [*told, ("Size", in_bytes(looked.size)), ("Licence", words_of(looked.head.get("license")) or "not stated")]


def snippets(
    base: str, looked: Looked, splits: Sequence[tuple[str, str]], question: str, *, with_token: bool
) -> list[tuple[str, str]]:
    """Code that uses a dataset: a label and the lines. Pure.

    Args:
        base: address of this server.
        looked: the dataset.
        splits: its configurations and splits; empty where there are no rows.
        question: to be asked.
        with_token: whether a token is needed, which HF_TOKEN is to hold.
    """
    id, at = looked.repository.id, looked.revision if looked.revision != _MAIN else ""
    bearer = ' -H "Authorization: Bearer $HF_TOKEN"' if with_token else ""
    needs = "  # and HF_TOKEN is to hold your token" if with_token else ""
    written = []
    if splits:
        config, split = splits[0]
        more = f", {json.dumps(config)}" if config != "default" else ""
        more += f", split={json.dumps(split)}" + (f", revision={json.dumps(at)}" if at else "")
        loading = (
            f'import os\n\nos.environ["HF_ENDPOINT"] = {json.dumps(base)}{needs}\n\n'
            f"from datasets import load_dataset\n\ndataset = load_dataset({json.dumps(id)}{more})\nprint(dataset[0])"
        )
        written.append(("Python, with datasets", loading))
    api = f"{base}/api/datasets/{id}"
    if looked.stored is not None:
        folder = looked.repository.name
        revision = f" --revision {shlex.quote(at)}" if at else ""
        fetching = (
            f"embedhub pull {id} -o {folder} --endpoint {base}{revision}\n"
            f"embedhub search {folder} {shlex.quote(question)} -k 3"
        )
        written.append(("embedhub, on your machine", fetching))
        body = json.dumps({"query": question, "top_k": 3} | ({"revision": at} if at else {}), ensure_ascii=False)
        asking = f'curl {api}/search{bearer} \\\n  -H "Content-Type: application/json" \\\n  -d {shlex.quote(body)}'
        written.append(("curl, asking this server", asking))
    elif splits:
        query = urlencode({"offset": 0, "length": 10} | ({"revision": at} if at else {}))
        written.append(("curl", f'curl "{api}/rows?{query}"{bearer}'))
    return written


def splits_of(exchange: Exchange, looked: Looked) -> list[tuple[str, str]]:
    """Configurations and splits; none where there is no file with rows."""
    try:
        found = exchange.tables.splits(looked.repository, looked.commit)
    except EmbedhubError:
        return []
    return [(config, split) for config, named in found.items() for split in named]


def _page(exchange: Exchange, looked: Looked, search: dict[str, Any]) -> Response:
    splits = splits_of(exchange, looked)
    rows = looked.stored.row_count if looked.stored is not None else _rows(exchange, looked, splits)
    question = search["q"] or "your question"
    with_token = exchange.gate.has_tokens
    content = f"{looked.address}/resolve/{quote(looked.revision, safe='')}/"
    shown = {
        "facts": facts_of(looked, rows),
        "card": card_html(card_body(looked.readme), content),
        "snippets": snippets(exchange.base, looked, splits, question, with_token=with_token),
    }
    return page(exchange, "dataset.html", looked.shown() | search | shown)


def _rows(exchange: Exchange, looked: Looked, splits: list[tuple[str, str]]) -> int | None:
    if not splits:
        return None
    try:
        return exchange.tables.page(looked.repository, looked.commit, *splits[0], 0, 0).row_count
    except EmbedhubError:
        return None


ROUTES = (
    HubRoute("GET", ADDRESS, show, page=True),
    HubRoute("GET", "/{kinds}/{namespace}/{name}/tree/{revision}/{path*}", files.files, page=True),
    HubRoute("GET", "/{kinds}/{namespace}/{name}/commits/{revision}", files.history, page=True),
)
