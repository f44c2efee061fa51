"""Lower bounds of a response's cost, for bench/compare.py: no GraphQL, no gateway, no SDK.

python bench/limits.py http FILE    Starlette on uvicorn: parses a request's JSON, serializes FILE's JSON
python bench/limits.py grpc FILE    grpc.aio: answers any call with FILE's bytes
python bench/limits.py aws FILE N   signs N DescribeExecution calls itself, sends them with aiohttp; FILE has the keys
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import os
import socket
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import boto3
import grpc
import orjson
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request

REGION, AT_A_TIME = "eu-west-1", 64


async def http(answer: Any) -> None:  # noqa: ANN401  JSON
    async def graphql(request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(orjson.dumps(answer), media_type="application/json")

    app = Starlette(routes=[Route("/graphql", graphql, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/graphql", flush=True)
    await server.serve([listening])


async def grpc_echo(answer: bytes) -> None:
    class Echo(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401  grpc's
            return grpc.unary_unary_rpc_method_handler(self.answer)

        async def answer(self, request: bytes, context: object) -> bytes:
            return answer

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    await server.start()
    await server.wait_for_termination()


def signer(url: str, credentials: dict[str, str]) -> Callable[[bytes], dict[str, str]]:
    """SigV4 for DescribeExecution, with a cached signing key. Source: AWS's "Create a signed API request"."""
    now = dt.datetime.now(dt.UTC)
    scope = f"{now:%Y%m%d}/{REGION}/transfer/aws4_request"
    key = b"AWS4" + credentials["SecretAccessKey"].encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    host, token, target = (
        url.partition("//")[2],
        credentials["SessionToken"],
        "TransferService.DescribeExecution",
    )
    names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"

    def sign(body: bytes) -> dict[str, str]:
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        canonical = (
            f"POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:{host}\nx-amz-date:{date}\n"
            f"x-amz-security-token:{token}\nx-amz-target:{target}\n\n{names}\n{hashlib.sha256(body).hexdigest()}"
        )
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Date": date,
            "X-Amz-Security-Token": token,
            "X-Amz-Target": target,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credentials['AccessKeyId']}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}",
        }

    return sign


async def aws(keys: list[dict[str, str]], calls: int) -> None:
    """Prints CPU seconds and wall seconds for all calls."""
    url = os.environ["AWS_ENDPOINT_URL_TRANSFER"]
    sts = boto3.client("sts", region_name=REGION)
    signers = {}
    for account_id in dict.fromkeys(key["accountId"] for key in keys):
        role = f"arn:aws:iam::{account_id}:role/TransferGatewayReader"
        assumed = sts.assume_role(RoleArn=role, RoleSessionName="limits")["Credentials"]
        signers[account_id] = signer(url, assumed)

    async def ask(http: aiohttp.ClientSession, todo: Iterator[dict[str, str]]) -> None:
        for key in todo:
            body = orjson.dumps({"WorkflowId": key["workflowId"], "ExecutionId": key["executionId"]})
            async with http.post(url, data=body, headers=signers[key["accountId"]](body)) as answer:
                assert orjson.loads(await answer.read())["Execution"]["ExecutionId"] == key["executionId"]

    connector = aiohttp.TCPConnector(limit=AT_A_TIME)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
        todo = islice(cycle(keys), calls)
        cpu_s, started = time.process_time(), time.perf_counter()
        waiting: list[Awaitable[None]] = [tasks.create_task(ask(http, todo)) for _ in range(AT_A_TIME)]
        await asyncio.wait(waiting)  # type: ignore[type-var]
        print(json.dumps([time.process_time() - cpu_s, time.perf_counter() - started]), flush=True)


def main() -> None:
    what, file = sys.argv[1], Path(sys.argv[2])
    if what == "http":
        uvloop.run(http(orjson.loads(file.read_bytes())))
    elif what == "grpc":
        uvloop.run(grpc_echo(file.read_bytes()))
    else:
        uvloop.run(aws(orjson.loads(file.read_bytes()), int(sys.argv[3])))


if __name__ == "__main__":
    main()
