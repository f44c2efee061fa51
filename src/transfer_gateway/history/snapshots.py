"""AWS's last answers about executions, and its lists, which replicas that share the store have from each other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_gateway.domain.execution import Execution, ExecutionSummary
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.history.codec import (
    UNREADABLE,
    dump,
    listed_from,
    listed_json,
    observed_from,
    observed_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.fleet_statements import FleetStatements
    from transfer_gateway.history.operations import Operations

SnapshotKey = ExecutionKey | WorkflowKey
Answer = Execution | tuple[ExecutionSummary, ...] | None
_COLUMNS = ("account_id", "region", "workflow_id", "execution_id")


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS answered when it was asked at that time, in ms since 1970.

    About an execution, or what a workflow has in progress; None: it has no such thing.
    """

    sent_at_ms: int
    answer: Answer


@dataclass(slots=True)
class Round:
    """What is written, then asked for, in one transaction. Times are of `now_ms`, this replica's clock.

    `wanted`: from when on an answer is new enough, in ms. Those without one are claimed for `claim_ms`.
    """

    seen: Mapping[SnapshotKey, Seen]
    released: Iterable[SnapshotKey]
    wanted: Mapping[SnapshotKey, int]
    now_ms: Callable[[], int]
    claim_ms: int


@dataclass(slots=True)
class RoundResult:
    """`claimed`: to be asked for by whoever wanted them. Of what is in neither, another replica asks AWS right now."""

    found: dict[SnapshotKey, Seen] = field(default_factory=dict)
    claimed: set[SnapshotKey] = field(default_factory=set)


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
            rows = [_row(key, given.seen[key], to_stored) for key in sorted(given.seen, key=_columns)]
            await connection.execute(self._statements.save_snapshots, {"rows": dump(rows), "now": now_ms})
        if released := [_named(key) for key in sorted(given.released, key=_columns)]:
            await connection.execute(self._statements.release_snapshots, {"rows": dump(released)})
        result = RoundResult()
        if not given.wanted:
            return result
        keys = {_columns(key): key for key in sorted(given.wanted, key=_columns)}
        wanted = dump([_named(key) for key in keys.values()])
        for row in await connection.execute(self._statements.snapshots, {"rows": wanted}):
            key, sent_at_ms = keys[_columns_of(row)], row.sent_at + from_stored
            if given.wanted[key] <= sent_at_ms and row.sent_at <= now_ms:
                # What can't be read may be another version's.
                with suppress(*UNREADABLE):
                    result.found[key] = Seen(sent_at_ms, _read(key, row.body))
        until_ms = now_ms + given.claim_ms
        missing = [
            {**_named(key), "claimed_until": until_ms} for key in keys.values() if key not in result.found
        ]
        if missing:
            claim = {"rows": dump(missing), "now": now_ms, "until": until_ms}
            claimed = await connection.execute(self._statements.claim_snapshots, claim)
            result.claimed = {keys[_columns_of(row)] for row in claimed}
        return result

    async def remove(self, age_ms: int) -> None:
        """Those that nobody has asked for in that time."""
        await self._operations.write("remove_snapshots", partial(self._remove, age_ms=age_ms))

    async def _remove(self, connection: AsyncConnection, *, age_ms: int) -> None:
        now_ms: int = (await connection.execute(self._statements.clock)).scalar_one()
        await connection.execute(self._statements.remove_snapshots, {"before": now_ms - age_ms})


def _row(key: SnapshotKey, seen: Seen, to_stored: int) -> dict[str, Any]:
    return {
        **_named(key),
        "sent_at": seen.sent_at_ms + to_stored,
        "body": _body(seen.answer),
        "claimed_until": 0,
    }


def _columns(key: SnapshotKey) -> tuple[str, ...]:
    """A list has an empty execution id."""
    return key if isinstance(key, ExecutionKey) else (*key, "")


def _named(key: SnapshotKey) -> dict[str, str]:
    return dict(zip(_COLUMNS, _columns(key), strict=True))


def _columns_of(row: Any) -> tuple[str, ...]:  # noqa: ANN401  a row
    return tuple(getattr(row, name) for name in _COLUMNS)


def _body(answer: Answer) -> str | None:
    match answer:
        case None:
            return None
        case Execution():
            return observed_json(answer)
        case _:
            return listed_json(answer)


def _read(key: SnapshotKey, body: str | None) -> Answer:
    """Raises: one of UNREADABLE."""
    if body is None:
        return None
    return observed_from(key, body) if isinstance(key, ExecutionKey) else listed_from(key, body)
