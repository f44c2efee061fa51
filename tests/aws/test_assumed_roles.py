"""The session cache, against STS over the wire. Tests that age sessions pass the time in."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from transfer_emulator import Emulator, Fault, FaultKind
from transfer_gateway.aws.assumed_roles import SessionCache
from transfer_gateway.aws.client import ConnectionSettings
from transfer_gateway.aws.sts import Sts
from transfer_gateway.domain.account import Account
from transfer_gateway.domain.errors import GatewayError, RoleNotAssumable, UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.telemetry import AwsCalls, Requests
from wire import GUARDED, HOME, PLAIN, becomes, counting, until, until_in_flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REGION = Region("eu-west-1")
CONNECTION = ConnectionSettings(connect_timeout_s=60, read_timeout_s=60)
ASSUME = "AssumeRole"


class Time:
    """A clock that only a test advances."""

    def __init__(self) -> None:
        self._started_at = time.time()
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self._started_at + self.ahead_s


def account(
    account_id: str = PLAIN, external_id: str | None = None, role: str = "TransferGatewayReader"
) -> Account:
    return Account(
        id=AccountId(account_id),
        alias=None,
        regions=(REGION,),
        role_arn=f"arn:aws:iam::{account_id}:role/{role}",
        external_id=external_id,
        session_duration_s=3600,
    )


@asynccontextmanager
async def cache(now: Time | None = None, max_concurrency: int = 32) -> AsyncIterator[SessionCache]:
    now = now or Time()
    async with (
        Sts(CONNECTION, AwsCalls(), region=None, fallback_region=REGION) as sts,
        SharedTasks() as shared_tasks,
    ):
        yield SessionCache(
            sts, shared_tasks, session_name="test", max_concurrency=max_concurrency, now=now, steady=now
        )


async def outcome(sessions: SessionCache, account: Account) -> str:
    try:
        await sessions.get(account, REGION)
    except GatewayError as error:
        return error.code
    return "ok"


async def test_one_flight_for_all(aws: Emulator) -> None:
    """200 concurrent callers without a cached session cause one AssumeRole call and share the session."""
    async with cache() as sessions:
        got = await asyncio.gather(*(sessions.get(account()) for _ in range(200)))
    assert len({id(session) for session in got}) == 1
    assert aws.calls.count(operation=ASSUME) == 1


async def test_denial_is_remembered(aws: Emulator) -> None:
    """200 callers while STS denies cause at most two calls, and all fail without waiting."""
    aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME))
    async with cache() as sessions, asyncio.timeout(20):  # the clock stands still: a wait would have no end
        codes = await asyncio.gather(*(outcome(sessions, account()) for _ in range(200)))
        codes += [await outcome(sessions, account()) for _ in range(50)]
    assert set(codes) == {"ROLE_NOT_ASSUMABLE"}
    assert aws.calls.count(operation=ASSUME) <= 2


async def test_what_is_remembered_is_small(aws: Emulator) -> None:
    """Of a role that can't be assumed the error is cached, without its traceback and frames."""
    aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME))
    async with cache() as sessions:
        traces = []
        with counting(TracebackType) as kept_traces:
            for number in range(20):
                assert await outcome(sessions, account(role=f"Reader{number}")) == "ROLE_NOT_ASSUMABLE"
                traces.append(kept_traces())
        assert traces[-1] <= traces[0]


async def test_denial_is_forgotten(aws: Emulator) -> None:
    """Once the role can be assumed again, it is, after the delay that callers were given."""
    now = Time()
    aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME, times=2))
    async with cache(now) as sessions:
        for _ in range(2):  # waiters for STS's answer, and a later caller
            with pytest.raises(RoleNotAssumable) as told:
                await sessions.get(account(), REGION)
            wait_s = told.value.retry_after_s or 0.0
            assert 0 < wait_s < 2
            assert told.value.region == REGION
        now.ahead_s += wait_s + 0.001
        assert await outcome(sessions, account()) == "ROLE_NOT_ASSUMABLE"
        now.ahead_s += 60
        assert await outcome(sessions, account()) == "ok"
    assert aws.calls.count(operation=ASSUME) == 3


async def test_renewed_ahead_of_expiry(aws: Emulator) -> None:
    """A session near its expiry is renewed in the background; callers use the old one meanwhile."""
    now = Time()
    async with cache(now) as sessions:
        first = await sessions.get(account())
        now.ahead_s = 3600 * 0.91
        assert await sessions.get(account()) is first

        async def is_renewed() -> bool:
            return await sessions.get(account()) is not first

        await becomes(is_renewed, expected=True)
    assert aws.calls.count(operation=ASSUME) == 2


async def test_not_renewed_early(aws: Emulator) -> None:
    """A session with more than a quarter of its lifetime left is not renewed."""
    now = Time()
    async with cache(now) as sessions:
        await sessions.get(account())
        now.ahead_s = 3600 * 0.7
        await sessions.get(account())
    assert aws.calls.count(operation=ASSUME) == 1


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.RESET, FaultKind.DENY])
async def test_sts_down_while_session_lasts(aws: Emulator, kind: FaultKind) -> None:
    """With STS down and five minutes left, every request is served, and STS gets few calls."""
    now = Time()
    async with cache(now) as sessions:
        first = await sessions.get(account())
        aws.faults.add(Fault(kind, operation=ASSUME))
        now.ahead_s = 3600 - 300
        for _ in range(20):
            served = await asyncio.gather(*(sessions.get(account()) for _ in range(50)))
            assert {id(session) for session in served} == {id(first)}
            await asyncio.sleep(0.01)  # in which a renewal may begin
        assert aws.calls.count(operation=ASSUME) <= 4
        now.ahead_s = 3700  # the session began some moments after the clock
        assert await outcome(sessions, account()) != "ok"


async def test_sts_gone_and_back(aws: Emulator) -> None:
    """An unreachable STS is UPSTREAM_UNAVAILABLE until it is back."""
    now = Time()
    async with cache(now) as sessions:
        await aws.stop()
        with pytest.raises(UpstreamUnavailable) as error:
            await sessions.get(account())
        assert error.value.account_id == PLAIN
        await aws.start()
        now.ahead_s = 2
        assert await outcome(sessions, account()) == "ok"


async def test_a_caller_that_gives_up(aws: Emulator) -> None:
    """A caller's cancellation ends its own wait; the shared task continues for the others."""
    aws.faults.add(Fault(FaultKind.LATENCY, operation=ASSUME, seconds=1))
    async with cache() as sessions:
        hasty = asyncio.create_task(sessions.get(account()))
        patient = asyncio.create_task(sessions.get(account()))
        await until_in_flight(aws, 1)
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        assert (await patient).expires_at > time.time()
    assert aws.calls.count(operation=ASSUME) == 1


async def test_the_last_caller_gives_up(aws: Emulator) -> None:
    """Without any waiter left, the shared task still completes: the next caller finds the session."""
    aws.faults.add(Fault(FaultKind.LATENCY, operation=ASSUME, seconds=0.2))
    async with cache() as sessions:
        only = asyncio.create_task(sessions.get(account()))
        await until_in_flight(aws, 1)
        only.cancel()
        await asyncio.wait([only])
        await until_in_flight(aws, 0)
        await sessions.get(account())
    assert aws.calls.count(operation=ASSUME) == 1


async def test_external_ids_keep_sessions_apart(aws: Emulator) -> None:
    """The same role with another external id has another session."""
    async with cache() as sessions:
        assert await outcome(sessions, account(GUARDED, "x-42")) == "ok"
        assert await outcome(sessions, account(GUARDED, "x-43")) == "ROLE_NOT_ASSUMABLE"
        assert await outcome(sessions, account(GUARDED)) == "ROLE_NOT_ASSUMABLE"
        assert await outcome(sessions, account(PLAIN, "x-42")) == "ok"
        assert await outcome(sessions, account(GUARDED, role="Absent")) == "ROLE_NOT_ASSUMABLE"
    assert aws.calls.count(operation=ASSUME) == 5


async def test_everything_asked_is_in_the_key(aws: Emulator) -> None:
    """A change of any AssumeRole parameter means another session."""
    plain = account()
    async with cache() as sessions:
        await sessions.get(plain)
        await sessions.get(replace(plain, alias="another name", regions=()))
        await sessions.get(replace(plain, session_duration_s=900))
        await sessions.get(replace(plain, external_id="x-1"))
    assert aws.calls.count(operation=ASSUME) == 3


async def test_concurrency_is_capped(aws: Emulator) -> None:
    """However many roles are needed at once, concurrent calls to STS are limited."""
    for number in range(40):
        aws.world.add_account(f"4{number:011}")
    aws.faults.add(Fault(FaultKind.LATENCY, operation=ASSUME, seconds=0.2))
    async with cache(max_concurrency=4) as sessions:
        await asyncio.gather(*(sessions.get(account(f"4{number:011}")) for number in range(40)))
    assert aws.calls.count(operation=ASSUME) == 40
    assert aws.calls.max_in_flight == 4


async def test_hanging_calls_delay_nobody_for_long(aws: Emulator) -> None:
    """More hanging AssumeRole calls than the limit: another account still gets its session soon."""
    for number in range(40):
        aws.world.add_account(f"4{number:011}")
        aws.faults.add(Fault(FaultKind.HANG, operation=ASSUME, account_id=f"4{number:011}"))
    async with cache() as sessions:
        hanging = [asyncio.create_task(outcome(sessions, account(f"4{number:011}"))) for number in range(40)]
        await until(lambda: aws.calls.in_flight >= 32)  # of those that hang, some no longer count
        async with asyncio.timeout(15):  # an AssumeRole that hangs is given up after 20 s
            assert await outcome(sessions, account()) == "ok"
        for task in hanging:
            task.cancel()


async def test_no_role_means_own_credentials(aws: Emulator) -> None:
    """An account without a role is accessed with the service's own credentials, and STS is not called."""
    async with cache() as sessions:
        session = await sessions.get(replace(account(HOME), role_arn=None))
    assert session.credentials.access_key == aws.world.home_key.access_key_id
    assert aws.calls.by_call() == {}


@pytest.mark.parametrize("role_arn", [None, f"arn:aws:iam::{PLAIN}:role/TransferGatewayReader"])
async def test_no_credentials_at_all(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch, role_arn: str | None
) -> None:
    """A service without credentials reports that for every account, and never calls AWS unsigned."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with cache() as sessions:
        assert await outcome(sessions, replace(account(), role_arn=role_arn)) == "ROLE_NOT_ASSUMABLE"
    assert aws.calls.by_call() == {}


async def test_removed_accounts_are_forgotten(aws: Emulator) -> None:
    """A session survives a reload only while its role is still configured."""
    async with cache() as sessions:
        await sessions.get(account())
        await sessions.get(account(GUARDED, "x-42"))
        sessions.keep_only([account()])
        await sessions.get(account())
        await sessions.get(account(GUARDED, "x-42"))
    assert aws.calls.count(operation=ASSUME, account_id=PLAIN) == 1
    assert aws.calls.count(operation=ASSUME, account_id=GUARDED) == 2


async def test_secrets_stay_out_of_repr(aws: Emulator) -> None:
    """Nothing that a log may contain shows a credential or an external id."""
    async with cache() as sessions:
        guarded = account(GUARDED, "x-42")
        session = await sessions.get(guarded)
        shown = f"{session!r} {guarded!r} {sessions!r}"
    for secret in (session.credentials.secret_key, session.credentials.token, "x-42"):
        assert secret not in shown


async def test_backoff_grows_and_ends(aws: Emulator) -> None:
    """Each further failure is cached longer, up to half a minute; a success ends that."""
    now = Time()
    waits = []
    aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME))
    async with cache(now) as sessions:
        for _ in range(7):
            with suppress(RoleNotAssumable):
                await sessions.get(account())
            with pytest.raises(RoleNotAssumable) as told:
                await sessions.get(account())
            waits.append(told.value.retry_after_s or 0.0)
            now.ahead_s += waits[-1] + 0.001
        assert all(0.75 * 2**n <= wait_s <= 1.25 * 2**n for n, wait_s in enumerate(waits[:5]))
        assert all(20 < wait_s <= 37.5 for wait_s in waits[5:])
        entry = next(iter(sessions._entries.values()))
        entry.failed.count = 10_000
        assert await outcome(sessions, account()) == "ROLE_NOT_ASSUMABLE"
        aws.faults.clear()
        now.ahead_s += 40
        assert await outcome(sessions, account()) == "ok"
        sessions.drop(account(), await sessions.get(account()))
        aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME))
        with suppress(RoleNotAssumable):
            await sessions.get(account())
        with pytest.raises(RoleNotAssumable) as told:
            await sessions.get(account())
        assert (told.value.retry_after_s or 0.0) < 1.3


async def test_leaving_ends_flights(aws: Emulator) -> None:
    """Leaving the shared tasks' context ends all of them."""
    aws.faults.add(Fault(FaultKind.HANG, operation=ASSUME))
    async with cache() as sessions:
        waiting = asyncio.create_task(sessions.get(account()))
        await until_in_flight(aws, 1)
    assert (await asyncio.gather(waiting, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("assume")]


async def test_what_sts_is_told(aws: Emulator) -> None:
    """The role session's name and duration are the configured ones."""
    async with cache() as sessions:
        session = await sessions.get(replace(account(), session_duration_s=900))
    assert 800 < session.expires_at - time.time() <= 900
    (key,) = (key for key in aws.world.keys._sessions.values())
    assert key.caller.arn.endswith("/TransferGatewayReader/test")


@pytest.mark.fast_time
async def test_credentials_that_come_later(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service that starts before its credentials are available uses them once they are."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    now = Time()
    async with cache(now) as sessions:
        assert await outcome(sessions, account()) == "ROLE_NOT_ASSUMABLE"
        key = aws.world.home_key
        file.write_text(
            f"[default]\naws_access_key_id={key.access_key_id}\naws_secret_access_key={key.secret}\n"
        )

        async def a_minute_later() -> str:
            now.ahead_s += 60
            await asyncio.sleep(10)
            return await outcome(sessions, account())

        await becomes(a_minute_later, "ok")


async def test_a_renewal_in_the_background_is_nobodys(aws: Emulator) -> None:
    """A request that triggers a renewal does not wait for it: the call does not count as its own."""
    now, requests = Time(), Requests(slow_s=60)
    async with cache(now) as sessions:
        first = requests.begin("graphql", "execution", "first")
        await sessions.get(account())
        now.ahead_s = 3600 * 0.95
        second = requests.begin("graphql", "execution", "second")
        await sessions.get(account())
        await until(lambda: aws.calls.count(operation=ASSUME) == 2)
        await until(lambda: aws.calls.in_flight == 0)
    assert (first.aws_calls, second.aws_calls) == (1, 0)
