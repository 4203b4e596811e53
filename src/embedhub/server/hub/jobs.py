"""Jobs over the API: a file is sent, looked into, embedded and hosted, and whoever sent it watches.

Knows the wire. What becomes of a job, `runtime.jobs` knows.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson
from starlette.responses import Response, StreamingResponse

from embedhub.errors import UnsupportedTaskError
from embedhub.hub.names import Kind
from embedhub.models import ModelSpec
from embedhub.runtime.jobs.records import Choices, Job, ModelChoice, State
from embedhub.server.hub.exchange import Exchange, answer, moment
from embedhub.server.hub.routing import HubRoute

# How often a job is looked at for who watches it, and how long nothing is said if nothing happens.
_LOOK_SECONDS = 0.5
_SILENT_SECONDS = 15.0


class JobRequest(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a job, all of it optional.

    Attributes:
        model: the name of the model; the server's default one if there is none.
    """

    model: str | None = None


def create(exchange: Exchange) -> Response:
    """A new job, which waits for its file."""
    wanted: JobRequest = exchange.json(JobRequest)
    return answer(told(exchange, new_job(exchange, wanted)), status=201)


def new_job(exchange: Exchange, wanted: Choices) -> Job:
    """The same, as the job."""
    payer = exchange.gate.quota.consumer(exchange.identity.account, exchange.identity.address)
    return exchange.runner.jobs.create(exchange.actor, payer, wanted)


def every(exchange: Exchange) -> Response:
    """Somebody's jobs, newest first."""
    return answer([told(exchange, job) for job in exchange.runner.jobs.of(exchange.actor)])


def one(exchange: Exchange) -> Response:
    """One of them."""
    return answer(told(exchange, job_of(exchange)))


async def receive(exchange: Exchange) -> Response:
    """Its file, as the body; the query says how it is called."""
    name = exchange.query.get("filename", "")
    announced = exchange.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 16 else None
    job = await exchange.run(job_of, exchange)
    upload = await exchange.run(exchange.runner.jobs.receive, job, name, size)
    try:
        await exchange.pour(upload.write)
        job = await exchange.run(upload.finish)
    finally:
        await exchange.run(upload.abort)
    return answer(await exchange.run(told, exchange, job))


def preview(exchange: Exchange) -> Response:
    """What is in its file."""
    return answer(msgspec.to_builtins(exchange.runner.look(job_of(exchange))))


def start(exchange: Exchange) -> Response:
    """Embed it."""
    wanted: JobRequest = exchange.json(JobRequest)
    return answer(told(exchange, start_job(exchange, job_of(exchange), wanted)))


def start_job(exchange: Exchange, job: Job, wanted: JobRequest) -> Job:
    """The same, as the job; errors as of `Jobs.start`, and of a model that is not there."""
    choices = Choices(
        name=wanted.name,
        column=wanted.column,
        on_error=wanted.on_error,
        private=wanted.private,
        format=wanted.format,
    )
    model = _model(exchange, wanted.model or job.model)
    started = exchange.runner.jobs.start(exchange.actor, job, choices, model)
    exchange.runner.wake()
    return started


def end(exchange: Exchange) -> Response:
    """Cancel a job; forget one that is at its end, or was never started."""
    job = exchange.runner.jobs.cancel(job_of(exchange))
    return Response(status_code=204) if job is None else answer(told(exchange, job))


async def events(exchange: Exchange) -> Response:
    """What happens to it, as server-sent events, until it is at its end."""
    job = await exchange.run(job_of, exchange)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_happening(exchange, job.id), 200, headers, media_type="text/event-stream")


async def _happening(exchange: Exchange, id: str) -> AsyncIterator[bytes]:
    last, silent = b"", 0.0
    while not exchange.runner.is_stopping:
        job, said = await exchange.run(_told_now, exchange, id)
        if said != last:
            yield b"event: job\ndata: " + said + b"\n\n"
            last, silent = said, 0.0
        elif silent >= _SILENT_SECONDS:
            # For proxies that end what is silent.
            yield b": still here\n\n"
            silent = 0.0
        if job is None or job.state.ended:
            return
        await asyncio.sleep(_LOOK_SECONDS)
        silent += _LOOK_SECONDS


def _told_now(exchange: Exchange, id: str) -> tuple[Job | None, bytes]:
    job = exchange.runner.jobs.read(id)
    return job, orjson.dumps({"id": id, "state": "forgotten"} if job is None else told(exchange, job))


def job_of(exchange: Exchange) -> Job:
    """The job that the address names; errors as of `Jobs.find`."""
    return exchange.runner.jobs.find(exchange.actor, exchange.path["id"])


def models_of(exchange: Exchange) -> dict[str, ModelSpec]:
    """The models that somebody may embed with, by name, the default one first."""
    found = {name: spec for name, spec in exchange.service.loaded.available().items() if spec.kind == "embedding"}
    default = exchange.service.loaded.default
    return {name: found[name] for name in sorted(found, key=lambda name: (name != default, name))}


def _model(exchange: Exchange, name: str) -> ModelChoice:
    spec = exchange.service.loaded.find_available(name or exchange.service.loaded.default)
    if spec.kind != "embedding":
        raise UnsupportedTaskError(f"{spec.id} gives labels and no vectors: choose an embedding model")
    return ModelChoice(spec.id, spec.source, spec.revision, spec.dimensions)


def told(exchange: Exchange, job: Job) -> dict[str, Any]:
    """A job as it is answered."""
    jobs = exchange.runner.jobs
    said: dict[str, Any] = {
        "id": job.id,
        "state": str(job.state),
        "user": job.user,
        "created_at": moment(job.created_at),
        "changed_at": moment(job.changed_at),
        "file": {"name": job.filename, "size": job.size} if job.filename else None,
        "dataset": job.dataset or None,
        "column": job.column,
        "on_error": job.on_error,
        "private": job.private,
        "model": job.model or None,
        "url": f"{exchange.base}/jobs/{job.id}",
    }
    if job.state.active:
        progress = jobs.progress(job.id)
        said["cancelling"] = jobs.is_cancelled(job.id)
        said["ahead"] = jobs.ahead(job) if job.state is State.QUEUED else 0
        said["progress"] = {
            "stage": "hosting" if job.state is State.PUBLISHING else progress.stage,
            "rows": progress.rows_done,
            "total": progress.rows_total,
            "rows_per_second": progress.rate,
            "seconds_left": progress.seconds_left,
        }
    if job.state is State.DONE:
        said["rows"] = job.rows
        said["commit"] = job.commit
        said["dataset_url"] = f"{exchange.base}/{Kind.DATASET.prefix}{job.dataset}"
    if job.error:
        said["error"] = {"code": job.code, "message": job.error}
    return said


ROUTES = (
    HubRoute("POST", "/api/jobs", create, scope="write"),
    HubRoute("GET", "/api/jobs", every),
    HubRoute("GET", "/api/jobs/{id}", one),
    HubRoute("DELETE", "/api/jobs/{id}", end, scope="write"),
    HubRoute("PUT", "/api/jobs/{id}/input", receive, scope="write", streams=True),
    HubRoute("GET", "/api/jobs/{id}/preview", preview),
    HubRoute("POST", "/api/jobs/{id}/start", start, scope="write"),
    HubRoute("GET", "/api/jobs/{id}/events", events),
)
