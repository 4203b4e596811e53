"""Large files as current clients of the Hugging Face Hub send them: chunks in xorbs, shards that make files of them.

Knows the paths and bodies that `hf_xet` uses; formats and keeping are `hub.xet` and `hub.xet_store`. Downloads do not
go this way: nothing here tells a client that they could. Source: huggingface.co/docs/xet, and what `hf_xet` sends.
"""

import time
from typing import Any

from starlette.responses import Response

from embedhub.errors import ForbiddenError, RequestTooLargeError, SignatureError, UnauthorizedError
from embedhub.hub.access import Action
from embedhub.hub.xet import MAX_SHARD_BYTES
from embedhub.server.auth import bearer_token
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute

# Clients ask anew a minute before the end.
_TOKEN_SECONDS = 3600


def write_token(exchange: Exchange) -> Response:
    """Where to send to, and a token for it."""
    # A pull request's files are sent before it is there, under the name of no branch.
    revision = exchange.path["revision"]
    proposes = exchange.flag("create_pr") or revision == "None" or revision.startswith("refs/pr/")
    repository = exchange.repository(Action.DISCUSS if proposes else Action.WRITE)
    epoch = exchange.hub.xet.epoch(repository.uuid, exchange.actor.user)
    claims = {"repository": repository.uuid, "epoch": epoch}
    expires = int(time.time()) + _TOKEN_SECONDS
    token = exchange.hub.signer.sign("xet", claims, _TOKEN_SECONDS)
    address = f"{exchange.base}/cas/{repository.uuid}/{epoch}"
    headers = {
        "x-xet-cas-url": address,
        "x-xet-access-token": token,
        "x-xet-token-expiration": str(expires),
    }
    return answer({"casUrl": address, "accessToken": token, "exp": expires}, headers)


async def receive_xorb(exchange: Exchange) -> Response:
    """Chunks of files."""
    repository, epoch = _allowed(exchange)
    writer = await exchange.run(exchange.hub.xet.begin, repository, epoch, exchange.path["hash"])
    try:
        await exchange.pour(writer.write)
        inserted = await exchange.run(writer.finish)
    finally:
        await exchange.run(writer.abort)
    return answer({"was_inserted": inserted})


async def receive_shard(exchange: Exchange) -> Response:
    """How chunks make files: the files are put together and kept."""
    repository, epoch = _allowed(exchange)
    shard = bytearray()
    async for piece in exchange.pieces():
        shard += piece
        if len(shard) > MAX_SHARD_BYTES:
            raise RequestTooLargeError(f"a shard has {MAX_SHARD_BYTES} bytes at most")
    await exchange.run(_keep, exchange, repository, epoch, bytes(shard))
    return answer({"result": 1})


def _keep(exchange: Exchange, repository: str, epoch: str, shard: bytes) -> None:
    exchange.hub.holdings.link(repository, exchange.hub.xet.ingest(repository, epoch, shard))


def telemetry(exchange: Exchange) -> Response:
    """Thanks: how fast it went is not kept."""
    return answer({})


def not_here(exchange: Exchange) -> Response:
    """Ways that a client tries first and can do without."""
    return answer({"error": "not offered here; the client knows another way"}, status=404)


def _allowed(exchange: Exchange) -> tuple[str, str]:
    """Repository and epoch of the address, if the token is for them."""
    token = bearer_token(exchange.headers.get("authorization", ""))
    if not token:
        raise UnauthorizedError("a token of xet-write-token is needed")
    try:
        claims: dict[str, Any] = dict(exchange.hub.signer.verify(token, "xet"))
    except SignatureError as error:
        # What makes clients ask for a new one.
        raise UnauthorizedError(str(error)) from error
    if claims["repository"] != exchange.path["repository"] or claims["epoch"] != exchange.path["epoch"]:
        raise ForbiddenError("this token is for another repository or another upload")
    return exchange.path["repository"], exchange.path["epoch"]


_CAS = "/cas/{repository}/{epoch}"

ROUTES = (
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/xet-write-token/{revision}", write_token),
    HubRoute("POST", f"{_CAS}/v1/xorbs/{{prefix_}}/{{hash}}", receive_xorb, scope="public", streams=True),
    HubRoute("POST", f"{_CAS}/v1/shards", receive_shard, scope="public", streams=True),
    HubRoute("POST", f"{_CAS}/v1/telemetry", telemetry, scope="public", large=True),
    HubRoute("GET", f"{_CAS}/{{rest*}}", not_here, scope="public"),
    HubRoute("POST", f"{_CAS}/{{rest*}}", not_here, scope="public", large=True),
)
