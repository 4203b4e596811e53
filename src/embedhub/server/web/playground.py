"""The playground: texts in, their vectors and how alike they are out. A form does this much, scripts do the rest.

Knows the form, and what a page is told of a model. Refuses to know how a script shows or computes vectors.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from embedhub import __version__
from embedhub.engine.export.card import javascript_pooling
from embedhub.engine.export.onnx_files import can_export
from embedhub.errors import EmbedhubError, RequestError
from embedhub.models import ModelSpec
from embedhub.models.wanted import is_model_id
from embedhub.runtime.answers import Answer
from embedhub.search.metrics import SCORES
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.search import caller_of
from embedhub.server.web.assets import vendor_address
from embedhub.server.web.layout import page
from embedhub.tasks import EmbedTexts

METRICS = ("cosine", "dot", "euclidean")

_EXAMPLE = "How do I sign up for Medicare?\nWho pays for a stay in hospital?\nThe cat sleeps on the sofa."

# Of a vector, and rows and columns of a table.
_SHOWN_VALUES = 8
_SHOWN_TEXTS = 50

_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True)
class Asked:
    """What the form says.

    Attributes:
        text: everything that was typed.
        split: `lines` or `blocks`, what a text is.
        model: its name; empty for the default one.
        prompt_name: one of the model's prompts; empty for its default.
        dimensions: as typed; empty for all.
        normalize: whether vectors are scaled to length one.
        metric: one of METRICS.
    """

    text: str = _EXAMPLE
    split: str = "lines"
    model: str = ""
    prompt_name: str = ""
    dimensions: str = ""
    normalize: bool = True
    metric: str = "cosine"

    def texts(self) -> list[str]:
        """The texts, none of them empty."""
        typed = self.text.replace("\r\n", "\n").replace("\r", "\n")
        parts = _BLANK_LINES.split(typed) if self.split == "blocks" else typed.split("\n")
        return [stripped for part in parts if (stripped := part.strip())]

    def request(self) -> EmbedTexts:
        """The same for the service.

        Raises:
            RequestError: there is no text, or a number that is none.
        """
        texts = self.texts()
        if not texts:
            raise RequestError("There is no text: type at least one.")
        typed = self.dimensions.strip()
        if typed and not _WHOLE_NUMBER.fullmatch(typed):
            raise RequestError(f"Dimensions: {typed!r:.40} is not a whole number above zero.")
        return EmbedTexts(
            texts,
            prompt_name=self.prompt_name.strip() or None,
            normalize=self.normalize,
            dimensions=int(typed) if typed else None,
        )


def show(exchange: Exchange) -> Response:
    """The form; `?text=`, `?model=` and `?prompt_name=` fill it in."""
    given = exchange.query
    asked = Asked(
        text=given.get("text", _EXAMPLE), model=given.get("model", ""), prompt_name=given.get("prompt_name", "")
    )
    return _page(exchange, asked, offered(exchange))


async def compute(exchange: Exchange) -> Response:
    """The form, and what comes of it."""
    asked = asked_of(exchange.form())
    models = await exchange.run(offered, exchange)
    try:
        answer = await exchange.service.run(asked.model or None, asked.request(), caller_of(exchange))
    except EmbedhubError as error:
        failure = failure_of(error)
        return await exchange.run(lambda: _page(exchange, asked, models, failure.status, problem=failure.message))
    return await exchange.run(lambda: _page(exchange, asked, models, result=_result(asked, answer)))


def asked_of(form: dict[str, list[str]]) -> Asked:
    """What a form says; words that it may not say are those it begins with. Pure."""
    said = {name: values[0] for name, values in form.items()}
    split, metric = said.get("split", ""), said.get("metric", "")
    return Asked(
        text=said.get("text", ""),
        split=split if split in ("lines", "blocks") else "lines",
        model=said.get("model", ""),
        prompt_name=said.get("prompt_name", ""),
        dimensions=said.get("dimensions", ""),
        normalize="normalize" in said,
        metric=metric if metric in METRICS else "cosine",
    )


def offered(exchange: Exchange) -> list[dict[str, Any]]:
    """What a page is told of each model that may be asked, the default one first. Reads the disk."""
    loaded = exchange.service.loaded
    dtypes = {each.name: each.model.dtype for each in loaded.ready}
    found = {name: spec for name, spec in loaded.available().items() if spec.kind == "embedding"}
    names = sorted(found, key=lambda name: (name != loaded.default, name.lower()))
    return [_told(name, found[name], dtypes.get(name, "")) for name in names]


def browser_pooling(name: str, spec: ModelSpec) -> str:
    """How a browser that loads the model from this server has to pool; empty if it would not give its vectors. Pure.

    Args:
        name: what the model is asked for by.
        spec: the model.
    """
    # A repository has the files that were pushed; of other models they are made here.
    has_graph = spec.onnx is not None if spec.source == "hosted" else can_export(spec)
    # A pooling that leaves the prompt out is not computed there.
    pools_all = spec.include_prompt or not spec.prompts
    return javascript_pooling(spec) or "" if has_graph and pools_all and is_model_id(name) else ""


def _told(name: str, spec: ModelSpec, dtype: str) -> dict[str, Any]:
    return {
        "name": name,
        "dimensions": spec.dimensions,
        "maxTokens": spec.max_tokens,
        "prompts": dict(spec.prompts),
        "defaultPrompt": spec.default_prompt_name or "",
        "dtype": dtype,
        "pooling": browser_pooling(name, spec),
        "bytes": sum(path.stat().st_size for path in spec.weights_files),
        "mark": _mark(spec),
    }


def _mark(spec: ModelSpec) -> str:
    """Another one when the model's files are others, or the way they are exported: a browser keeps them under it."""
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in spec.weights_files]
    return hashlib.sha256(f"{__version__} {spec.revision} {states}".encode()).hexdigest()[:16]


def _page(
    exchange: Exchange,
    asked: Asked,
    models: list[dict[str, Any]],
    status: int = 200,
    *,
    result: dict[str, Any] | None = None,
    problem: str = "",
) -> Response:
    transformers, runtime = vendor_address("transformers"), vendor_address("onnxruntime-web")
    shown = {
        "asked": asked,
        "models": models,
        "metrics": METRICS,
        "result": result,
        "problem": problem,
        # Both or neither.
        "transformers": transformers if runtime else "",
        "runtime": runtime if transformers else "",
    }
    return page(exchange, "playground.html", shown, status=status)


def _result(asked: Asked, answer: Answer) -> dict[str, Any]:
    vectors: NDArray[np.float32] = np.asarray(answer.result, np.float32)
    few = vectors[:_SHOWN_TEXTS]
    matrix = SCORES[asked.metric].matrix(few, few, np.float64)
    # A distance, for people, is none below zero.
    matrix = np.maximum(-matrix, 0) if asked.metric == "euclidean" else matrix
    return {
        "model": answer.loaded.name,
        "texts": asked.texts()[:_SHOWN_TEXTS],
        "count": len(vectors),
        "dimensions": vectors.shape[1],
        "values": few[:, :_SHOWN_VALUES].tolist(),
        "matrix": matrix.tolist(),
        "tokens": answer.tokens[:_SHOWN_TEXTS].tolist(),
        "truncated": set(answer.truncated),
        "milliseconds": answer.timings.total * 1000,
    }


ROUTES = (
    HubRoute("GET", "/playground", show, page=True),
    HubRoute("POST", "/playground", compute, page=True),
)
