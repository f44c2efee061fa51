"""AWS's last answers about executions, which replicas that share the store have from each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_gateway.history.append import key_of
from transfer_gateway.history.codec import dump, observed_from, observed_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    """What is written, then asked for, in one transaction.

    `wanted`: from when on an answer is new enough, in ms. Those without one are claimed until `until_ms`.
    """

    seen: Mapping[ExecutionKey, Seen]
    released: Iterable[ExecutionKey]
    wanted: Mapping[ExecutionKey, int]
    now_ms: int
    until_ms: int


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
        if given.seen:
            rows = [_row(key, given.seen[key]) for key in sorted(given.seen)]
            await connection.execute(self._statements.save_snapshots, {"rows": dump(rows)})
        if released := [key._asdict() for key in sorted(given.released)]:
            await connection.execute(self._statements.release_snapshots, {"rows": dump(released)})
        result = RoundResult()
        if not given.wanted:
            return result
        ids = self._statements.ids({key.execution_id for key in given.wanted})
        for row in await connection.execute(self._statements.snapshots, {"ids": ids}):
            key = key_of((row.account_id, row.region, row.workflow_id, row.execution_id))
            if (least := given.wanted.get(key)) is not None and row.sent_at >= least:
                result.found[key] = Seen(
                    row.sent_at, None if row.body is None else observed_from(key, row.body)
                )
        missing = [
            {**key._asdict(), "claimed_until": given.until_ms}
            for key in sorted(given.wanted.keys() - result.found.keys())
        ]
        if missing:
            claim = {"rows": dump(missing), "now": given.now_ms}
            claimed = await connection.execute(self._statements.claim_snapshots, claim)
            result.claimed = {key_of(row) for row in claimed}
        return result

    async def remove(self, before_ms: int) -> None:
        """Those that nobody has asked for since."""
        await self._operations.write("remove_snapshots", partial(self._remove, before_ms=before_ms))

    async def _remove(self, connection: AsyncConnection, *, before_ms: int) -> None:
        await connection.execute(self._statements.remove_snapshots, {"before": before_ms})


def _row(key: ExecutionKey, seen: Seen) -> dict[str, Any]:
    return {
        **key._asdict(),
        "sent_at": seen.sent_at_ms,
        "body": None if seen.execution is None else observed_json(seen.execution),
        "claimed_until": 0,
    }
