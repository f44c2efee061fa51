"""The rates of following: what each kind of log gets, and how lookups take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.core.follow_rate import MAX_IDLE_S, Demand, FollowRate
from transfer_gateway.domain.identity import AccountId, Region, Target

TARGET, OTHER = (Target(AccountId(account * 12), Region("eu-west-1")) for account in "12")
INTERVAL_S, LIMIT = 2.0, 420.0
COUNTS = st.integers(0, 100_000)


def rate_of(active: int = 0, idle: int = 0, past: int = 0) -> FollowRate:
    rate = FollowRate(interval_s=INTERVAL_S, max_reads_per_s=LIMIT)
    rate.count(TARGET, Demand(active, idle, past))
    return rate


def reads_per_s(rate: FollowRate, demand: Demand) -> float:
    """Of a log whose intervals the limit decides, or its own."""
    idle_s = max(MAX_IDLE_S, rate.idle_s)
    past = demand.past / rate.past_s if demand.past else 0.0
    return demand.active / rate.active_s + demand.idle / idle_s + past


@given(COUNTS, COUNTS, COUNTS)
def test_all_logs_together_stay_below_the_limit(active: int, idle: int, past: int) -> None:
    """However many of each kind there are."""
    assert reads_per_s(rate_of(active, idle, past), Demand(active, idle, past)) <= LIMIT * 1.000001


@pytest.mark.parametrize(
    ("demand", "active_s", "idle_s"),
    [
        pytest.param(Demand(active=100, idle=1000), 2.0, 1000 / 370, id="few: both as often as they like"),
        pytest.param(Demand(idle=40_000), 2.0, 40_000 / 420, id="quiet ones are slowed down"),
        pytest.param(Demand(active=600, idle=40_000), 2.0, 40_000 / 120, id="quiet ones first"),
        pytest.param(Demand(active=2000, idle=40_000), 2000 / 336, 40_000 / 84, id="a fifth is left to them"),
        pytest.param(Demand(active=2000), 2000 / 420, 0.0, id="active ones alone use all of it"),
    ],
)
def test_quiet_logs_are_slowed_down_first(demand: Demand, active_s: float, idle_s: float) -> None:
    rate = rate_of(*demand)
    assert (rate.active_s, rate.idle_s) == pytest.approx((active_s, idle_s))


def test_the_past_gets_what_quiet_logs_cannot_use() -> None:
    """At least half of what active logs leave."""
    assert rate_of(idle=10, past=10).past_s == pytest.approx(10 / 415)
    assert rate_of(idle=40_000, past=40_000).past_s == pytest.approx(40_000 / 210)


def test_a_target_is_counted_as_it_is_now() -> None:
    """Not as it was, and not after it is gone."""
    rate = rate_of(active=4000)
    rate.count(OTHER, Demand(active=4000))
    rate.count(TARGET, Demand(active=200))
    rate.forget(OTHER)
    assert rate.active_s == INTERVAL_S


@pytest.mark.parametrize(("is_first", "per_s"), [(True, 50), (False, 25)])
def test_lookups_take_turns(is_first: bool, per_s: float) -> None:  # noqa: FBT001
    """50 at once, then so many a second; and after a pause again."""
    rate = rate_of()
    turns = [rate.next_lookup(1000.0, is_first=is_first) for _ in range(1050)]
    assert turns[:50] == [1000.0] * 50
    assert turns[-1] == pytest.approx(1000 + 1000 / per_s, abs=0.1)
    assert [rate.next_lookup(2000.0, is_first=is_first) for _ in range(50)] == [2000.0] * 50


def test_lookups_are_repeated_less_often_with_many_targets() -> None:
    """So that they never take more than their rate."""
    rate = rate_of()
    rate.targets = 1000
    assert rate.lookup_every_s == 300.0
    rate.targets = 40_000
    assert rate.lookup_every_s == 1600.0
