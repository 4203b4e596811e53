"""A file's bytes from the disk to a connection by the kernel alone: no byte of it passes through Python.

Knows a connection's socket. uvicorn has no such way; where there is none (another server, another system), `send_file`
says so, and its caller writes the bytes itself.
"""

import asyncio
import os
import socket
from asyncio import Transport
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeGuard

# Sent in one go by a thread, before others have their turn.
_BURST_BYTES = 8 << 20
_CALL_BYTES = 1 << 20

_THREADS = ThreadPoolExecutor(8, "download")

CONNECTION = "embedhub.connection"


@dataclass(frozen=True, slots=True)
class Connection:
    """What is needed of one: its transport, the answer to one request, and how many seconds its client may not read.

    The answer is the request's own and not the one that uvicorn's protocol is at: a client may ask for more before it
    has the last byte.
    """

    transport: Any
    cycle: Any
    patience: float


async def send_file(connection: Connection, descriptor: int, first: int, end: int) -> int:
    """Send bytes of an open file behind what was written to the connection before; gives how many were sent.

    Fewer than asked for are sent when the client goes away or does not read for too long.
    """
    transport: Transport = connection.transport
    if not await _emptied(transport, connection.patience):
        return 0
    raw = transport.get_extra_info("socket")
    # A number of our own: the event loop keeps the transport's to itself.
    out = os.dup(raw.fileno())
    sent = 0
    try:
        while first + sent < end and not transport.is_closing():
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(_THREADS, _burst, out, descriptor, first + sent, end)
            if made < 0:
                break
            sent += made
            if first + sent < end and not await _writable(out, connection.patience):
                transport.abort()
                break
    finally:
        os.close(out)
    return sent


def _burst(out: int, descriptor: int, offset: int, end: int) -> int:
    """Send until the connection is full, for a while; gives how many bytes, or -1 if the client is gone."""
    stop = min(end, offset + _BURST_BYTES)
    sent = 0
    while offset + sent < stop:
        try:
            made = os.sendfile(out, descriptor, offset + sent, min(_CALL_BYTES, stop - offset - sent))
        except BlockingIOError:
            break
        except OSError:
            return -1
        if made == 0:
            # The file became shorter.
            return -1
        sent += made
    return sent


async def _writable(descriptor: int, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        async with asyncio.timeout(seconds):
            await ready
    except TimeoutError:
        return False
    finally:
        loop.remove_writer(descriptor)
    return True


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _emptied(transport: Transport, seconds: float) -> bool:
    """Wait until what was written before has left, so that nothing overtakes it."""
    deadline = asyncio.get_running_loop().time() + seconds
    while transport.get_write_buffer_size():
        if transport.is_closing() or asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.001)
    return not transport.is_closing()


def has_sendfile(connection: Connection | None) -> TypeGuard[Connection]:
    """Whether files can be sent so on a connection."""
    if connection is None or not hasattr(os, "sendfile"):
        return False
    transport: Transport = connection.transport
    raw = transport.get_extra_info("socket")
    return raw is not None and raw.type == socket.SOCK_STREAM and transport.get_extra_info("ssl_object") is None
