"""Nobody waits long for the event loop, whatever somebody else has sent or is sent."""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from embedhub.config import Settings
from embedhub.server.app import build_app
from embedhub.server.dialects.tei import wire
from embedhub.server.endpoint import written
from embedhub.tasks import EmbedTexts

MEGABYTE = 1 << 20

# Some tens of milliseconds are meant; decoded in the loop these bodies take 0.9 to 4 s.
LAG_SECONDS = 0.5


async def watched(work: Awaitable[Any]) -> tuple[Any, float]:
    """The work's result, and the longest time in seconds that the loop did not turn meanwhile.

    Of the process's own time: what a busy machine does with the rest is not ours.
    """
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        before = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            longest = max(longest, time.process_time() - before)
            before = time.process_time()

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        return await work, longest
    finally:
        watching.cancel()


async def answered(folder: Path, home: Path, path: str, body: bytes) -> tuple[httpx.Response, float]:
    """The answer of a server of its own, and the longest lag while it was made."""
    app = build_app(Settings(home=home, model=str(folder), dtype="f32", offline=True))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            await client.post(path, content=b'{"input":"the","inputs":"the"}')
            answer, lag = await watched(client.post(path, content=body))
            return answer, lag


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", b'{"input":[' + b'"a",' * (4 * MEGABYTE - 10) + b'"a"]}'),
        ("/v1/embeddings", b'{"input":[' + b"[1]," * (4 * MEGABYTE - 10) + b"[1]]}"),
        ("/models/any", b'{"inputs":[' + b'"","\\"",' * (2 * MEGABYTE - 10) + b'""]}'),
        ("/v1/rerank", b'{"query":"a","documents":[' + b'{"":1},' * (2 * MEGABYTE) + b'"a"]}'),
    ],
)
def test_bodies_of_tiny_values_are_refused_before_they_are_decoded(
    tmp_path: Path, tiny_folder: Path, path: str, body: bytes
) -> None:
    answer, lag = asyncio.run(answered(tiny_folder, tmp_path, path, body))
    assert answer.status_code == 413
    assert "EMBEDHUB_MAX_TEXTS" in answer.text
    assert lag < LAG_SECONDS


def test_texts_that_look_like_json_are_read(tmp_path: Path, tiny_folder: Path) -> None:
    body = orjson.dumps({"input": ['[{"a":1},[2,3],\\,"\\"]' * 15_000]})
    answer, lag = asyncio.run(answered(tiny_folder, tmp_path, "/v1/embeddings", body))
    assert answer.status_code == 200
    assert lag < LAG_SECONDS


def test_half_a_pair_in_a_large_body_is_found_at_once(tmp_path: Path, tiny_folder: Path) -> None:
    pairs = b"\\ud83d\\ude00" * MEGABYTE
    for end in (b'\\ud83d"}', b'\\ud83d"}' + b" " * 20, b'\\ud83dabcdefgh"}'):
        answer, lag = asyncio.run(answered(tiny_folder, tmp_path, "/v1/embeddings", b'{"input":"' + pairs + end))
        assert answer.status_code == 400
        assert "surrogate pair" in answer.text
        assert lag < LAG_SECONDS


def test_long_answers_are_written_beside_others(tmp_path: Path, tiny_folder: Path) -> None:
    # The numbers of 20,000 vectors of 384.
    vectors = np.random.default_rng(0).standard_normal((20_000, 384)).astype(np.float32)

    async def work() -> None:
        app = build_app(Settings(home=tmp_path, model=str(tiny_folder), dtype="f32", offline=True))
        async with app.router.lifespan_context(app):
            service = app.state.service
            answer = await service.run(None, EmbedTexts(["the"] * 200))
            answer.result = vectors
            reply, lag = await watched(written(service, answer, lambda: wire.result(answer)))
            begun = time.process_time()
            assert reply.body == orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
            assert lag < (time.process_time() - begun) / 2

    asyncio.run(work())
