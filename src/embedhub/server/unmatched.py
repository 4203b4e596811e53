"""Answers to requests that no endpoint answers: no such path, another method, OPTIONS, and bugs outside endpoints."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route


async def unmatched(request: Request, error: Exception) -> Response:
    """404, 405 with the methods that are allowed, or 204 to OPTIONS."""
    allowed = _methods(request.app.routes, request)
    if not allowed:
        return _failure(404, "not_found", "there is no such path; GET /docs lists those there are")
    headers = {"allow": ", ".join(sorted({*allowed, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    message = f"this method is not allowed here; use {' or '.join(sorted(allowed - {'HEAD'}))}"
    return _failure(405, "method_not_allowed", message, headers)


async def broken(request: Request, error: Exception) -> Response:
    """500, where no dialect could say it."""
    return _failure(500, "error", "unknown error")


def _methods(routes: list[BaseRoute], request: Request) -> set[str]:
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


def _failure(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    body = orjson.dumps({"error": message})
    return Response(body, status, {"x-error-code": code, **(headers or {})}, media_type="application/json")
