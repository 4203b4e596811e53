"""Answers to requests that no endpoint answers: no such path, another method, OPTIONS, and bugs outside endpoints."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from embedhub.server.dialects.openai.wire import failed as openai_failed
from embedhub.server.errors import Failure
from embedhub.server.pages import failed
from embedhub.server.web.layout import error_page

_EMBEDS = "embeds and ranks texts, and generates none"
_NO_SOUND = "reads texts only, no sound"
_NO_IMAGES = "reads and makes no images"

NOT_OFFERED = {
    **dict.fromkeys(("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"), _EMBEDS),
    **dict.fromkeys(("/generate", "/generate_stream", "/api/generate", "/v1/chat", "/v2/chat"), _EMBEDS),
    "/api/chat": _EMBEDS,
    **dict.fromkeys(
        ("/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations", "/embeddings_audio"), _NO_SOUND
    ),
    **dict.fromkeys(
        ("/v1/images/generations", "/v1/images/edits", "/v1/images/variations", "/embeddings_image"), _NO_IMAGES
    ),
    "/v1/moderations": "moderates nothing; a classifier that it serves answers on /predict",
    "/v1/batches": "has no batches: /v1/embeddings takes as many texts as one likes, and POST /api/jobs whole files",
    "/v1/files": "keeps files in repositories of its Hub; POST /api/jobs takes one to embed",
    "/v1/classify": "does not speak this API; a classifier that it serves answers on /predict",
    "/v2/classify": "does not speak this API; a classifier that it serves answers on /predict",
    "/api/embed": "does not speak Ollama's API; use POST /v1/embeddings",
    "/api/embeddings": "does not speak Ollama's API; use POST /v1/embeddings",
    "/api/tags": "does not speak Ollama's API; GET /v1/models lists its models",
}
"""Addresses of other servers whose clients come here by mistake, and what they are told."""


async def unmatched(request: Request, error: Exception) -> Response:
    """404, 405 with the methods that are allowed, or 204 to OPTIONS."""
    allowed = _methods(request.app.routes, request)
    if not allowed and request.url.path in NOT_OFFERED:
        return _failure(request, 501, "not_offered", f"this server {NOT_OFFERED[request.url.path]}")
    if not allowed:
        return _failure(request, 404, "not_found", "there is no such path; GET /docs lists those there are")
    headers = {"allow": ", ".join(sorted({*allowed, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    message = f"this method is not allowed here; use {' or '.join(sorted(allowed - {'HEAD'}))}"
    return _failure(request, 405, "method_not_allowed", message, headers)


async def broken(request: Request, error: Exception) -> Response:
    """500, where no dialect could say it."""
    return _failure(request, 500, "error", "unknown error")


def _methods(routes: list[BaseRoute], request: Request) -> set[str]:
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


def _failure(request: Request, status: int, code: str, message: str, more: dict[str, str] | None = None) -> Response:
    failure = Failure(code, message, status, headers=more or {})
    # For the log and the numbers.
    request.scope["embedhub.error"] = code
    # Who asks below this path has a client of OpenAI's.
    below_openai = request.url.path.startswith("/v1/")
    if "text/html" in request.headers.get("accept", "") and not below_openai:
        return error_page(failure, request.url.path)
    reply = (openai_failed if below_openai else failed)(failure)
    headers = {"x-error-code": code, **reply.headers, **(more or {})}
    return Response(reply.body, status, headers, media_type="application/json")
