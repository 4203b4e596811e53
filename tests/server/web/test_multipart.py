"""Forms with files, cut into pieces wherever a network may cut them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.errors import RequestError
from embedhub.server.web.multipart import Part, boundary_of, read_form

BOUNDARY = b"----form"


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(b"--" + BOUNDARY + b"\r\n" + head.encode() + b"\r\n\r\n" + text + b"\r\n" for head, text in parts)
    return body + b"--" + BOUNDARY + b"--\r\n"


def read(body: bytes, size: int) -> list[tuple[Part, bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def run() -> list[tuple[Part, bytes]]:
        found: list[tuple[Part, bytes]] = []
        async for each in read_form(pieces(), BOUNDARY):
            if isinstance(each, Part):
                found.append((each, b""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + each)
        return found

    return asyncio.run(run())


@given(
    st.binary(max_size=60) | st.sampled_from([b"\r\n--", b"\r\n----for", b"\r\n\r\n----form", b"\r\n----forn\r\n"]),
    st.integers(1, 80),
)
def test_content_comes_whole(content: bytes, size: int) -> None:
    if b"\r\n--" + BOUNDARY in content:
        return
    body = form(
        ('Content-Disposition: form-data; name="csrf"', b"proof"),
        ('Content-Disposition: form-data; name="file"; filename="é%22.csv"\r\nContent-Type: text/csv', content),
        ('content-disposition: form-data; name="empty"', b""),
    )
    assert read(body, size) == [
        (Part("csrf", None), b"proof"),
        (Part("file", 'é".csv'), content),
        (Part("empty", None), b""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        form(("Content-Disposition: form-data", b"x")),
        form(("Content-Type: text/plain", b"x")),
        form(('Content-Disposition: form-data; name="a"', b"x"))[:-6],
        b"--" + BOUNDARY + b"garbage",
        b"--" + BOUNDARY + b"\r\n" + b"a: b\r\n" * 4000,
        form(*[('Content-Disposition: form-data; name="a"', b"")] * 101),
        form(("Content-Disposition: form-data; name=\"a\"; filename*=utf-8''x", b"x")),
    ],
)
def test_what_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        read(body, 1000)


@pytest.mark.parametrize(
    ("said", "boundary"),
    [("multipart/form-data; boundary=abc", b"abc"), ('Multipart/Form-Data; boundary="a b"', b"a b")],
)
def test_boundaries(said: str, boundary: bytes) -> None:
    assert boundary_of(said) == boundary


@pytest.mark.parametrize(
    "said",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary=\xe9",
    ],
)
def test_what_has_no_boundary(said: str) -> None:
    with pytest.raises(RequestError):
        boundary_of(said)
