"""The paths of Hugging Face's Inference API, and what its clients ask of the Hub before they post.

`POST /` belongs here, for clients that take an address for a model. A string gives a flat vector there as on every path
of this dialect: huggingface_hub and huggingface.js take vectors of any depth, and whoever indexes the answer himself
gets the shape that the hosted API gives. TEI's constant list of vectors is at its own path, `/embed`.
"""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from embedhub.errors import RequestError
from embedhub.server.dialects.hf import wire
from embedhub.server.dialects.tei.info import ModelInfo as LoadedModelInfo
from embedhub.server.dialects.tei.info import model_info as facts_of
from embedhub.server.endpoint import Call, Endpoint, Reply, written
from embedhub.server.errors import Failure
from embedhub.server.pages import Health


async def infer(call: Call) -> Reply:
    """What the inputs ask for."""
    body = await _body(call)
    chosen = wire.options(body)
    work = wire.work(body, call.path.get("task", ""), of_classifier=await _is_classifier(call))
    caller = call.caller(use_cache=chosen.use_cache is not False, wait=_waits(call, chosen))
    answer = await call.service.run(_model(call), work.request, caller)
    return await written(call.service, answer, lambda: wire.reply(answer, work))


async def model_info(call: Call) -> Reply:
    """Whether a model can be used here, and for what."""
    name = _model(call) or ""
    spec = await call.service.describe(name)
    query = parse_qs(call.query.decode("latin-1"))
    return wire.model_info(name, spec, query.get("expand[]", []) + query.get("expand", []))


async def health(call: Call) -> Reply:
    """Whether a model computes."""
    if await call.service.healthy(_model(call)):
        return Reply(msgspec.json.encode(Health("ok")))
    reply = wire.failed(Failure("unhealthy", "the model does not compute", 503))
    reply.status = 503
    reply.headers["x-error-code"] = "unhealthy"
    return reply


async def info(call: Call) -> Reply:
    """What is known of a model, which is loaded if need be."""
    async with call.service.loaded.use(_model(call)) as loaded:
        return Reply(msgspec.json.encode(facts_of(loaded)))


async def _body(call: Call) -> Any:
    if not wire.is_text(call.body, call.headers.get("content-type", "")):
        return await call.read(wire.Body)
    try:
        return call.body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8 ({error.reason} at byte {error.start})") from error


def _model(call: Call) -> str | None:
    """The model of the path; the default one if it names none."""
    return call.path.get("model", "").rstrip("/") or None


async def _is_classifier(call: Call) -> bool:
    """Whether the model labels texts. One that is still to be downloaded is taken for one that embeds."""
    spec = await call.service.describe(_model(call))
    return spec is not None and spec.kind == "classifier"


def _waits(call: Call, chosen: wire.Options) -> bool:
    """Whether the caller waits for a model to be loaded: unless told otherwise, since many retry a 503 for ever."""
    if chosen.wait_for_model is not None:
        return chosen.wait_for_model
    return call.headers.get("x-wait-for-model", "").lower() not in ("false", "0")


def _inference(path: str) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        infer,
        wire.failed,
        "Vectors, similarities or a ranking: whatever the inputs ask for",
        "hf",
        request=wire.Body,
        response=wire.Result,
        example={"inputs": ["How can Medicare help me?", "What is Part B?"]},
        compute_time_in_seconds=True,
    )


# A path that ends in a task stands before the one that takes everything for a model's name.
ENDPOINTS = (
    *(
        _inference(prefix + path)
        for prefix in ("", "/hf-inference")
        for path in ("/pipeline/{task}/{model:path}", "/models/{model:path}/pipeline/{task}", "/models/{model:path}")
    ),
    _inference("/"),
    Endpoint(
        "GET",
        "/api/models/{model:path}",
        model_info,
        wire.failed_info,
        "What can be done with a model",
        "hf",
        response=wire.ModelInfo,
    ),
    *(
        Endpoint("GET", f"{prefix}/models/{{model:path}}/{name}", answer, wire.failed, summary, "hf", response=response)
        for prefix in ("", "/hf-inference")
        for name, answer, summary, response in (
            ("health", health, "Whether a model computes", Health),
            ("info", info, "How a model's vectors come about", LoadedModelInfo),
        )
    ),
)
