"""Responses from something other than AWS, or from a broken AWS: UPSTREAM_UNAVAILABLE, cached, never a bug."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from transfer_emulator import Emulator
from transfer_gateway import server
from wire import GUARDED, PLAIN, QUERY, calling, place, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.fast_time

XML = '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>{}</AssumeRoleResult></AssumeRoleResponse>'
CREDENTIALS = (
    "<Credentials><AccessKeyId>ASIAAAAAAAAAAAAAAAAA</AccessKeyId><SecretAccessKey>SECRETSECRETSECRET</SecretAccessKey>"
    "<SessionToken>TOKENTOKENTOKEN</SessionToken><Expiration>{}</Expiration></Credentials>"
)


class Impostor:
    """Answers every call with the same bytes, and counts the calls."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._answer = (status, body, headers)
        self.calls = 0
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        self.calls += 1
        status, body, headers = self._answer
        return web.Response(status=status, body=body, headers=headers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Impostor]:
        runner = web.ServerRunner(web.Server(self))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()


def execution(members: str) -> bytes:
    return f'{{"WorkflowId":"w-00000000000000000","Execution":{members}}}'.encode()


TRANSFER = [
    (200, b""),
    (200, b"null"),
    (200, b"[]"),
    (200, b'"x"'),
    (200, b"5"),
    (200, b"\xff\xfe"),
    (200, b"[" * 5000),
    (200, b"<html>"),
    (200, execution("[]")),
    (200, execution('"x"')),
    (200, execution('{"Results":{"Steps":[null]}}')),
    (200, execution('{"Results":{"Steps":["x"]}}')),
    (200, execution('{"Results":{"Steps":3}}')),
    (200, execution('{"Results":{"Steps":[{"Outputs":{}}]}}')),
    (200, execution('{"ServiceMetadata":"x"}')),
    (200, execution('{"PosixProfile":{"Uid":"a","Gid":1}}')),
    (200, execution('{"PosixProfile":{"Uid":NaN,"Gid":1}}')),
    (200, execution('{"PosixProfile":{"Uid":true,"Gid":1}}')),
    (200, execution('{"PosixProfile":{"Uid":99999999999999999999999,"Gid":1}}')),
    (200, execution('{"PosixProfile":{"Uid":1,"Gid":1,"SecondaryGids":[null]}}')),
    (200, execution('{"Status":["x"]}')),
    (200, execution('{"InitialFileLocation":{"S3FileLocation":{"Key":"a\\ud800b"}}}')),
    (400, b"[]"),
    (400, b"null"),
    (500, b'"x"'),
    (400, b'{"__type":5}'),
]


@pytest.mark.parametrize(("status", "body"), TRANSFER, ids=lambda value: str(value)[:40])
@pytest.mark.variants(keep=8)
async def test_garbage_from_transfer(
    aws: Emulator,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
) -> None:
    """For any response that the model doesn't allow, callers get an error that says so."""
    key = to_input(place(aws.world))
    async with Impostor(status, body, {"Retry-After": "inf"}).running() as impostor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_TRANSFER", impostor.url)
        async with server.running(settings()) as service, calling(service.url) as gateway:
            answer = await gateway.ask(QUERY, key=key)
    assert answer["data"]["executionOrError"]["code"] == "UPSTREAM_UNAVAILABLE", answer


STS = [
    (200, b""),
    (200, b"<html><body>Hello</body></html>"),
    (200, XML.format("").encode()),
    (200, XML.format(CREDENTIALS.format("soon")).encode()),
    (200, XML.format(CREDENTIALS.format("")).encode()),
    (200, XML.format(CREDENTIALS.format("9999999999999999")).encode()),
    (403, b"<ErrorResponse><Error/></ErrorResponse>"),
    (500, b"{}"),
]


@pytest.mark.parametrize(("status", "body"), STS, ids=lambda value: str(value)[:40])
@pytest.mark.variants(keep=3)
async def test_garbage_from_sts(
    aws: Emulator,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
    body: bytes,
) -> None:
    """STS's too: reported as a failure of AWS or of the role, and cached; no credential is logged."""
    keys = [to_input(place(aws.world, GUARDED)) for _ in range(5)]
    async with Impostor(status, body).running() as impostor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", impostor.url)
        # Four attempts have room, after 0, 1, 3 and 7 s, each within a fifth of that; the fifth never has.
        async with server.running(settings(request_timeout_s=12)) as service, calling(service.url) as gateway:
            answers = await asyncio.gather(*[gateway.ask(QUERY, key=key) for key in keys])
    codes = {answer["data"]["executionOrError"]["code"] for answer in answers}
    assert codes <= {"UPSTREAM_UNAVAILABLE", "ROLE_NOT_ASSUMABLE"}, answers
    assert impostor.calls <= 4
    logged = "".join(capfd.readouterr())
    assert not [secret for secret in ("SECRETSECRET", "TOKENTOKEN", "x-42") if secret in logged]


async def test_a_session_that_is_over_already(
    aws: Emulator, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our clock is ahead of AWS's, new sessions look expired: not every request assumes the role again."""
    body = XML.format(CREDENTIALS.format("2020-01-01T00:00:00Z")).encode()
    async with Impostor(200, body).running() as impostor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", impostor.url)
        async with server.running(settings()) as service, calling(service.url) as gateway:
            key = to_input(place(aws.world, PLAIN))
            answers = [await gateway.ask(QUERY, key=key) for _ in range(10)]
    assert {answer["data"]["executionOrError"]["code"] for answer in answers} == {"ROLE_NOT_ASSUMABLE"}
    assert (
        impostor.calls < 5
    )  # a busy machine may take longer than the first second in which it is left alone
