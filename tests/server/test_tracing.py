"""Spans: sent where they should go, below the caller's, and without the library the server says what to install."""

import importlib.util
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.server.conftest import Start

from embedhub.config import Settings, read_settings
from embedhub.errors import MissingExtraError, SettingError
from embedhub.server.tracing import Tracer

INSTALLED = importlib.util.find_spec("opentelemetry") is not None

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def test_without_the_library_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'embedhub\[otel\]'"):
        Tracer("http://127.0.0.1:4318")


def test_an_address_is_an_address() -> None:
    assert read_settings({"EMBEDHUB_OTLP_ENDPOINT": "http://127.0.0.1:1/"}).otlp_endpoint == "http://127.0.0.1:1"
    assert Settings().otlp_endpoint == ""
    with pytest.raises(SettingError):
        read_settings({"EMBEDHUB_OTLP_ENDPOINT": "127.0.0.1:4318"})


class Collected:
    """A place that spans are sent to."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.came = threading.Event()
        collected = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collected.bodies.append((self.path, body))
                self.send_response(200)
                self.end_headers()
                collected.came.set()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collected() -> Iterator[Collected]:
    collected = Collected()
    yield collected
    collected.server.shutdown()
    collected.server.server_close()


@pytest.mark.skipif(not INSTALLED, reason="needs embedhub[otel]")
def test_a_request_is_a_span_below_the_callers(start_server: Start, tiny_folder: Path, collected: Collected) -> None:
    address = start_server(
        EMBEDHUB_MODEL=str(tiny_folder),
        EMBEDHUB_OTLP_ENDPOINT=f"http://127.0.0.1:{collected.server.server_port}",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    assert httpx.post(f"{address}/v1/embeddings", json={"input": "this"}, headers=headers).status_code == 200
    assert collected.came.wait(30)
    path, body = collected.bodies[0]
    assert path == "/v1/traces"
    for part in (bytes.fromhex(TRACE), bytes.fromhex(PARENT), b"POST /v1/embeddings", b"embedhub.tokens", b"mine"):
        assert part in body
