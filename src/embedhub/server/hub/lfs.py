"""Large files as git-lfs, JavaScript and older clients send and fetch them.

Source: git-lfs, `docs/api/`; for parts the Hugging Face Hub's own way, which its clients and `hf lfs-multipart-upload`
know. An address that is given out carries its own signature, because clients send no token to it.
"""

from functools import partial
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from embedhub.errors import HubContentError, RepositoryNotFoundError, RequestError
from embedhub.hub.access import Action
from embedhub.hub.multipart import MAX_PARTS
from embedhub.hub.pointers import SHA256
from embedhub.hub.repositories import Repository
from embedhub.hub.signing import Claim
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.resolve import ranged
from embedhub.server.hub.routing import HubRoute

LFS_MEDIA_TYPE = "application/vnd.git-lfs+json"

# How long an address may be used: a large file over a thin line takes hours.
_UPLOAD_SECONDS = 24 * 3600
_DOWNLOAD_SECONDS = 6 * 3600

# Longer files are sent in parts by who can, so that a broken line costs a part.
_PART_BYTES = 64 << 20

_MOST_OBJECTS = 1000

_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]


class LfsObject(msgspec.Struct):
    """A large file: its sha256 and size in bytes."""

    oid: str
    size: _Size


class Batch(msgspec.Struct):
    """What a client wants to upload or download."""

    operation: str
    objects: Annotated[list[LfsObject], msgspec.Meta(max_length=_MOST_OBJECTS)]
    transfers: list[str] = msgspec.field(default_factory=list)
    hash_algo: str = "sha256"


class Part(msgspec.Struct):
    """A part that was sent."""

    partNumber: int  # noqa: N815 - as on the wire
    etag: str


class Completion(msgspec.Struct):
    """All parts of a file."""

    oid: str
    parts: Annotated[list[Part], msgspec.Meta(max_length=MAX_PARTS)]


def batch(exchange: Exchange) -> Response:
    """For each file where it is to be sent or fetched."""
    wanted: Batch = exchange.json(Batch)
    if wanted.hash_algo.replace("_", "").replace("-", "") != "sha256":
        raise RequestError(f"hash_algo {wanted.hash_algo!r:.40} is not known; sha256 is")
    if wanted.operation not in ("upload", "download"):
        raise RequestError(f"operation {wanted.operation!r:.40} is not known; upload and download are")
    uploads = wanted.operation == "upload"
    # Who proposes a change sends its files before, and says no branch.
    repository = exchange.repository(Action.DISCUSS if uploads else Action.READ)
    in_parts = uploads and "multipart" in wanted.transfers
    # Who is told that a file is here already will refer to it soon.
    held = exchange.hub.holdings.renew(repository.uuid, (each.oid for each in wanted.objects)) if uploads else {}
    objects = []
    for each in wanted.objects:
        if not SHA256.fullmatch(each.oid):
            objects.append(_failed(each, 422, "that is no sha256"))
        elif uploads:
            is_here = held.get(each.oid) == each.size == exchange.hub.blobs.size(each.oid)
            objects.append(_upload(exchange, repository, each, is_here=is_here, in_parts=in_parts))
        else:
            objects.append(_download(exchange, repository, each))
    parted = any("chunk_size" in each.get("actions", {}).get("upload", {}).get("header", {}) for each in objects)
    return _lfs({"transfer": "multipart" if parted else "basic", "objects": objects, "hash_algo": "sha256"})


def verify(exchange: Exchange) -> Response:
    """Whether a file that was sent is there."""
    wanted: LfsObject = exchange.json(LfsObject)
    repository = exchange.repository(Action.READ)
    if exchange.hub.holdings.holds(repository.uuid, wanted.oid) != wanted.size:
        return _lfs({"message": f"{wanted.oid[:100]} is not here in that size: send it again"}, 404)
    return _lfs({})


async def receive(exchange: Exchange) -> Response:
    """A file in one piece."""
    claims = exchange.hub.signer.verify(exchange.path["token"], "lfs-upload")
    sha256, size, repository = str(claims["sha256"]), int(claims["size"]), str(claims["repository"])
    writer = await exchange.run(exchange.hub.blobs.begin, size)
    try:
        await exchange.pour(writer.write)
        await exchange.run(writer.finish, sha256, size)
        await exchange.run(exchange.hub.holdings.link, repository, [(sha256, size)])
    finally:
        await exchange.run(writer.abort)
    return _lfs({}, headers={"etag": f'"{sha256}"'})


async def receive_part(exchange: Exchange) -> Response:
    """A part of a file."""
    claims = exchange.hub.signer.verify(exchange.path["token"], "lfs-part")
    number = exchange.path["number"]
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise RequestError(f"{number!r:.40} is no part's number")
    begin = partial(exchange.hub.uploads.part, str(claims["upload"]), int(number), int(claims["part_bytes"]))
    writer = await exchange.run(begin)
    try:
        await exchange.pour(writer.write)
        etag = await exchange.run(writer.finish)
    finally:
        await exchange.run(writer.abort)
    return _lfs({}, headers={"etag": f'"{etag}"'})


def complete(exchange: Exchange) -> Response:
    """Join the parts."""
    claims = exchange.hub.signer.verify(exchange.path["token"], "lfs-part")
    sha256, size, repository = str(claims["sha256"]), int(claims["size"]), str(claims["repository"])
    wanted: Completion = exchange.json(Completion)
    if wanted.oid != sha256:
        raise HubContentError("these parts are of another file")
    # A client whose line broke after the last one asks again.
    if exchange.hub.holdings.holds(repository, sha256) != size:
        parts = [(part.partNumber, part.etag.strip('"')) for part in wanted.parts]
        exchange.hub.uploads.complete(str(claims["upload"]), parts, sha256, size)
        exchange.hub.holdings.link(repository, [(sha256, size)])
    return _lfs({})


def deliver(exchange: Exchange) -> Response:
    """A file, to who was given its address."""
    claims = exchange.hub.signer.verify(exchange.path["token"], "lfs-download")
    sha256, repository = str(claims["sha256"]), str(claims["repository"])
    size = exchange.hub.holdings.holds(repository, sha256)
    if size is None:
        raise RepositoryNotFoundError("the file, or its repository, is gone")
    if not exchange.hub.blobs.has(sha256):
        raise HubContentError(f"the large file {sha256} is missing; `embedhub hub check` tells more")
    headers = {
        "content-type": "application/octet-stream",
        "etag": f'"{sha256}"',
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
    }
    return ranged(exchange, headers, sha256, size, exchange.hub.blobs.path(sha256), b"")


def _upload(
    exchange: Exchange, repository: Repository, file: LfsObject, *, is_here: bool, in_parts: bool
) -> dict[str, Any]:
    made: dict[str, Any] = {"oid": file.oid, "size": file.size, "authenticated": True}
    if is_here:
        return made
    claims: dict[str, Claim] = {"repository": repository.uuid, "sha256": file.oid, "size": file.size}
    signer = exchange.hub.signer
    if in_parts and file.size > _PART_BYTES:
        part_bytes = max(_PART_BYTES, -(-file.size // MAX_PARTS))
        claims |= {"upload": exchange.hub.uploads.begin(), "part_bytes": part_bytes}
        token = signer.sign("lfs-part", claims, _UPLOAD_SECONDS)
        parts = range(1, -(-file.size // part_bytes) + 1)
        header = {"chunk_size": str(part_bytes)}
        header |= {str(number): f"{exchange.base}/lfs/parts/{token}/{number}" for number in parts}
        upload = {"href": f"{exchange.base}/lfs/complete/{token}", "header": header, "expires_in": _UPLOAD_SECONDS}
    else:
        token = signer.sign("lfs-upload", claims, _UPLOAD_SECONDS)
        upload = {"href": f"{exchange.base}/lfs/objects/{token}", "header": {}, "expires_in": _UPLOAD_SECONDS}
    authorization = exchange.headers.get("authorization")
    verify = {
        "href": f"{exchange.address(repository)}.git/info/lfs/objects/verify",
        "header": {"Authorization": authorization} if authorization else {},
    }
    return made | {"actions": {"upload": upload, "verify": verify}}


def _download(exchange: Exchange, repository: Repository, file: LfsObject) -> dict[str, Any]:
    if exchange.hub.holdings.holds(repository.uuid, file.oid) != file.size:
        return _failed(file, 404, "Object does not exist")
    claims: dict[str, Claim] = {"repository": repository.uuid, "sha256": file.oid}
    token = exchange.hub.signer.sign("lfs-download", claims, _DOWNLOAD_SECONDS)
    download = {"href": f"{exchange.base}/lfs/objects/{token}", "header": {}, "expires_in": _DOWNLOAD_SECONDS}
    return {"oid": file.oid, "size": file.size, "authenticated": True, "actions": {"download": download}}


def _failed(file: LfsObject, code: int, message: str) -> dict[str, Any]:
    return {"oid": file.oid, "size": file.size, "error": {"code": code, "message": message}}


def _lfs(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    made = answer(content, headers, status)
    made.headers["content-type"] = LFS_MEDIA_TYPE
    return made


_OF = "/{prefix}{namespace}/{name}.git/info/lfs/objects"

ROUTES = (
    HubRoute("POST", f"{_OF}/batch", batch),
    HubRoute("POST", f"{_OF}/verify", verify),
    HubRoute("GET", "/lfs/objects/{token}", deliver, scope="public"),
    HubRoute("PUT", "/lfs/objects/{token}", receive, scope="public", streams=True),
    HubRoute("PUT", "/lfs/parts/{token}/{number}", receive_part, scope="public", streams=True),
    HubRoute("POST", "/lfs/complete/{token}", complete, scope="public"),
)
