"""Clients that break the rules, on bare sockets: the server stays up, stays small, and answers the next one."""

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.processes import BODY, EMBED, Running, eventually, running

PATIENCE = 2
CONTENT = json.dumps(BODY).encode()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Running]:
    """A server that waits two seconds and takes 4 MB."""
    folder = tmp_path_factory.mktemp("impatient")
    with running(folder, tiny_folder, "--body-seconds", str(PATIENCE), "--max-body-mb", "4") as server:
        yield server


@pytest.fixture(autouse=True)
def the_next_request_works(impatient: Running) -> Iterator[None]:
    """Whatever a test did, the server is as it was."""
    yield
    assert impatient.embed().status_code == 200
    assert impatient.process.poll() is None
    assert "Traceback" not in impatient.told()
    assert "a bug" not in impatient.told()
    assert eventually(lambda: connections(impatient) < 20, PATIENCE + 8)


def connections(server: Running) -> int:
    """Sockets that the server holds."""
    descriptors = Path(f"/proc/{server.process.pid}/fd").iterdir()
    count = 0
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def request(body: bytes = CONTENT, *headers: str, method: str = "POST", path: str = EMBED) -> bytes:
    """A request as bytes, with its length unless a header says otherwise."""
    length = [] if any(header.lower().startswith(("content-length", "transfer")) for header in headers) else [len(body)]
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, *(f"Content-Length: {each}" for each in length)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read(connection: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            received += part
    return received


def answered(server: Running, *parts: bytes) -> bytes:
    """What the server says to bytes before it hangs up."""
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        return read(connection)


def one_answer(connection: socket.socket) -> bytes:
    """One answer on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(1 << 16)
        assert part, received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\xff\xfe" * 1000,
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\x00y\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(impatient: Running, garbage: bytes) -> None:
    assert answered(impatient, garbage).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        [b"GET / HTTP/1.1\r\n", b"X: " + b"y" * (8 << 20)],
        [b"GET / HTTP/1.1\r\n", *[b"X-%d: y\r\n" % number for number in range(20_000)]],
        [b"GET / HTTP/1.1\r\n", b"".join(b"X-%d: y\r\n" % number for number in range(250)) + b"\r\n"],
        [b"GET /" + b"a" * (8 << 20)],
        [b"GET / HTTP/1.1\r\n", b"X" * (8 << 20)],
    ],
)
def test_heads_without_end_are_refused(impatient: Running, head: list[bytes]) -> None:
    before = impatient.memory()
    told = answered(impatient, *head)
    # Whoever still sends when the server hangs up may lose what it said.
    assert told == b"" or told.startswith(b"HTTP/1.1 431 ")
    assert impatient.memory() < before + (32 << 20)


def test_a_large_but_honest_head_is_read(impatient: Running) -> None:
    headers = [f"X-{number}: {'y' * 300}" for number in range(150)]
    whole = request(CONTENT, *headers, "Connection: close")
    assert answered(impatient, whole).startswith(b"HTTP/1.1 200 ")
    pieces = [whole[start : start + 5000] for start in range(0, len(whole), 5000)]
    assert answered(impatient, *pieces).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("start", [b"", b"\r\n", b"POST /v1", b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_never_ends_is_ended(impatient: Running, start: bytes) -> None:
    with impatient.connect() as connection:
        connection.sendall(start)
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            connection.settimeout(0.2)
            # A byte now and then must not keep it open.
            while time.monotonic() - begun < 30:
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
                if start:
                    connection.sendall(b"\r" if start == b"\r\n" else b"y")
        assert time.monotonic() - begun < 20


def test_many_slow_connections_keep_nobody_out(impatient: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            connection = stack.enter_context(impatient.connect())
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n")
        assert impatient.embed().status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        request(CONTENT, f"Content-Length: {len(CONTENT) + 10}"),
        request(b'5\r\n{"inp\r\n', "Transfer-Encoding: chunked"),
    ],
)
def test_a_body_that_never_ends_is_a_timeout(impatient: Running, sent: bytes) -> None:
    with impatient.connect() as connection:
        connection.sendall(sent)
        told = one_answer(connection)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"EMBEDHUB_BODY_SECONDS" in told


def test_a_body_that_trickles_is_a_timeout(impatient: Running) -> None:
    with impatient.connect() as connection:
        connection.sendall(request(b"", "Transfer-Encoding: chunked"))
        connection.settimeout(0.2)
        received, begun = b"", time.monotonic()
        while not received and time.monotonic() - begun < 30:
            connection.sendall(b"1\r\n \r\n")
            with contextlib.suppress(TimeoutError):
                received = connection.recv(1 << 16)
    assert received.startswith(b"HTTP/1.1 408 ")


def test_a_body_without_end_is_too_large(impatient: Running) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    told = answered(impatient, request(b"", "Transfer-Encoding: chunked"), *[chunk] * 200)
    assert told == b"" or told.startswith(b"HTTP/1.1 413 ")
    with impatient.connect() as connection:
        connection.sendall(request(b"", f"Content-Length: {5 << 20}"))
        stated = one_answer(connection)
    assert stated.startswith(b"HTTP/1.1 413 ")
    assert b"EMBEDHUB_MAX_BODY_MB" in stated


def test_a_refused_body_is_not_waited_for(impatient: Running) -> None:
    with impatient.connect() as connection:
        connection.sendall(request(b"", f"Content-Length: {5 << 20}"))
        begun = time.monotonic()
        connection.settimeout(0.2)
        received = b""
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 30:
                connection.sendall(b" " * 100)
                with contextlib.suppress(TimeoutError):
                    part = connection.recv(1 << 16)
                    received += part
                    if not part:
                        break
        assert received.startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - begun < 20


def test_bombs_do_not_go_off(impatient: Running) -> None:
    before = impatient.memory()
    bomb = gzip.compress(b" " * (256 << 20), 9)
    several = gzip.compress(b" " * (3 << 20)) * 100
    for body in (bomb, several):
        answer = httpx.post(impatient.address + EMBED, content=body, headers={"Content-Encoding": "gzip"}, timeout=30)
        assert answer.status_code == 413
    assert impatient.memory() < before + (64 << 20)


def test_a_length_that_is_too_short_spoils_only_its_own_connection(impatient: Running) -> None:
    told = answered(impatient, request(CONTENT, f"Content-Length: {len(CONTENT) - 3}"))
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in told


@pytest.mark.parametrize("body", [CONTENT, json.dumps({"input": ["that it was " * 20] * 300}).encode()])
def test_whoever_hangs_up_is_forgotten(impatient: Running, body: bytes) -> None:
    whole = request(body)
    for length in (10, 60, len(whole) - 5, len(whole)):
        for _ in range(5):
            with impatient.connect() as connection:
                connection.sendall(whole[:length])
                # A reset, as when a process dies.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def test_requests_before_the_answer_are_answered_in_order(impatient: Running) -> None:
    bodies = [json.dumps({"input": "the one", "model": "", "dimensions": size}).encode() for size in (3, 5, 7)]
    last = request(b"", "Connection: close", method="GET", path="/nowhere")
    told = answered(impatient, b"".join(map(request, bodies)) + last)
    answers = told.split(b"HTTP/1.1 ")[1:]
    assert [answer.split()[0] for answer in answers] == [b"200", b"200", b"200", b"404"]
    vectors = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers[:3]]
    assert [len(vector["data"][0]["embedding"]) for vector in vectors] == [3, 5, 7]


def test_a_flood_of_requests_on_one_connection_is_ended(impatient: Running) -> None:
    before = impatient.memory()
    answered(impatient, b"GET / HTTP/1.1\r\n\r\n" * 200_000)
    assert impatient.memory() < before + (64 << 20)


def test_a_client_that_does_not_read_is_ended(impatient: Running) -> None:
    body = json.dumps({"input": ["the one"] * 20_000}).encode()
    with impatient.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request(body))
        assert eventually(lambda: _waiting(impatient, connection), 30)
        assert eventually(lambda: not _waiting(impatient, connection), 30)


def _waiting(server: Running, connection: socket.socket) -> bool:
    """Whether the server's end of a connection has bytes that nobody takes."""
    ours = connection.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote, state = (int(fields[n].rpartition(":")[2], 16) for n in (1, 2, 3))
        if (local, remote, state) == (server.port, ours, 1):
            return int(fields[4].partition(":")[0], 16) > 0
    return False


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: \x01\x02"],
        ["Origin: \xff\xfe"],
        ["Origin: http://[::1", "Access-Control-Request-Headers: \x7f"],
        ["Authorization: Bearer \xff"],
        ["Host: [", "Host: ]"],
        ["Content-Encoding: \xe4"],
        ["Content-Encoding: gzip, gzip"],
        ["Expect: 200-maybe"],
        ["Upgrade: websocket", "Connection: Upgrade"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"],
        ["Content-Type: multipart/form-data; boundary=x"],
        ["Content-Type: \x80"],
    ],
)
def test_odd_headers_are_no_crash(impatient: Running, headers: list[str]) -> None:
    for method in ("POST", "OPTIONS"):
        told = answered(impatient, request(CONTENT, *headers, "Connection: close", method=method))
        assert told.split()[1] in (b"200", b"204", b"400", b"403"), told


@pytest.mark.parametrize("body", [CONTENT, b""])
def test_an_upgrade_is_ignored_and_the_connection_goes_on(impatient: Running, body: bytes) -> None:
    java = request(body, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQBAAAA")
    plain = one_exchange(impatient, [request(body)] * 2)
    assert one_exchange(impatient, [java, request(body)]) == plain
    assert one_exchange(impatient, [java[:40], java[40:-20], java[-20:] + request(body)], 2) == plain
    assert plain[0].split()[0] == (b"200" if body else b"400")


def one_exchange(server: Running, sent: list[bytes], answers: int = 0) -> list[bytes]:
    """First lines of the answers on one connection."""
    with server.connect() as connection:
        if answers:
            for part in sent:
                connection.sendall(part)
            received = b""
            while received.count(b"HTTP/1.1 ") < answers:
                received += connection.recv(1 << 16)
            return [answer.partition(b"\r\n")[0] for answer in received.split(b"HTTP/1.1 ")[1:]]
        lines = []
        for part in sent:
            connection.sendall(part)
            lines.append(one_answer(connection).partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 "))
        return lines


def test_this_is_no_proxy(impatient: Running) -> None:
    assert answered(impatient, b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_curl_sends_json_as_a_form(impatient: Running) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "", "application/json; charset=utf-8"):
        assert impatient.embed(**{"Content-Type": kind}).status_code == 200


def test_http_1_0_is_answered_and_closed(impatient: Running) -> None:
    head = f"POST {EMBED} HTTP/1.0\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode()
    assert answered(impatient, head + CONTENT).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(impatient: Running) -> None:
    with impatient.connect() as connection:
        connection.sendall(request(b"", "Expect: 100-continue", f"Content-Length: {len(CONTENT)}"))
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(CONTENT)
        assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
