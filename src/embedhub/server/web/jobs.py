"""From a file to a dataset: sending it, choosing what is embedded, watching the job. All of it also without scripts.

Knows forms and pages. What becomes of a job, `runtime.jobs` knows.
"""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import RedirectResponse, Response

from embedhub.datasets.source import SUFFIXES
from embedhub.errors import EmbedhubError, RequestError, RequestTooLargeError, UnauthorizedError
from embedhub.runtime.jobs.records import Choices, Job, Preview, State, suggested_name
from embedhub.runtime.jobs.store import Upload
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.jobs import JobRequest, job_of, models_of, new_job, start_job, told
from embedhub.server.hub.layer import actor_of
from embedhub.server.hub.routing import HubRoute
from embedhub.server.sessions import PROOF_FIELD, PROOF_HEADER
from embedhub.server.web.layout import HEADERS, page
from embedhub.server.web.multipart import Part, boundary_of, read_form

_FILE_FIELD = "file"
_LONGEST_FIELD = 4096

_WORDS = {
    State.WAITING: "Waiting for its file",
    State.READY: "Ready to start",
    State.QUEUED: "Waiting for its turn",
    State.RUNNING: "Embedding",
    State.PUBLISHING: "Almost there",
    State.DONE: "Done",
    State.FAILED: "That did not work",
    State.CANCELLED: "Cancelled",
}


def new(exchange: Exchange) -> Response:
    """The page that takes a file."""
    _demand_writer(exchange)
    return _new(exchange)


async def send(exchange: Exchange) -> Response:
    """A file, of a form; who sent it chooses next what is embedded."""
    try:
        job = await _sent(exchange)
    except UnauthorizedError:
        raise
    except EmbedhubError as error:
        failure = failure_of(error)
        return await exchange.run(lambda: _new(exchange, failure.message, failure.status))
    return _to(job)


def watch(exchange: Exchange) -> Response:
    """A job: what can be chosen, how far it is, how it ended."""
    job = job_of(exchange)
    return _job(exchange, job)


def begin(exchange: Exchange) -> Response:
    """Start a job with what was chosen."""
    job = job_of(exchange)
    form = {name: values[-1] for name, values in exchange.form().items()}
    wanted = JobRequest(
        name=form.get("name", "").strip() or None,
        column=form.get("column") or None,
        on_error=form.get("on_error") or None,
        private="private" in form,
        model=form.get("model") or None,
    )
    try:
        return _to(start_job(exchange, job, wanted))
    except EmbedhubError as error:
        failure = failure_of(error)
        return _job(exchange, job_of(exchange), failure.message, failure.status, form)


def end(exchange: Exchange) -> Response:
    """Cancel a job, or take one off the list that is over or was never started."""
    job = exchange.runner.jobs.cancel(job_of(exchange))
    return _to(job) if job is not None else RedirectResponse("/jobs", 303, HEADERS)


def every(exchange: Exchange) -> Response:
    """The jobs of who looks."""
    _demand_writer(exchange)
    jobs = exchange.runner.jobs.of(exchange.actor)
    return page(exchange, "jobs.html", {"jobs": [_shown(exchange, job) for job in jobs]})


def _demand_writer(exchange: Exchange) -> None:
    if not exchange.actor.user:
        raise UnauthorizedError("a token is needed: it says in whose name this is")


def _to(job: Job) -> Response:
    return RedirectResponse(f"/jobs/{job.id}", 303, HEADERS)


def _new(exchange: Exchange, problem: str = "", status: int = 200) -> Response:
    shown = {
        "problem": problem,
        "suffixes": [*SUFFIXES, ".gz"],
        "largest": exchange.config.max_upload_mb << 20,
        "recent": [_shown(exchange, job) for job in exchange.runner.jobs.of(exchange.actor)[:3]],
    }
    return page(exchange, "new.html", shown, status=status)


def _job(
    exchange: Exchange, job: Job, problem: str = "", status: int = 200, form: dict[str, str] | None = None
) -> Response:
    # Whose file was no use is not looked into again.
    preview = exchange.runner.jobs.preview(job.id) if job.state is State.FAILED else None
    if job.state is State.READY:
        try:
            preview = exchange.runner.look(job)
        except EmbedhubError as error:
            job = exchange.runner.jobs.read(job.id) or job
            problem = problem or failure_of(error).message
    elif job.state is State.WAITING:
        problem = problem or "Its file did not arrive."
    shown = {
        "job": _shown(exchange, job),
        "problem": problem or job.error,
        "preview": preview,
        "models": list(models_of(exchange)) if preview is not None else [],
        "chosen": _chosen(job, preview) | (form or {}),
        "namespace": job.dataset.rpartition("/")[0] or exchange.actor.user,
    }
    return page(exchange, "job.html", shown, status=status)


def _chosen(job: Job, preview: Preview | None) -> dict[str, str]:
    return {
        "name": suggested_name(job),
        "column": job.column or (preview.suggested if preview is not None else ""),
        "on_error": "skip" if job.on_error == "fail" else job.on_error,
        "model": job.model,
        **({"private": "on"} if job.private is not False else {}),
    }


def _shown(exchange: Exchange, job: Job) -> dict[str, Any]:
    said = told(exchange, job) | {"words": _WORDS[job.state], "ended": job.state.ended, "active": job.state.active}
    progress = said.setdefault("progress", None)
    said["left"] = time_left(progress["seconds_left"]) if progress else ""
    said["title"] = job.dataset or job.filename or job.id
    return said


def time_left(seconds: float | None) -> str:
    """A time for people: `about 3 minutes`."""
    if seconds is None:
        return ""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"about {round(seconds / size)} {unit}s"
    return f"about {max(1, round(seconds))} second{'' if round(seconds) <= 1 else 's'}"


# -- a form with a file


async def _sent(exchange: Exchange) -> Job:
    fields: dict[str, bytes] = {}
    parts = read_form(exchange.pieces(), boundary_of(exchange.headers.get("content-type", "")))
    async for each in parts:
        if isinstance(each, bytes):
            name = next(reversed(fields), "")
            fields[name] = fields.get(name, b"") + each
            if len(fields[name]) > _LONGEST_FIELD:
                raise RequestTooLargeError("a field of the form is too long")
        elif each.filename is None:
            fields.pop(each.name, None)
            fields[each.name] = b""
        elif each.name != _FILE_FIELD or not each.filename:
            raise RequestError("choose a file first")
        else:
            # What proves that the form is ours stands before the file.
            _admit(exchange, fields.get(PROOF_FIELD, b"").decode("utf-8", "replace"))
            return await _received(exchange, each.filename, parts)
    raise RequestError("choose a file first")


def _admit(exchange: Exchange, proof: str) -> None:
    headers = {**exchange.headers, PROOF_HEADER: proof}
    exchange.identity = exchange.gate.admit(headers, "write", exchange.identity.address, counts=False)
    exchange.actor = actor_of(exchange.hub, exchange.gate, exchange.identity)


async def _received(exchange: Exchange, filename: str, parts: AsyncIterator[Part | bytes]) -> Job:
    jobs = exchange.runner.jobs
    job = await exchange.run(new_job, exchange, Choices())
    try:
        upload: Upload = await exchange.run(jobs.receive, job, filename, None)
        try:
            async for piece in parts:
                if isinstance(piece, Part):
                    break
                await exchange.run(upload.write, piece)
            return await exchange.run(upload.finish)
        finally:
            await exchange.run(upload.abort)
    except BaseException:
        # Nobody knows of it yet.
        await exchange.run(jobs.forget, job.id)
        raise


ROUTES = (
    HubRoute("GET", "/new", new, page=True),
    HubRoute("POST", "/new", send, streams=True, page=True),
    HubRoute("GET", "/jobs", every, page=True),
    HubRoute("GET", "/jobs/{id}", watch, page=True),
    HubRoute("POST", "/jobs/{id}", begin, scope="write", page=True),
    HubRoute("POST", "/jobs/{id}/end", end, scope="write", page=True),
)
