"""Forms with files, as browsers send them: fields and files one after the other, in pieces of any length. Pure.

Source: RFC 7578 over RFC 2046. A part's head is bounded, its content is not: it is passed on as it comes.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from email.message import Message

from embedhub.errors import RequestError

_LONGEST_HEAD = 16_384
_MOST_PARTS = 100
_BOUNDARY = re.compile(rb"[ -~]{1,70}")

_BROKEN = "the form is not what browsers send: try again"


@dataclass(frozen=True, slots=True)
class Part:
    """A field that begins: its name, and what a file is called; None is no file."""

    name: str
    filename: str | None


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts.

    Raises:
        RequestError: this is no such form.
    """
    head = Message()
    head["content-type"] = content_type
    found = head.get_param("boundary", "")
    boundary = found.encode("utf-8", "replace") if isinstance(found, str) else b""
    if head.get_content_type() != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise RequestError("a form with a file is sent as multipart/form-data")
    return boundary


async def read_form(pieces: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[Part | bytes]:
    """Each part, followed by its content in pieces.

    Raises:
        RequestError: it is broken, or breaks off.
    """
    delimiter = b"\r\n--" + boundary
    # The first delimiter may stand at the very beginning, without the end of a line before it.
    held = bytearray(b"\r\n")
    state, parts = "before", 0
    async for piece in pieces:
        held += piece
        while True:
            if state == "head":
                end = held.find(b"\r\n\r\n")
                if end < 0 and len(held) <= _LONGEST_HEAD:
                    break
                parts += 1
                if end < 0 or parts > _MOST_PARTS:
                    raise RequestError(_BROKEN)
                yield _part(bytes(held[:end]))
                del held[: end + 4]
                state = "content"
            elif state == "after":
                if len(held) < 2:
                    break
                if held.startswith(b"--"):
                    return
                if not held.startswith(b"\r\n"):
                    raise RequestError(_BROKEN)
                state = "head"
            else:
                end = held.find(delimiter)
                content = bytes(held[: end if end >= 0 else max(0, len(held) - len(delimiter) + 1)])
                if content and state == "content":
                    yield content
                del held[: len(content)]
                if end < 0:
                    break
                del held[: len(delimiter)]
                state = "after"
    raise RequestError("the form broke off: try again")


def _part(head: bytes) -> Part:
    lines = [line.partition(b":") for line in head.split(b"\r\n") if line]
    found = [value for name, _, value in lines if name.strip().lower() == b"content-disposition"]
    message = Message()
    try:
        message["content-disposition"] = found[0].decode().strip()
    except (IndexError, ValueError) as error:
        raise RequestError(_BROKEN) from error
    name, filename = (message.get_param(each, None, "content-disposition") for each in ("name", "filename"))
    if not isinstance(name, str) or not (filename is None or isinstance(filename, str)):
        raise RequestError(_BROKEN)
    # What would end the quotation is escaped so (HTML Living Standard, 4.10.21.8).
    return Part(name, None if filename is None else filename.replace("%22", '"').replace("%0D%0A", ""))
