"""What an answer says of itself in headers: times, tokens, what was cut, what was remembered.

Names are those of text-embeddings-inference and of the Hugging Face Inference API where they have one. Times are
whole milliseconds; only Hugging Face's own `x-compute-time` is seconds.
"""

from embedhub.runtime.service import Answer

# A header is no place for ten thousand numbers; the count beside it is always whole.
_LISTED = 100


def answer_headers(answer: Answer, *, compute_time_in_seconds: bool = False) -> dict[str, str]:
    """Headers of an answer."""
    times = answer.timings
    compute = times.tokenization + times.inference
    headers = {
        "x-model": answer.loaded.name.encode("ascii", "backslashreplace").decode(),
        "x-compute-type": "cpu",
        "x-compute-time": f"{compute:.3f}" if compute_time_in_seconds else _milliseconds(compute),
        "x-compute-characters": str(answer.characters),
        "x-compute-tokens": str(int(answer.tokens.sum())),
        "x-total-time": _milliseconds(times.total),
        "x-tokenization-time": _milliseconds(times.tokenization),
        "x-queue-time": _milliseconds(times.queue),
        "x-inference-time": _milliseconds(times.inference),
        "x-cache": "miss" if not answer.cached else "hit" if answer.cached == answer.jobs else "partial",
        "x-cache-hits": str(answer.cached),
        "x-truncated-count": str(len(answer.truncated)),
    }
    if answer.truncated:
        headers["x-truncated"] = ",".join(map(str, answer.truncated[:_LISTED]))
    if answer.query_truncated:
        headers["x-truncated-query"] = "true"
    if answer.method:
        headers["x-method"] = answer.method
    return headers


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
