"""AWS's last answers about executions, which replicas that share the store have from each other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_gateway.history.append import key_of
from transfer_gateway.history.codec import dump, observed_from, observed_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.fleet_statements import FleetStatements
    from transfer_gateway.history.operations import Operations


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS answered when it was asked at that time, in ms since 1970; None: it has no such execution."""

    sent_at_ms: int
    execution: Execution | None


@dataclass(slots=True)
class Round:
    """What is written, then asked for, in one transaction. Times are of `now_ms`, this replica's clock.

    `wanted`: from when on an answer is new enough, in ms. Those without one are claimed for `claim_ms`.
    """

    seen: Mapping[ExecutionKey, Seen]
    released: Iterable[ExecutionKey]
    wanted: Mapping[ExecutionKey, int]
    now_ms: Callable[[], int]
    claim_ms: int


@dataclass(slots=True)
class RoundResult:
    """`claimed`: to be asked for by whoever wanted them. Of what is in neither, another replica asks AWS right now."""

    found: dict[ExecutionKey, Seen] = field(default_factory=dict)
    claimed: set[ExecutionKey] = field(default_factory=set)


class SnapshotStore:
    """Every method raises UpstreamUnavailable while the store can't be used."""

    def __init__(self, operations: Operations, statements: FleetStatements) -> None:
        self._operations, self._statements = operations, statements

    async def exchange(self, given: Round) -> RoundResult:
        return await self._operations.write("snapshots", partial(self._exchange, given=given))

    async def _exchange(self, connection: AsyncConnection, *, given: Round) -> RoundResult:
        """Times are stored by the database's clock, as replicas' may differ: rounded such that none is too young."""
        asked_ms = given.now_ms()
        now_ms: int = (await connection.execute(self._statements.clock)).scalar_one()
        to_stored, from_stored = now_ms - given.now_ms(), asked_ms - now_ms
        if given.seen:
            rows = [_row(key, given.seen[key], to_stored) for key in sorted(given.seen)]
            await connection.execute(self._statements.save_snapshots, {"rows": dump(rows), "now": now_ms})
        if released := [key._asdict() for key in sorted(given.released)]:
            await connection.execute(self._statements.release_snapshots, {"rows": dump(released)})
        result = RoundResult()
        if not given.wanted:
            return result
        ids = self._statements.ids({key.execution_id for key in given.wanted})
        for row in await connection.execute(self._statements.snapshots, {"ids": ids}):
            key = key_of((row.account_id, row.region, row.workflow_id, row.execution_id))
            least, sent_at_ms = given.wanted.get(key), row.sent_at + from_stored
            if least is not None and least <= sent_at_ms and row.sent_at <= now_ms:
                # What can't be read may be another version's.
                with suppress(KeyError, TypeError, ValueError):
                    execution = None if row.body is None else observed_from(key, row.body)
                    result.found[key] = Seen(sent_at_ms, execution)
        until_ms = now_ms + given.claim_ms
        missing = [
            {**key._asdict(), "claimed_until": until_ms}
            for key in sorted(given.wanted.keys() - result.found.keys())
        ]
        if missing:
            claim = {"rows": dump(missing), "now": now_ms, "until": until_ms}
            claimed = await connection.execute(self._statements.claim_snapshots, claim)
            result.claimed = {key_of(row) for row in claimed}
        return result

    async def remove(self, age_ms: int) -> None:
        """Those that nobody has asked for in that time."""
        await self._operations.write("remove_snapshots", partial(self._remove, age_ms=age_ms))

    async def _remove(self, connection: AsyncConnection, *, age_ms: int) -> None:
        now_ms: int = (await connection.execute(self._statements.clock)).scalar_one()
        await connection.execute(self._statements.remove_snapshots, {"before": now_ms - age_ms})


def _row(key: ExecutionKey, seen: Seen, to_stored: int) -> dict[str, Any]:
    return {
        **key._asdict(),
        "sent_at": seen.sent_at_ms + to_stored,
        "body": None if seen.execution is None else observed_json(seen.execution),
        "claimed_until": 0,
    }
