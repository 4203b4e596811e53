"""Files as streams of bytes, unpacked if they are gzipped.

Knows gzip, byte order marks and the words for a file that cannot be read. Refuses to know formats.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from embedhub.errors import InputError, InputFormatError

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_gzipped(path: Path) -> bool:
    """Whether the first bytes say gzip; the name is not asked, since these two begin no UTF-8 text."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked.

    Args:
        path: where the bytes are.
        name: what the user calls it, for messages.

    Raises:
        InputFormatError: broken gzip.
        InputError: the file cannot be read.
    """
    with reading(name):
        raw = path.open("rb")
        with gzip.open(raw) if is_gzipped(path) else raw as stream, raw:
            yield cast(BinaryIO, stream)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what reading raises into the project's errors.

    Raises:
        InputFormatError: broken gzip.
        InputError: the file cannot be read.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputFormatError(f"{name}: the gzip compression is broken or cut off ({error})") from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error


def lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    r"""The file's lines without their ends (`\n` or `\r\n`), each with its number counted from 1.

    Raises:
        InputFormatError: a line is not UTF-8, or the gzip is broken.
    """
    with opened(path, name) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            try:
                yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                raise InputFormatError(encoding_message(name, number, line)) from error


def encoding_message(name: str, number: int, line: bytes) -> str:
    """What to say of a line that is not UTF-8."""
    actual = "UTF-16" if number == 1 and line.startswith(_UTF_16) else "not UTF-8"
    return f"{name}, line {number}: the text is {actual}; save the file as UTF-8"


@contextmanager
def opened_text(path: Path, name: str) -> Iterator[io.TextIOWrapper]:
    """The file as UTF-8 text, line ends untouched, a byte order mark dropped.

    Raises:
        InputFormatError: not UTF-8 (the message names the line), or broken gzip.
    """
    try:
        with opened(path, name) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        # The decoder works on blocks and cannot name the line; reading again by lines can.
        for _ in lines(path, name):
            pass
        raise InputFormatError(f"{name}: the text is not UTF-8; save the file as UTF-8") from error
