"""Log ids of an AWS call that several requests share."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from command import started
from transfer_emulator import Fault, FaultKind
from wire import QUERY, calling, place, to_input, until_in_flight

if TYPE_CHECKING:
    from pathlib import Path

    from transfer_emulator import Emulator, World

DESCRIBE = "DescribeExecution"


async def test_a_call_is_logged_as_its_beginners(aws: Emulator, world: World, accounts_file: Path) -> None:
    """A request that joins names the one that started the call; calls that it starts later have its own id."""
    key = to_input(place(world))
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_FORMAT": "json",
        "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
    }
    async with started("serve", "--http-port", "0", **environment) as service:
        async with calling(service.url) as gateway:

            def ask(name: str, max_age: float, **headers: str) -> asyncio.Task[Any]:
                body = {"query": QUERY, "variables": {"key": key, "maxAge": max_age}}
                return asyncio.create_task(gateway.post(body, **{"x-request-id": name}, **headers))

            aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=2, times=1))
            first = ask("first", 60, **{"x-request-timeout": "1.5"})
            await until_in_flight(aws, 1)
            second = ask("second", 60)
            codes = [
                (await asked).json()["data"]["executionOrError"].get("code") for asked in (first, second)
            ]
            assert codes == ["DEADLINE_EXCEEDED", None]
            await ask("third", 0)
        _, log = await service.stop()
    lines = [event for event in map(json.loads, log.splitlines()) if "request_id" in event]
    calls = [
        line["request_id"] for line in lines if line["event"] == "aws_call" and DESCRIBE in line["operation"]
    ]
    assert calls == ["first", "third"]
    answered = {line["request_id"]: line for line in lines if line["event"] == "http_request"}
    assert answered["second"]["joined_requests"] == ["first"]
    assert "aws_calls" not in answered["second"]


async def test_a_request_is_named_once(aws: Emulator, world: World, accounts_file: Path) -> None:
    """However many of its calls another request waits for."""
    keys = [to_input(place(world)) for _ in range(3)]
    query = "query($keys: [ExecutionKey!]!) { executions(keys: $keys, maxAge: 60) { __typename } }"
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_FORMAT": "json",
    }
    async with started("serve", "--http-port", "0", **environment) as service:
        async with calling(service.url) as gateway, asyncio.TaskGroup() as tasks:
            aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=2))
            for name in ("first", "second"):
                body = {"query": f"{query} # {name}", "variables": {"keys": keys}}
                tasks.create_task(gateway.post(body, **{"x-request-id": name}))
                await until_in_flight(aws, 3)
        _, log = await service.stop()
    lines = [json.loads(line) for line in log.splitlines()]
    ends = [line for line in lines if line["event"] == "http_request" and "joined_requests" in line]
    assert [(line["request_id"], line["joined_requests"]) for line in ends] == [("second", ["first"])]
