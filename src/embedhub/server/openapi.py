"""The document of the API (OpenAPI 3.1), made of the endpoints and of the types that parse their bodies.

Pure. An error's body is not described by hand either: each dialect's own function is asked what it would send.
"""

import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import orjson

from embedhub import __version__
from embedhub.errors import DatasetError, EmbedhubError
from embedhub.server.endpoint import Endpoint
from embedhub.server.errors import Failure, status_of

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

# Of a template's part that may hold slashes, as Starlette writes it.
_WITH_SLASHES = re.compile(r"\{(\w+):path\}")

_REASONS = {
    400: "The request is not what the route reads.",
    401: "No token, or one that is not valid.",
    403: "The token does not allow this.",
    404: "There is no such model.",
    408: "The request took too long.",
    413: "More than the limits allow.",
    422: "The request is not what the route reads.",
    424: "The computation failed.",
    429: "Too much at once; try again after `retry-after` seconds.",
    500: "The computation failed.",
    501: "The model cannot be run here.",
    503: "Not ready, or about to stop; try again after `retry-after` seconds.",
    507: "No space is left.",
}


def document(endpoints: Iterable[Endpoint], *, bearer: bool) -> dict[str, Any]:
    """The document.

    Args:
        endpoints: in the order of their routes; of several with one method and path the first is the one that answers.
        bearer: whether anybody needs a token.
    """
    first: dict[tuple[str, str], Endpoint] = {}
    for endpoint in endpoints:
        first.setdefault((_PARAMETER.sub(r"{\1}", endpoint.path), endpoint.method), endpoint)
    types = {
        id(type): type
        for endpoint in first.values()
        for type in (*_parts(endpoint.request), *_parts(endpoint.response))
    }
    found, components = msgspec.json.schema_components(types.values(), ref_template=_REFERENCE)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, Any] = {}
    for (path, method), endpoint in first.items():
        paths.setdefault(path, {})[method.lower()] = _operation(endpoint, path, schemas, bearer=bearer)
    shown: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "embedhub", "version": __version__, "description": "Vectors of texts, in several accents."},
        "tags": [{"name": name} for name in dict.fromkeys(endpoint.dialect for endpoint in first.values())],
        "paths": paths,
        "components": {"schemas": components},
    }
    if bearer:
        shown["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return shown


def _parts(type: Any) -> tuple[Any, ...]:
    """A union's members, which msgspec describes one by one only; a type itself; nothing for None."""
    if type is None:
        return ()
    return get_args(type) if get_origin(type) in (Union, UnionType) else (type,)


def _schema(type: Any, schemas: dict[int, Schema]) -> Schema:
    parts = [schemas[id(part)] for part in _parts(type)]
    return parts[0] if len(parts) == 1 else {"anyOf": parts} if parts else {}


def _operation(endpoint: Endpoint, path: str, schemas: dict[int, Schema], *, bearer: bool) -> dict[str, Any]:
    answer: Schema = {"description": endpoint.summary}
    shown = _schema(endpoint.response, schemas)
    answer["content"] = {endpoint.content_type: {"schema": shown} if shown else {}}
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{path}").strip("_"),
        "summary": endpoint.summary,
        "description": (endpoint.answer.__doc__ or "").strip(),
        "tags": [endpoint.dialect],
        "parameters": [_parameter(name, endpoint.path) for name in _PARAMETER.findall(endpoint.path)],
        "responses": {"200": answer, **_failures(endpoint)},
    }
    if endpoint.method == "POST":
        content: Schema = {"schema": _schema(endpoint.request, schemas)}
        if endpoint.example is not None:
            content["example"] = endpoint.example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if bearer and endpoint.scope != "public":
        operation["security"] = [{"token": []}]
    return operation


def _parameter(name: str, path: str) -> dict[str, Any]:
    slashes = name in _WITH_SLASHES.findall(path)
    described = {"description": "May hold slashes, as in `organisation/name`."} if slashes else {}
    # What Starlette's patterns let through.
    schema = {"type": "string", "pattern": r"^[^\n]+$" if slashes else "^[^/]+$"}
    return {"name": name, "in": "path", "required": True, "schema": schema, **described}


def _failures(endpoint: Endpoint) -> dict[str, Any]:
    """Responses by status, each with the bodies that the endpoint's dialect makes of our errors."""
    bodies: dict[int, list[Schema]] = {}
    codes: dict[int, list[str]] = {}
    for code in _codes(endpoint):
        failure = Failure(code, "what is wrong, and the way out", status_of(code), retry_after=1.0)
        reply = endpoint.fail(failure)
        schema = _schema_of_example(orjson.loads(reply.body)) if reply.body else {}
        bodies.setdefault(failure.status, [])
        codes.setdefault(failure.status, []).append(code)
        if schema not in bodies[failure.status]:
            bodies[failure.status].append(schema)
    return {
        str(status): {
            "description": f"{_REASONS.get(status, 'An error.')} `x-error-code`: {', '.join(codes[status])}.",
            "content": {"application/json": {"schema": _any_of(bodies[status])}},
        }
        for status in sorted(bodies)
    }


def _codes(endpoint: Endpoint) -> Iterator[str]:
    """Codes of the errors that a request can end with."""
    if endpoint.method != "POST":
        yield from ("error", "unauthorized", "forbidden", "rate_limited", "model_not_found", "request", "shutting_down")
        return
    waiting = [EmbedhubError]
    while waiting:
        found = waiting.pop(0)
        if not issubclass(found, DatasetError):
            yield found.code
            waiting += found.__subclasses__()


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _schema_of_example(value: Any) -> Schema:
    """What a body looks like, of one that is."""
    match value:
        case dict():
            properties = {name: _schema_of_example(each) for name, each in value.items()}
            return {"type": "object", "properties": properties, "required": list(properties)}
        case list():
            return {"type": "array", "items": _schema_of_example(value[0])} if value else {"type": "array"}
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
    # Null now, and something another time.
    return {}
