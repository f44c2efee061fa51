"""Circuit breakers of replicas: one opens for all, one probes for all, and all close when AWS answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from transfer_gateway.core.pacing import Pacing, PacingLimits
from transfer_gateway.core.shared_breakers import SharedBreakers
from transfer_gateway.domain.errors import GatewayError, UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId, Region, Target

pytestmark = pytest.mark.made_up_time
HERE = Target(AccountId("111111111111"), Region("eu-west-1"))
LIMITS = PacingLimits(rate_per_s=1000, burst=1000, max_in_flight=100, max_in_flight_overall=1000)


class Aws:
    """Fails until it is mended. `calls`: since it was last looked at."""

    def __init__(self) -> None:
        self.is_broken, self.calls = True, 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.is_broken:
            raise UpstreamUnavailable("AWS failed.")
        return "ok"


class Replica:
    def __init__(self, name: str, aws: Aws) -> None:
        self.name, self.aws = name, aws
        self.pacing = Pacing(LIMITS)
        self.breakers = SharedBreakers(self.pacing)
        self.breakers.name(name)

    async def answers(self) -> bool:
        with suppress(GatewayError):
            return await self.pacing.call(HERE, self.aws, deadline=_now()) == "ok"
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()


async def pass_time(seconds: float, *replicas: Replica, asked: tuple[Replica, ...] | None = None) -> None:
    """Those that are asked, are asked ten times a second; each beats once a second."""
    for tenth in range(int(seconds * 10)):
        for at, replica in enumerate(replicas):
            if tenth % 10 == at:
                told = replica.breakers.tell()
                for other in replicas:
                    if other is not replica:
                        other.breakers.learn(replica.name, told)
        for replica in replicas if asked is None else asked:
            await replica.answers()
        await asyncio.sleep(0.1)  # of made-up time


async def probes_of(count: int) -> int:
    """In a minute, of so many replicas, once all know."""
    aws = Aws()
    replicas = [Replica(str(number), aws) for number in range(count)]
    await pass_time(30, *replicas)
    aws.calls = 0
    await pass_time(60, *replicas)
    return aws.calls


async def test_one_probes_for_all() -> None:
    alone = await probes_of(1)
    assert 10 <= alone <= 20
    assert await probes_of(4) <= alone * 1.2


async def test_all_close_when_aws_answers() -> None:
    aws = Aws()
    replicas = [Replica(str(number), aws) for number in range(4)]
    await pass_time(30, *replicas)
    assert not any([await replica.answers() for replica in replicas])
    aws.is_broken = False
    await pass_time(10, *replicas)
    assert all([await replica.answers() for replica in replicas])


async def test_another_one_probes_if_nobody_asks_where_it_opened() -> None:
    aws = Aws()
    first, second, third = (Replica(name, aws) for name in ("first", "second", "third"))
    aws.is_broken = False
    await asyncio.gather(*(replica.answers() for replica in (first, second, third)))
    aws.is_broken = True
    await pass_time(3, first, second, third, asked=(first,))
    aws.calls = 0
    assert not await second.answers()
    assert aws.calls == 0, "it has been told"
    aws.is_broken = False
    await pass_time(10, first, second, third, asked=(second,))
    assert await second.answers()
    assert await first.answers()
    assert await third.answers()


async def test_what_a_new_replica_sees_is_later_than_what_was() -> None:
    """The numbers of changes go on, whoever has them."""
    aws = Aws()
    old = Replica("old", aws)
    for aws.is_broken in (True, False):
        await pass_time(30, old)
    new = Replica("new", aws)
    await pass_time(3, old, new)
    aws.is_broken = True
    await pass_time(3, old, new, asked=(new,))
    aws.calls = 0
    assert not await old.answers()
    assert aws.calls == 0, "it has been told"


def told_of(*row: object) -> str:
    return json.dumps({"highest": 5, "breakers": [[*HERE, *row]]})


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"highest": null, "breakers": []}',
        '{"highest": 1e999, "breakers": []}',
        '{"highest": 18446744073709551614, "breakers": []}',
        '{"highest": 9, "breakers": [[1]]}',
        told_of(3, "z" * 10_000, 5, 5.0, 5.0),
        told_of(3, "z", -5, 5.0, 5.0),
        told_of(3, "z", 5, float("nan"), 5.0),
        told_of(3, "z", 5, 5.0, 1e300),
    ],
    ids=range(12),
)
async def test_what_can_not_be_read_is_left_out(told: str) -> None:
    replica = Replica("this", Aws())
    aws = replica.aws
    aws.is_broken = False
    await replica.answers()
    replica.breakers.learn("another", told)
    assert await replica.answers()
    assert json.loads(replica.breakers.tell()) == {"highest": 0, "breakers": []}
