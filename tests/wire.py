"""What tests share: a client of the service, and executions to look up. All on the wire."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import json
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol
from yarl import URL

from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from multidict import CIMultiDictProxy

    from transfer_emulator import Emulator, World

HOME, PLAIN, GUARDED = "999999999999", "111111111111", "222222222222"
REGION = "eu-west-1"
TRANSPORT_WS = "graphql-transport-ws"
JSON = {"content-type": "application/json"}
NOT_A_CURSOR = (
    "must be a cursor of this list. "
    "Cursors may end with the gateway that issued them: begin with the first page."
)
_PATIENCE_S = 60

QUERY = """
query Lookup($key: ExecutionKey!, $maxAge: Float) {
  executionOrError(key: $key, maxAge: $maxAge) {
    __typename
    ... on Execution {
      id accountId region account { alias } workflowId executionId
      initialFileLocation { s3FileLocation { bucket key versionId etag } efsFileLocation { fileSystemId path } }
      serviceMetadata { userDetails { userName serverId sessionId } }
      executionRole loggingConfiguration { loggingRole logGroupName }
      posixProfile { uid gid secondaryGids } status rawStatus
      results {
        steps { stepType rawStepType outputs error { type rawType message } }
        onExceptionSteps { stepType rawStepType outputs error { type rawType message } }
      }
      observedAt
    }
    ... on Error {
      code message retryable retryAfter awsRequestId target { accountId region }
    }
  }
}
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Gateway:
    """A client of a running service, which it asks over HTTP as any other client would."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def send(
        self,
        method: str,
        path: str = "/graphql",
        body: bytes | None = None,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        *,
        encoded: bool = False,
        **options: Any,
    ) -> Answer:
        """`encoded`: the path is sent as it is."""
        data = None if body is None else io.BytesIO(body)
        url = URL(self.url + path, encoded=encoded)
        async with self._http.request(method, url, data=data, headers=headers, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    @asynccontextmanager
    async def open(
        self, method: str, body: bytes | None, headers: dict[str, str], path: str = "/graphql"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body is read by whoever asks."""
        url = URL(self.url + path)
        async with self._http.request(
            method, url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(_PATIENCE_S)
        ) as response:
            yield response

    async def post(self, body: Any, **headers: str) -> Answer:
        """POST what may be a GraphQL request, as JSON."""
        return await self.send("POST", body=json.dumps(body).encode(), headers=JSON | headers)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.post({"query": query, "variables": variables})).json()
        return answer

    async def look_up(self, key: ExecutionKey, max_age: float | None = None) -> dict[str, Any]:
        answer = await self.ask(QUERY, key=to_input(key), maxAge=max_age)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["executionOrError"]
        return found


@asynccontextmanager
async def calling(
    url: str, token: str | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Gateway]:
    """A client of the service at `url`."""
    connector = aiohttp.TCPConnector(limit=100, ssl=tls or True)
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    async with aiohttp.ClientSession(
        connector=connector, skip_auto_headers=("content-type",), headers=headers
    ) as http:
        yield Gateway(url, http)


class Socket:
    """A client that speaks the protocol message by message."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def next(self) -> dict[str, Any]:
        text = await self.connection.recv()
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        return message

    async def subscribe(self, number: str, query: str, **variables: Any) -> None:
        payload = {"query": query, "variables": variables}
        await self.send({"type": "subscribe", "id": number, "payload": payload})


@asynccontextmanager
async def socket(
    url: str, protocol: str = TRANSPORT_WS, *, init: bool = True, **options: Any
) -> AsyncIterator[Socket]:
    address = url.replace("http", "ws", 1) + "/graphql"
    async with connect(address, subprotocols=[Subprotocol(protocol)], **options) as connection:
        client = Socket(connection)
        if init:
            await client.send({"type": "connection_init"})
            assert await client.next() == {"type": "connection_ack"}
        yield client


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, for what no client of HTTP would send."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def to_input(key: ExecutionKey) -> dict[str, str]:
    return {
        "accountId": key.account_id,
        "region": key.region,
        "workflowId": key.workflow_id,
        "executionId": key.execution_id,
    }


def place(
    world: World, account_id: str = PLAIN, region: str = REGION, execution: dict[str, Any] | None = None
) -> ExecutionKey:
    """Put an execution into a new workflow of that account and region."""
    workflow_id = world.add_workflow(account_id, region)
    execution_id = world.place(account_id, region, workflow_id, execution)
    return ExecutionKey(
        AccountId(account_id), Region(region), WorkflowId(workflow_id), ExecutionId(execution_id)
    )


@contextmanager
def counting(kind: type) -> Iterator[Callable[[], int]]:
    """How many objects of a kind there are, of those that are made from now on."""
    gc.collect()
    gc.freeze()  # else each count visits whatever other tests have left

    def count() -> int:
        gc.collect()
        return sum(isinstance(thing, kind) for thing in gc.get_objects())

    yield count


async def until(happened: Callable[[], object], *, within_s: float = _PATIENCE_S) -> None:
    """Wait for what must happen, however busy the machine is."""
    last: object = None
    try:
        async with asyncio.timeout(within_s):
            while not (last := happened()):
                await asyncio.sleep(0.01)  # the interval of polling
    except TimeoutError:
        message = f"did not happen within {within_s} s: {_source(happened)} is {last!r}"
        raise AssertionError(message) from None


async def becomes(
    ask: Callable[[], Awaitable[object]], expected: object, *, within_s: float = _PATIENCE_S
) -> None:
    """Ask until the answer is the one expected."""
    last: object = None
    try:
        async with asyncio.timeout(within_s):
            pause_s = 0.02
            while (last := await ask()) != expected:
                await asyncio.sleep(pause_s)  # the interval of polling
                pause_s = min(0.2, pause_s * 1.5)  # what takes long is not made slower by being asked often
    except TimeoutError:
        message = f"did not become {expected!r} within {within_s} s: {_source(ask)} is {last!r}"
        raise AssertionError(message) from None


def _source(asked: Callable[..., object]) -> str:
    """The line that says what was waited for."""
    try:
        return inspect.getsource(asked).splitlines()[0].strip()
    except (OSError, TypeError):  # such as a partial, which has no source
        return repr(asked)


async def until_in_flight(aws: Emulator, number: int) -> None:
    """Wait until so many calls to AWS are under way."""
    await until(lambda: aws.calls.in_flight == number)
