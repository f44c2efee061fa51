"""The running service as a whole: reloads, scale, independence of the emulator."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiobotocore.client import AioBaseClient
from aiohttp import web
from moto.server import ThreadedMotoServer
from structlog.testing import capture_logs

from command import started
from transfer_emulator import Emulator, World
from transfer_gateway import server
from transfer_gateway.listen import PortNotAvailable
from wire import GUARDED, HOME, PLAIN, QUERY, REGION, Gateway, becomes, calling, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.early


async def test_accounts_file_is_followed(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """A changed accounts file takes effect, including new regions; an invalid version changes nothing."""
    world.add_account("444444444444")
    keys = [place(world, PLAIN), place(world, "444444444444", "us-east-1")]
    accounts_file.write_text(f'accounts:\n  - {{ id: "{PLAIN}", regions: [{REGION}] }}\n')

    async def codes() -> list[str]:
        return [(await gateway.look_up(key)).get("code", "found") for key in keys]

    async with server.running(settings(accounts_reload_s=0.1)) as service, calling(service.url) as gateway:
        assert await codes() == ["found", "ACCOUNT_NOT_AVAILABLE"]
        accounts_file.write_text('accounts:\n  - { id: "444444444444", regions: [us-east-1] }\n')
        await becomes(codes, ["ACCOUNT_NOT_AVAILABLE", "found"])
        other_partition = f'accounts:\n  - {{ id: "{PLAIN}", regions: [cn-north-1] }}\n'
        for bad in ("accounts: [", other_partition):
            with capture_logs() as events:
                accounts_file.write_text(bad)
                await until(lambda: "accounts_file_refused" in [event["event"] for event in events])
            assert await codes() == ["ACCOUNT_NOT_AVAILABLE", "found"]
        accounts_file.write_text(
            f"defaults: {{ regions: [{REGION}, us-east-1] }}\n"
            f'accounts:\n  - {{ id: "{PLAIN}" }}\n  - {{ id: "444444444444" }}\n'
        )
        await becomes(codes, ["found", "found"])
    assert aws.calls.count(operation="AssumeRole", account_id="444444444444") == 1


@pytest.mark.parametrize(
    ("history_url", "limit_mb"),
    [
        ("off", 40),
        ("sqlite://", 60),
    ],  # to follow an account's logs takes about 20 KB
)
@pytest.mark.thorough
async def test_thousand_accounts(
    aws: Emulator, accounts_file: Path, history_url: str, limit_mb: float
) -> None:
    """One execution in each of 1,000 accounts: 1,000 AssumeRole, 1,000 DescribeExecution, little more memory."""
    keys = many_accounts(1000, aws.world, accounts_file)
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "100",  # 1,000 requests at once share one core with their client
        "TRANSFER_GATEWAY_AWS_READ_TIMEOUT_S": "100",
        "TRANSFER_GATEWAY_HISTORY_URL": history_url,
    }
    async with (
        started("serve", "--http-port", "0", **environment) as serving,
        calling(serving.url) as gateway,
    ):
        before_mb = await memory_mb(serving.process.pid)
        found = await asyncio.gather(*(gateway.look_up(key) for key in keys))
        growth_mb = await memory_mb(serving.process.pid) - before_mb
    assert [answer["id"] for answer in found] == [str(key) for key in keys]
    assert (aws.calls.count(operation="AssumeRole"), aws.calls.count(operation="DescribeExecution")) == (
        1000,
        1000,
    )
    assert growth_mb < limit_mb


async def test_no_client_is_created_after_start(
    aws: Emulator, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """However many accounts are read, botocore's clients are those of the start: one per region, and STS's."""
    keys = many_accounts(50, aws.world, accounts_file)
    async with server.running(settings()) as service, calling(service.url) as gateway:
        at_start = clients_alive()
        await asyncio.gather(*(gateway.look_up(key) for key in keys))
        assert clients_alive() == at_start


def many_accounts(count: int, world: World, accounts_file: Path) -> list[ExecutionKey]:
    """An execution in each of that many new accounts, which are added to the accounts file."""
    account_ids = [f"6{number:011}" for number in range(count)]
    for account_id in account_ids:
        world.add_account(account_id)
    listed = "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in account_ids)
    accounts_file.write_text(f"defaults: {{ regions: [{REGION}] }}\naccounts:\n{listed}")
    return [place(world, account_id) for account_id in account_ids]


async def memory_mb(pid: int) -> float:
    """A process's resident memory, by `ps`."""
    ps = await asyncio.create_subprocess_exec(
        "ps", "-o", "rss=", "-p", str(pid), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ps.communicate()
    return int(out) / 1024


def clients_alive() -> int:
    gc.collect()  # those of other tests
    return sum(isinstance(thing, AioBaseClient) for thing in gc.get_objects())


async def test_cold_session_many_requests(gateway: Gateway, aws: Emulator, world: World) -> None:
    """200 concurrent requests without a cached session: one AssumeRole, all answered."""
    key = place(world)
    found = await asyncio.gather(*(gateway.look_up(key) for _ in range(200)))
    assert {answer["__typename"] for answer in found} == {"Execution"}
    assert aws.calls.count(operation="AssumeRole") == 1


async def test_other_implementations(
    monkeypatch: pytest.MonkeyPatch, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """With other implementations of STS and Transfer, configured by AWS's variables alone, it works the same."""
    key = to_input(place(World(home_account_id=PLAIN, regions=(REGION,)), PLAIN))
    asked: list[dict[str, Any]] = []

    async def transfer(request: web.Request) -> web.Response:
        asked.append({"target": request.headers["X-Amz-Target"], **orjson.loads(await request.read())})
        body = {"WorkflowId": key["workflowId"], "Execution": {"Status": "IN_PROGRESS", "Unheard": [1]}}
        return web.Response(body=orjson.dumps(body), content_type="application/x-amz-json-1.1")

    app = web.Application()
    app.router.add_post("/", transfer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ENDPOINT_URL_TRANSFER", f"http://127.0.0.1:{runner.addresses[0][1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        async with server.running(settings()) as service, calling(service.url) as gateway:
            answer = await gateway.ask(QUERY, key=key)
    finally:
        moto.stop()
        await runner.cleanup()
    assert answer["data"]["executionOrError"]["status"] == "IN_PROGRESS"
    assert asked == [
        {
            "target": "TransferService.DescribeExecution",
            "WorkflowId": key["workflowId"],
            "ExecutionId": key["executionId"],
        }
    ]


async def test_nothing_is_left(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """After the end no task of the service is left, and its port is free."""
    keys = [place(world, account) for account in (PLAIN, GUARDED, HOME)]
    before = asyncio.all_tasks()
    async with server.running(settings()) as service, calling(service.url) as gateway:
        await asyncio.gather(*(gateway.look_up(key) for key in keys))
        with pytest.raises(PortNotAvailable):
            async with server.running(settings(http_port=int(service.url.rpartition(":")[2]))):
                pass
    async with calling(service.url) as gateway:
        with pytest.raises(aiohttp.ClientConnectionError):
            await gateway.look_up(keys[0])
    left = [task.get_name() for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)]
    assert left == []
