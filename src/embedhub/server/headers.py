"""A request's headers as a mapping; what an answer says of itself in headers: times, tokens, what was cut.

Names are those of text-embeddings-inference and of the Hugging Face Inference API where they have one. Times are
whole milliseconds; only Hugging Face's own `x-compute-time` is seconds.
"""

from collections.abc import Iterable

from embedhub.errors import RequestError
from embedhub.runtime.answers import Answer

# Headers by which a request is judged: of two that differ, whoever stands in between may believe the other one.
_ONCE = frozenset({"authorization", "host", "origin"})

# A header is no place for ten thousand numbers; the count beside it is always whole.
_LISTED = 100


def request_headers(sent: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """A request's headers by lower-case name; of several of one name, the last.

    Raises:
        RequestError: two that differ, of a name that may come once only.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in sent:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in _ONCE and headers.get(name, value) != value:
            raise RequestError(f"there are two different {name} headers; send one")
        headers[name] = value
    return headers


def answer_headers(answer: Answer, *, compute_time_in_seconds: bool = False) -> dict[str, str]:
    """Headers of an answer."""
    times = answer.timings
    compute = times.tokenization + times.inference
    headers = {
        "x-model": answer.loaded.name.encode("ascii", "backslashreplace").decode(),
        "x-compute-type": "cpu",
        "x-compute-time": f"{compute:.3f}" if compute_time_in_seconds else _milliseconds(compute),
        "x-compute-characters": str(answer.characters),
        "x-compute-tokens": str(answer.read_tokens),
        "x-total-time": _milliseconds(times.total),
        "x-tokenization-time": _milliseconds(times.tokenization),
        "x-queue-time": _milliseconds(times.queue),
        "x-inference-time": _milliseconds(times.inference),
        "x-cache": "miss" if not answer.cached else "hit" if answer.cached == answer.jobs else "partial",
        "x-cache-hits": str(answer.cached),
        "x-truncated-count": str(len(answer.truncated)),
    }
    if answer.truncated:
        more = ["..."] if len(answer.truncated) > _LISTED else []
        headers["x-truncated"] = ",".join([*map(str, answer.truncated[:_LISTED]), *more])
    if answer.query_truncated:
        headers["x-truncated-query"] = "true"
    if answer.method:
        headers["x-method"] = answer.method
    return headers


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
