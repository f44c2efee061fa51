"""The emulator on a port, and AWS's own clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import aiohttp
import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from transfer_emulator import Emulator, LogSettings, Role, World

HOME = "999999999999"
ACCOUNT = "111111111111"
OTHER_ACCOUNT = "222222222222"
REGION = "eu-west-1"
_TARGET_PREFIXES = {"transfer": "TransferService", "logs": "Logs_20140328"}
ROOT_OF_HOME = f"arn:aws:iam::{HOME}:root"

# Names and model files are read once for all tests; credentials and endpoints are given to each client.
_BOTO3 = boto3.Session()
_CONFIG = Config(
    parameter_validation=False,
    retries={"total_max_attempts": 1},
    connect_timeout=30,
    read_timeout=30,
    ignore_configured_endpoint_urls=True,
)


@dataclass(frozen=True)
class Answer:
    """A response as it was on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code, in either protocol."""
        if self.body.startswith(b"{"):
            return str(json.loads(self.body)["__type"])
        return ET.fromstring(self.body).findtext(".//{*}Code", "")  # noqa: S314 - our own emulator's

    @property
    def message(self) -> str:
        if self.body.startswith(b"{"):
            told = json.loads(self.body)
            return str(told.get("Message", told.get("message")))
        return ET.fromstring(self.body).findtext(".//{*}Message", "")  # noqa: S314 - our own emulator's


@dataclass
class Aws:
    """Clients of one emulator."""

    emulator: Emulator
    clients: list[Any] = field(default_factory=list)

    @property
    def home_credentials(self) -> Credentials:
        key = self.emulator.world.home_key
        return Credentials(key.access_key_id, key.secret)

    def client(
        self,
        service: str,
        credentials: Credentials | None = None,
        region: str = REGION,
        *,
        read_timeout: float = 30,
        url: str | None = None,
    ) -> Any:
        signer = credentials or self.home_credentials
        client = _BOTO3.client(
            service,
            endpoint_url=url or self.emulator.url,
            region_name=region,
            aws_access_key_id=signer.access_key,
            aws_secret_access_key=signer.secret_key,
            aws_session_token=signer.token,
            config=_CONFIG.merge(Config(read_timeout=read_timeout)),
        )
        self.clients.append(client)
        return client

    async def call(self, client: Any, operation: str, **asked: object) -> dict[str, Any]:
        """One boto3 call, in a thread."""
        answer = await asyncio.to_thread(getattr(client, operation), **asked)
        return dict(answer)

    async def refused(self, client: Any, operation: str, **asked: object) -> dict[str, Any]:
        """The error response of a failing call."""
        with pytest.raises(ClientError) as refusal:
            await self.call(client, operation, **asked)
        return dict(refusal.value.response)

    async def session(self, account_id: str = ACCOUNT, **asked: object) -> Credentials:
        """Credentials of the account's default role."""
        asked.setdefault("RoleArn", f"arn:aws:iam::{account_id}:role/TransferGatewayReader")
        answer = await self.call(self.client("sts"), "assume_role", RoleSessionName="tests", **asked)
        told = answer["Credentials"]
        return Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])

    def signed(
        self,
        service: str,
        operation: str,
        asked: Mapping[str, object] | bytes,
        *,
        credentials: Credentials | None = None,
        region: str = REGION,
        scope_service: str | None = None,
    ) -> AWSRequest:
        """A request signed by botocore; later changes are not covered by the signature."""
        if service in _TARGET_PREFIXES:
            body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
            headers = {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"{_TARGET_PREFIXES[service]}.{operation}",
            }
        else:
            form = {
                "Action": operation,
                "Version": "2011-06-15",
                **(asked if isinstance(asked, dict) else {}),
            }
            body = asked if isinstance(asked, bytes) else urlencode(form).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        headers["Host"] = self.emulator.url.removeprefix("http://")
        request = AWSRequest("POST", f"{self.emulator.url}/", headers, body)
        SigV4Auth(credentials or self.home_credentials, scope_service or service, region).add_auth(request)
        return request

    def resign(self, request: AWSRequest, service: str) -> None:
        """Sign a modified request."""
        for name in ("Authorization", "X-Amz-Date"):
            del request.headers[name]
        SigV4Auth(self.home_credentials, service, REGION).add_auth(request)

    async def send(self, request: AWSRequest) -> Answer:
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method, request.url, data=request.data, headers=dict(request.headers.items())
            ) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def raw(
        self, service: str, operation: str, asked: Mapping[str, object] | bytes, **how: Any
    ) -> Answer:
        """Send a signed call. Returns: the response as it was on the wire."""
        return await self.send(self.signed(service, operation, asked, **how))

    async def exchange(self, sent: bytes) -> bytes:
        """Send these bytes. Returns: everything received until the connection ends."""
        host, _, port = self.emulator.url.removeprefix("http://").partition(":")
        stream, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(sent)
            return await stream.read()
        finally:
            writer.close()

    def close(self) -> None:
        for client in self.clients:
            client.close()


@pytest.fixture
def world() -> World:
    """Two accounts in two regions; the second one's role requires an external id."""
    world = World(HOME, (REGION, "us-east-1"))
    world.add_account(ACCOUNT)
    world.add_account(
        OTHER_ACCOUNT, [Role("TransferGatewayReader", trusted_principals=(ROOT_OF_HOME,), external_id="x-42")]
    )
    return world


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[Emulator]:
    """Without the empty pages of logs, which come at random."""
    async with Emulator(world, log_settings=LogSettings(empty_page_share=0.0)) as emulator:
        yield emulator


@pytest.fixture
def aws(emulator: Emulator) -> Iterator[Aws]:
    """Clients of `emulator`."""
    aws = Aws(emulator)
    yield aws
    aws.close()


@pytest.fixture
def new_aws() -> Iterator[Any]:
    """Create clients for an emulator that the test has started itself."""
    made: list[Aws] = []

    def make(emulator: Emulator) -> Aws:
        made.append(Aws(emulator))
        return made[-1]

    yield make
    for aws in made:
        aws.close()
