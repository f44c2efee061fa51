"""An AWS organization on the wire: moto's, and one with scripted responses."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import orjson
from aiohttp import web
from moto.server import ThreadedMotoServer

from transfer_gateway.aws.assumed_roles import SessionCache
from transfer_gateway.aws.client import ConnectionSettings, RegionalClients
from transfer_gateway.aws.errors import Service
from transfer_gateway.aws.organizations import ATTEMPTS, Organizations
from transfer_gateway.aws.sts import Sts
from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.discovery import AccountDefaults, AccountSources, Discovery, OuId
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.telemetry import AwsCalls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    import pytest

REGION = Region("eu-west-1")
MANAGEMENT = AccountId("888888888888")
_MOTOS_OWN_ACCOUNT = "123456789012"  # whose every key is that moto doesn't know
_CONNECTION = ConnectionSettings(connect_timeout_s=2, read_timeout_s=5)


class Organization:
    """moto's organization with one management account. Accounts are identified by name."""

    def __init__(self, url: str, management_account_id: str) -> None:
        sts = self._client("sts", url)
        key = sts.assume_role(
            RoleArn=f"arn:aws:iam::{management_account_id}:role/Founder", RoleSessionName="tests"
        )["Credentials"]
        sts.close()
        self.url = url
        self._aws = self._client("organizations", url, key)
        self._aws.create_organization(FeatureSet="ALL")
        self.root = OuId(self._aws.list_roots()["Roots"][0]["Id"])
        self.ous = {"root": self.root}

    def add_ou(self, name: str, parent: str | None = None) -> OuId:
        made = self._aws.create_organizational_unit(ParentId=parent or self.root, Name=name)
        self.ous[name] = OuId(made["OrganizationalUnit"]["Id"])
        return self.ous[name]

    def add_account(self, name: str, parent: str | None = None) -> AccountId:
        made = self._aws.create_account(AccountName=name, Email=f"{name}@example.com")
        account_id = AccountId(made["CreateAccountStatus"]["AccountId"])
        if parent is not None:
            self._aws.move_account(AccountId=account_id, SourceParentId=self.root, DestinationParentId=parent)
        return account_id

    def close_account(self, account_id: str) -> None:
        self._aws.close_account(AccountId=account_id)

    def close(self) -> None:
        self._aws.close()

    @staticmethod
    def _client(service: str, url: str, key: dict[str, Any] | None = None) -> Any:
        key = key or {"AccessKeyId": "AKIAFOUNDER", "SecretAccessKey": "secret", "SessionToken": None}
        return boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key["SessionToken"],
        )


@contextmanager
def moto() -> Iterator[str]:
    """An empty moto, and its URL. All motos of a process share their state."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        reset = urllib.request.Request(f"{url}/moto-api/reset", method="POST")  # noqa: S310  loopback
        urllib.request.urlopen(reset).close()  # noqa: S310  as above
        yield url
    finally:
        server.stop()


@contextmanager
def founded(management_account_id: str = _MOTOS_OWN_ACCOUNT) -> Iterator[Organization]:
    """An organization in its own moto."""
    with moto() as url:
        organization = Organization(url, management_account_id)
        try:
            yield organization
        finally:
            organization.close()


@dataclass
class Told:
    """An Organizations API that sends `answers` in order, repeating the last one.

    An answer is bytes, or a dict for JSON; a pair with a status other than 200. `asked` has the requests. None is
    answered before `may_answer` is set.
    """

    answers: list[Any] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    url: str = ""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        await self.may_answer.wait()
        self.asked.append(
            (request.headers["X-Amz-Target"].rpartition(".")[2], orjson.loads(await request.read()))
        )
        self.keys.append(request.headers["Authorization"].partition("Credential=")[2].partition(",")[0])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        body = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(status=status, body=body, content_type="application/x-amz-json-1.1")


@asynccontextmanager
async def telling(*answers: Any, at_once: bool = True) -> AsyncIterator[Told]:
    """An Organizations API with these responses."""
    told = Told(list(answers))
    if at_once:
        told.may_answer.set()
    app = web.Application()
    app.router.add_post("/", told.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield told
    finally:
        await runner.cleanup()


def accounts_page(*account_ids: str, **members: Any) -> dict[str, Any]:
    """A page of ListAccounts: active accounts, each with the same additional members."""
    return {"Accounts": [{"Id": one, "Name": f"a{one}", "State": "ACTIVE"} | members for one in account_ids]}


def denied(code: str = "AccessDeniedException") -> tuple[int, dict[str, str]]:
    return 400, {"__type": code, "Message": f"{code}, said AWS"}


def discovery(
    *,
    role_arn: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    exclude_accounts: Iterable[str] = (),
    refresh_s: float = 300,
) -> Discovery:
    reader = role_arn and Account(AccountId(role_arn.split(":")[4]), None, (REGION,), role_arn, None, 3600)
    return Discovery(
        region=REGION,
        reader=reader or None,
        include_ous=frozenset(map(OuId, include)),
        exclude_ous=frozenset(map(OuId, exclude)),
        exclude_accounts=frozenset(map(AccountId, exclude_accounts)),
        refresh_s=refresh_s,
    )


def sources(*listed: Account, wanted: Discovery | None = None, role_name: str = "Reader") -> AccountSources:
    return AccountSources(
        listed=Accounts(listed),
        defaults=AccountDefaults(role_name, (REGION,), "d-1", 1800),
        discovery=wanted,
    )


@asynccontextmanager
async def reading(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    sts_url: str | None = None,
    now: Callable[[], float] | None = None,
) -> AsyncIterator[Organizations]:
    """Lists the organization at `url`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts_url or url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASERVICE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    calls = AwsCalls()
    async with (
        Sts(_CONNECTION, calls, region=None, fallback_region=REGION) as sts,
        SharedTasks() as shared_tasks,
        RegionalClients(Service.ORGANIZATIONS, _CONNECTION, attempts=ATTEMPTS) as clients,
    ):
        sessions = SessionCache(
            sts, shared_tasks, session_name="test", max_concurrency=4, now=now or time.time
        )
        yield Organizations(clients, sts, sessions, calls)
