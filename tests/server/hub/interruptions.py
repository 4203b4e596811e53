"""A line between a client and a server that breaks off in the middle of an answer, as lines do."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PIECE_BYTES = 64 << 10


@dataclass
class Line:
    """What passed.

    Attributes:
        port: where clients connect.
        limits: of each connection to come that breaks off, how many bytes of answers it lets through; others do all.
        requests: what clients sent, a connection each.
        answered: how many bytes came back, a connection each.
    """

    port: int
    limits: list[int] = field(default_factory=list)
    requests: list[bytearray] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    @property
    def address(self) -> str:
        """To be taken for the server's."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def breaking_line(server_port: int) -> Iterator[Line]:
    """A line to a server of this machine while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = Line(listening.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listening, server_port, line))
        thread.start()
        try:
            yield line
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listening: socket.socket, server_port: int, line: Line) -> None:
    with contextlib.ExitStack() as stack:
        threads: list[threading.Thread] = []
        ends: list[socket.socket] = []
        while True:
            try:
                client = stack.enter_context(listening.accept()[0])
            except OSError:
                break
            server = stack.enter_context(socket.create_connection(("127.0.0.1", server_port)))
            ends += [client, server]
            limit = line.limits.pop(0) if line.limits else None
            line.requests.append(bytearray())
            line.answered.append(0)
            number = len(line.requests) - 1
            threads.append(threading.Thread(target=_forth, args=(client, server, line.requests[number])))
            threads.append(threading.Thread(target=_back, args=(client, server, line, number, limit)))
            for thread in threads[-2:]:
                thread.start()
        # Nobody waits any more for what is still open.
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _forth(client: socket.socket, server: socket.socket, requests: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := client.recv(_PIECE_BYTES):
            requests += piece
            server.sendall(piece)
        server.shutdown(socket.SHUT_WR)


def _back(client: socket.socket, server: socket.socket, line: Line, number: int, limit: int | None) -> None:
    with contextlib.suppress(OSError):
        while piece := server.recv(_PIECE_BYTES):
            if limit is not None:
                piece = piece[: limit - line.answered[number]]
            client.sendall(piece)
            line.answered[number] += len(piece)
            if line.answered[number] == limit:
                break
        client.shutdown(socket.SHUT_RDWR)
        server.shutdown(socket.SHUT_RDWR)
