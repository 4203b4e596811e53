"""A model's page, of one that is hosted and of one that is only served: what it is, its card, how to use it, a trial.

Knows where the pieces are. Refuses to load a model by itself: only a trial does.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import Response

from embedhub.engine.export.card import javascript_pooling
from embedhub.engine.export.onnx_files import can_export
from embedhub.errors import EmbedhubError, HubError, ModelError, ModelNotFoundError, RepositoryNotFoundError
from embedhub.hub.access import Action
from embedhub.hub.cards import card_body, read_card
from embedhub.hub.repositories import Repository
from embedhub.models import ModelSpec
from embedhub.runtime.loaded import LoadedModel
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.search import caller_of
from embedhub.server.web.cards import card_html
from embedhub.server.web.layout import in_bytes, page
from embedhub.tasks import EmbedTexts

_CARD = "README.md"
_LARGEST_CARD = 1 << 20
_ONNX = "onnx/model.onnx"

_LONGEST_TRIAL = 10_000
_SHOWN_NUMBERS = 8

_EXAMPLE = "How can Medicare help me?"


@dataclass(frozen=True)
class Found:
    """A model, from wherever it comes.

    Attributes:
        id: `organisation/name`.
        repository: that holds it, if one does.
        commit: the newest of that; empty without one.
        readme: text of its card; empty without one.
        spec: what it is; None if it is no text encoder, or damaged.
        problem: why there is no spec.
        in_browsers: whether its repository holds, or can be given, what Transformers.js loads.
    """

    id: str
    repository: Repository | None
    commit: str
    readme: str
    spec: ModelSpec | None
    problem: str
    in_browsers: bool


def show(exchange: Exchange) -> Response:
    """The page."""
    return _page(exchange, _find(exchange), {})


async def try_it(exchange: Exchange) -> Response:
    """The page with the vector of a text."""
    found = await exchange.run(_find, exchange)
    text = exchange.form().get("text", [""])[0][:_LONGEST_TRIAL]
    trial: dict[str, Any] = {"text": text}
    status = 200
    try:
        answer = await exchange.service.run(found.id, EmbedTexts([text]), caller_of(exchange))
        vector = answer.result[0]
        trial |= {
            "numbers": [f"{number:.4f}" for number in vector[:_SHOWN_NUMBERS]],
            "dimensions": len(vector),
            "tokens": int(answer.tokens[0]),
            "is_cut": bool(answer.truncated),
            "milliseconds": answer.timings.total * 1000,
            "is_known": bool(answer.cached),
        }
    except EmbedhubError as error:
        failure = failure_of(error)
        trial["problem"], status = failure.message, failure.status
    return await exchange.run(_page, exchange, found, trial, status)


def facts(spec: ModelSpec, loaded: LoadedModel | None, setting: str) -> list[tuple[str, str]]:
    """What is known of a model, a label and a value each. Pure.

    Args:
        spec: what it is.
        loaded: if it is.
        setting: the number type that it would be computed in.
    """
    told = [("Architecture", spec.architecture)]
    if spec.kind == "embedding":
        told += [
            ("Dimensions", f"{spec.dimensions:,}"),
            ("Pooling", " + ".join(spec.pooling)),
            ("Vectors of length one", "yes" if spec.normalize else "no"),
            ("Compared by", spec.similarity),
        ]
    else:
        told += [("Labels", ", ".join(spec.labels[:20])), ("Scores by", spec.activation)]
    told.append(("Longest text", f"{spec.max_tokens:,} tokens"))
    told += [(f"Prompt “{name}”", prompt) for name, prompt in spec.prompts.items() if prompt]
    if loaded is None:
        return [*told, ("Computed in", setting), ("State", "not loaded; the first request loads it")]
    told += [
        ("Computed in", f"{loaded.model.dtype}, by {loaded.model.backend}"),
        ("State", f"loaded in {loaded.load_seconds:.1f} s, takes about {in_bytes(loaded.memory_bytes)}"),
        ("sha256 of the weights", spec.weights_sha256),
    ]
    parity = loaded.parity
    if parity.mean_cosine is not None:
        told.append(
            (f"Measured here beside {parity.made_by}", f"cosine {parity.mean_cosine:.6f} over {parity.texts} texts")
        )
    return told


def snippets(base: str, found: Found, *, with_token: bool) -> list[tuple[str, str, str]]:
    """Code that embeds a text by a model: an id, a label and the lines. Pure.

    Args:
        base: address of this server.
        found: the model.
        with_token: whether a token is needed, which HF_TOKEN is to hold.
    """
    spec, name = found.spec, json.dumps(found.id)
    if spec is None or spec.kind != "embedding":
        return []
    bearer = ' -H "Authorization: Bearer $HF_TOKEN"' if with_token else ""
    body = json.dumps({"model": found.id, "input": _EXAMPLE})
    written = [
        (
            "python",
            "Python",
            "from huggingface_hub import InferenceClient\n\n"
            f'client = InferenceClient(model="{base}/models/{found.id}")\n'
            f'vector = client.feature_extraction("{_EXAMPLE}")\nprint(vector.shape)',
        ),
        (
            "curl",
            "curl",
            f"curl {base}/v1/embeddings{bearer} -H \"Content-Type: application/json\" \\\n  -d '{body}'",
        ),
    ]
    pooling = javascript_pooling(spec)
    if pooling is not None and found.in_browsers:
        revision = json.dumps(found.commit or "main")
        code = (
            'import { env, pipeline } from "@huggingface/transformers";\n\n'
            f'env.remoteHost = "{base}/";\n'
            f'const extractor = await pipeline("feature-extraction", {name}, {{\n'
            f'  revision: {revision},\n  dtype: "fp32",\n}});\n'
            f'const vectors = await extractor(["{_EXAMPLE}"], {{\n'
            f'  pooling: "{pooling}",\n  normalize: {json.dumps(spec.normalize)},\n}});\n'
            "console.log(vectors.tolist());"
        )
        written.insert(1, ("javascript", "JavaScript (Transformers.js)", code))
    return written


def _find(exchange: Exchange) -> Found:
    """The model of the address.

    Raises:
        MovedError: it has another name by now.
        RepositoryNotFoundError: there is none, or not for whoever asks.
    """
    id = f"{exchange.path['namespace']}/{exchange.path['name']}"
    try:
        repository = exchange.repository(Action.READ)
    except RepositoryNotFoundError:
        return _served(exchange, id)
    commit, readme, has_onnx = "", "", False
    try:
        with exchange.hub.open(repository) as git:
            commit = git.resolve("main")
            readme = git.read_text(commit, _CARD)
            has_onnx = git.entry(commit, _ONNX) is not None
    except HubError:
        # Without a main branch there is nothing to show of it but its name.
        pass
    spec, problem = None, ""
    try:
        spec = exchange.service.loaded.find_available(repository.id)
    except ModelError as error:
        problem = failure_of(error).message
    return Found(repository.id, repository, commit, readme, spec, problem, has_onnx)


def _served(exchange: Exchange, id: str) -> Found:
    try:
        spec = exchange.service.loaded.find_available(id)
    except ModelNotFoundError:
        raise RepositoryNotFoundError(f"there is no model {id:.200}, or it is private and you are not let in") from None
    readme = spec.folder / _CARD
    text = readme.read_text("utf-8", "replace")[:_LARGEST_CARD] if readme.is_file() else ""
    return Found(id, None, "", text, spec, "", can_export(spec))


def _page(exchange: Exchange, found: Found, trial: dict[str, Any], status: int = 200) -> Response:
    spec, repository = found.spec, found.repository
    loaded = _loaded(exchange, spec) if spec is not None else None
    try:
        head = read_card(found.readme)
    except HubError:
        head = {}
    files = f"/{found.id}/resolve/{found.commit}/" if repository is not None else "/"
    shown = {
        "found": found,
        "facts": facts(spec, loaded, exchange.config.dtype) if spec is not None else [],
        "languages": _words(head.get("language")),
        "licence": ", ".join(_words(head.get("license"))) or (spec.licence if spec is not None else "") or "",
        "tags": _words(head.get("tags"))[:12],
        "card": card_html(card_body(found.readme), files),
        "snippets": snippets(exchange.base, found, with_token=exchange.gate.has_tokens),
        "files": _files(spec.folder) if repository is None and spec is not None else [],
        "can_try": spec is not None and spec.kind == "embedding",
        "example": _EXAMPLE,
        "trial": trial,
    }
    return page(exchange, "model.html", shown, status=status)


def _loaded(exchange: Exchange, spec: ModelSpec) -> LoadedModel | None:
    """The model as it is loaded, under whatever name. Whoever asks may use it: they were given its spec."""
    for loaded in exchange.service.every_model.ready:
        its = loaded.model.spec
        if (its.id, its.revision, its.folder) == (spec.id, spec.revision, spec.folder):
            return loaded
    return None


def _files(folder: Path) -> list[tuple[str, int]]:
    """The files of a model that no repository holds, with their sizes."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found]


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(each)[:60] for each in values if isinstance(each, str | int | float) and not isinstance(each, bool)]


ROUTES = (
    HubRoute("GET", "/{owner}/{name}", show, page=True),
    HubRoute("POST", "/{owner}/{name}", try_it, page=True),
)
