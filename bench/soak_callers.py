"""The soak test's callers: each sends requests at a steady rate to one server, with short-lived tokens."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from soak_plan import OK, Answer

from transfer_api.v1 import error_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soak_plan import Judge

    from issuer import LocalIssuer

TOKEN_LIFE_S = 20
MAX_AGES_S = (0.0, 1.0, 1.0, 5.0)
HANGS_UP_AFTER_S = 0.01
EXECUTIONS = """
query Soak($keys: [ExecutionKey!]!, $maxAge: Float) {
  executions(keys: $keys, maxAge: $maxAge) {
    __typename
    ... on Execution { id status posixProfile { uid } results { steps { stepType outputs } } observedAt }
    ... on Error { code message }
  }
}
"""
LIST = """
query SoakList {
  inProgressExecutions(first: 50) { edges { node { id } } targetFailures { accountId error { code } } }
}
"""


class Caller(ABC):
    """One client. `ask` sends its next request; every response goes to the judge."""

    door: str

    def __init__(self, name: str, group: str, issuer: LocalIssuer, judge: Judge) -> None:
        self.name, self.group = name, group
        self._issuer, self._judge = issuer, judge
        self._token = self._stale = ""
        self._good_until = 0.0

    @abstractmethod
    async def execute(
        self, keys: list[dict[str, str]], max_age_s: float, token: str
    ) -> list[tuple[str, bool | None]]:
        """Each key's code, and whether the POSIX profile was visible."""

    @abstractmethod
    async def list_failures(self, token: str) -> list[tuple[str, str]]:
        """List everything. Returns: account and code of what is missing; account "" if the whole list is."""

    async def ask(self, number: int, keys: list[dict[str, str]]) -> None:
        """The `number`th request; the number determines its kind."""
        max_age_s = random.choice(MAX_AGES_S)
        token = self._current_token()
        turn = number % 100
        if number % 400 == 399:
            await self._ask_for_the_list(token)
        elif turn < 6:
            await self._look_up(random.sample(keys, 5), max_age_s, token)
        elif turn < 8:
            unknown = random.choice(keys) | {"executionId": f"00000000-0000-4000-8000-{number % 10**12:012}"}
            await self._look_up([unknown], max_age_s, token, wanted="EXECUTION_NOT_FOUND")
        elif turn < 11:
            await self._look_up([random.choice(keys)], max_age_s, self._stale, wanted="UNAUTHENTICATED")
        elif turn < 14:  # hangs up
            with suppress(TimeoutError):
                await asyncio.wait_for(self.execute([random.choice(keys)], 0.0, token), HANGS_UP_AFTER_S)
        else:
            await self._look_up([random.choice(keys)], max_age_s, token)

    async def look_up_slowly(self, key: dict[str, str]) -> None:
        """One lookup that AWS has to answer."""
        await self._look_up([key], 0.0, self._current_token())

    async def _look_up(
        self, keys: list[dict[str, str]], max_age_s: float, token: str, wanted: str = OK
    ) -> None:
        loop, token_ends_at = asyncio.get_running_loop(), self._good_until
        since = loop.time()
        answers = await self.execute(keys, max_age_s, token)
        until, expired = loop.time(), time.time() >= token_ends_at
        for key, (code, shows_posix) in zip(keys, answers, strict=True):
            self._judge.judge(
                Answer(
                    self.door,
                    self.group,
                    key["accountId"],
                    since,
                    until,
                    code,
                    shows_posix=shows_posix,
                    wanted=wanted,
                    expired=expired,
                    alone=len(keys) == 1,
                )
            )

    async def _ask_for_the_list(self, token: str) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        for account, code in await self.list_failures(token):
            self._judge.judge(Answer(f"{self.door} list", self.group, account, since, loop.time(), code))
        self._judge.outcomes[f"{self.door} list", "answered"] += 1

    def _current_token(self) -> str:
        """Renewed a second before its expiry, as a careful client does; and an expired one."""
        now = time.time()
        if now > self._good_until - 1:
            who: dict[str, Any] = {"sub": self.name, "groups": [self.group]}
            self._token = self._issuer.token(**who, exp=int(now) + TOKEN_LIFE_S)
            self._stale = self._issuer.token(**who, exp=int(now) - 60)
            self._good_until = int(now) + TOKEN_LIFE_S
        return self._token


class GraphQLCaller(Caller):
    door = "GraphQL"

    def __init__(
        self,
        name: str,
        group: str,
        issuer: LocalIssuer,
        judge: Judge,
        *,
        http: aiohttp.ClientSession,
        url: str,
    ) -> None:
        super().__init__(name, group, issuer, judge)
        self._http, self._url = http, f"{url}/graphql"

    async def execute(
        self, keys: list[dict[str, str]], max_age_s: float, token: str
    ) -> list[tuple[str, bool | None]]:
        answer = await self._post(
            {"query": EXECUTIONS, "variables": {"keys": keys, "maxAge": max_age_s}}, token
        )
        if isinstance(answer, str):
            return [(answer, None)] * len(keys)
        return [
            (item["code"], None) if "code" in item else (OK, item["posixProfile"] is not None)
            for item in answer["executions"]
        ]

    async def list_failures(self, token: str) -> list[tuple[str, str]]:
        answer = await self._post({"query": LIST}, token)
        if isinstance(answer, str):
            return [("", answer)]
        failures = answer["inProgressExecutions"]["targetFailures"]
        return [(failure["accountId"], failure["error"]["code"]) for failure in failures]

    async def _post(self, body: dict[str, Any], token: str) -> dict[str, Any] | str:
        """The data, or the code of a failed request."""
        try:
            async with self._http.post(
                self._url, json=body, headers={"authorization": f"Bearer {token}"}
            ) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"HTTP {type(error).__name__}"
        if "errors" in answer:
            first = answer["errors"][0]
            code = str(first["extensions"]["code"])
            return f"{code}: {first['message']}" if code == "BAD_USER_INPUT" else code
        data: dict[str, Any] = answer["data"]
        return data


class GrpcCaller(Caller):
    door = "gRPC"

    def __init__(
        self, name: str, group: str, issuer: LocalIssuer, judge: Judge, channel: grpc.aio.Channel
    ) -> None:
        super().__init__(name, group, issuer, judge)
        # Its asynchronous methods have no types of their own.
        self._stub: Any = ExecutionServiceStub(channel)

    async def execute(
        self, keys: list[dict[str, str]], max_age_s: float, token: str
    ) -> list[tuple[str, bool | None]]:
        asked = {"maxAge": f"{max_age_s:.0f}s"}
        metadata = [("authorization", f"Bearer {token}")]
        try:
            if len(keys) == 1:
                one = ParseDict(asked | {"key": keys[0]}, pb.GetExecutionRequest())
                answer = await self._stub.GetExecution(one, timeout=10, metadata=metadata)
                return [(OK, answer.execution.HasField("posix_profile"))]
            many = ParseDict(asked | {"keys": keys}, pb.BatchGetExecutionsRequest())
            found: dict[int, tuple[str, bool | None]] = {}
            async for item in self._stub.BatchGetExecutions(many, timeout=10, metadata=metadata):
                found[item.index] = (
                    (OK, item.execution.HasField("posix_profile"))
                    if item.WhichOneof("outcome") == "execution"
                    else (_name(item.error.code), None)
                )
            return [found.get(index, ("gRPC missing", None)) for index in range(len(keys))]
        except grpc.aio.AioRpcError as error:
            return [(_reason(error), None)] * len(keys)

    async def list_failures(self, token: str) -> list[tuple[str, str]]:
        try:
            answer = await self._stub.ListExecutions(
                pb.ListExecutionsRequest(page_size=50),
                timeout=10,
                metadata=[("authorization", f"Bearer {token}")],
            )
        except grpc.aio.AioRpcError as error:
            return [("", _reason(error))]
        return [(failure.account_id, _name(failure.error.code)) for failure in answer.target_failures]


def _name(code: error_pb2.ErrorCode.ValueType) -> str:
    return error_pb2.ErrorCode.Name(code).removeprefix("ERROR_CODE_")


def _reason(error: Any) -> str:  # noqa: ANN401  grpc.aio's error, which grpc-status's types don't know
    """The gateway's code, or gRPC's own status if the gateway did not respond."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return f"gRPC {error.code().name}: {error.details()}"[:100]


async def ask_steadily(
    callers: list[Caller], keys: list[dict[str, str]], per_s: float, stop: asyncio.Event
) -> int:
    """Requests by all callers in turn, at that rate, until stopped, whatever the latency. Returns: their number."""
    loop = asyncio.get_running_loop()
    started, numbers = loop.time(), [count(random.randrange(100)) for _ in callers]
    asked = 0
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            await asyncio.sleep(max(0.0, started + asked / per_s - loop.time()))
            at = asked % len(callers)
            tasks.create_task(callers[at].ask(next(numbers[at]), keys))
            asked += 1
    return asked


def groups() -> Iterable[str]:
    """One server's callers: the first one is a guest."""
    return ("guests", "staff", "staff", "staff")
