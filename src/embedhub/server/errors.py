"""From an error's code to a status: one table for all dialects.

What the body looks like is each dialect's own. A code that is not listed stands for something wrong with the input.
"""

import re
from dataclasses import dataclass, field

from embedhub.errors import (
    EmbedhubError,
    ModelError,
    ModelNotFoundError,
    ServiceError,
    SettingError,
    UnsupportedTaskError,
)

STATUSES: dict[str, int] = {
    "error": 500,
    "model": 500,
    "model_integrity": 500,
    "model_not_found": 404,
    "model_unsupported": 501,
    "missing_extra": 501,
    "model_mismatch": 409,
    "not_offered": 501,
    "model_loading": 503,
    "request_too_large": 413,
    "overloaded": 429,
    "rate_limited": 429,
    "unauthorized": 401,
    "forbidden": 403,
    "request_timeout": 408,
    "computation": 500,
    "shutting_down": 503,
    "job": 409,
    "job_not_found": 404,
    "hub_database": 500,
    "hub_storage": 500,
    "signature": 403,
    "storage_full": 507,
    "repository_not_found": 404,
    "repository_gated": 403,
    "namespace_not_found": 404,
    "revision_not_found": 404,
    "entry_not_found": 404,
    "discussion_not_found": 404,
    "hub": 500,
    "hub_conflict": 409,
    "hub_path": 422,
    "stale_parent": 412,
}

_BAD_INPUT = 400

# The folders of a path, at the beginning of a word.
_FOLDERS = re.compile(r"(?<![^\s(`'\"])/(?:[^\s/:,;]+/)+")


@dataclass
class Failure:
    """An error on its way into a body.

    Attributes:
        code: of `errors`.
        message: one line.
        status: of HTTP.
        retry_after: seconds after which it is worth to try again, if it is.
        headers: to be sent with it.
    """

    code: str
    message: str
    status: int
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


def status_of(code: str) -> int:
    """The status that stands for an error's code."""
    return STATUSES.get(code, _BAD_INPUT)


def without_folders(message: str) -> str:
    """The message with the last part of each path only: where a server keeps its files is nobody's business."""
    return _FOLDERS.sub("", message)


def failure_of(error: EmbedhubError) -> Failure:
    """An error as it is answered."""
    message = " ".join(str(error).split())
    if isinstance(error, ModelError | SettingError | UnsupportedTaskError) and not isinstance(
        error, ModelNotFoundError
    ):
        message = without_folders(message)
    failure = Failure(error.code, message, status_of(error.code))
    failure.headers["x-error-code"] = error.code
    if isinstance(error, ServiceError) and error.retry_after is not None:
        failure.retry_after = error.retry_after
        failure.headers["retry-after"] = str(max(1, round(error.retry_after)))
    if failure.status == 401:
        failure.headers["www-authenticate"] = "Bearer"
    return failure
