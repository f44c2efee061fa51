"""What replicas that share the store tell each other: that they live, what they know of targets, what is watched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history.codec import dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.fleet_statements import FleetStatements
    from transfer_gateway.history.operations import Operations

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Followed:
    """What a replica knows of a target that it follows, as text. `sources` None: as before."""

    target: Target
    replica: str
    state: str
    sources: str | None


class Beat(NamedTuple):
    """`number`: how often a replica has said that it lives. `note`: what it tells the others, if anything."""

    number: int
    note: str | None


class FleetStore:
    """Every method raises UpstreamUnavailable while the store can't be used."""

    def __init__(self, operations: Operations, statements: FleetStatements) -> None:
        self._operations, self._statements = operations, statements
        self._numbers: dict[str, int] = {}  # of the last beats

    async def beat(self, replica: str, note: str | None = None) -> dict[str, Beat]:
        """Say that it lives. Returns: what each replica has said.

        The number of its beats grows, unless the database has lost what was written, or others have taken it for gone.
        """
        beats = await self._operations.write("beat", partial(self._beat, replica=replica, note=note))
        if beats[replica].number <= self._numbers.get(replica, 0):
            self._operations.note_loss()
        self._numbers[replica] = beats[replica].number
        self._operations.losses_are_told = True
        return beats

    async def _beat(self, connection: AsyncConnection, *, replica: str, note: str | None) -> dict[str, Beat]:
        await connection.execute(self._statements.beat, {"id": replica, "note": note})
        rows = (await connection.execute(self._statements.beats)).all()
        return {row.id: Beat(row.beats, row.note) for row in rows}

    async def remove(self, replicas: Iterable[str]) -> None:
        """Those that leave, or are gone."""
        given = {"ids": self._statements.ids(replicas)}
        await self._operations.write("remove_replicas", partial(self._remove, given=given))

    async def _remove(self, connection: AsyncConnection, *, given: Mapping[str, Any]) -> None:
        await connection.execute(self._statements.remove_replicas, given)

    async def save(self, followed: Sequence[Followed]) -> None:
        """At most 500, each of another target."""
        await self._operations.write("save_followed", partial(self._save, followed=followed))

    async def _save(self, connection: AsyncConnection, *, followed: Sequence[Followed]) -> None:
        """Numbered in the order of commits, so that who reads on from a number misses nothing.

        From the time on, so that after a restore, or in an emptied table, numbers are still higher than before.
        """
        if self._statements.take_turn is not None:
            await connection.execute(self._statements.take_turn)
        last = max(await connection.scalar(self._statements.last_followed) or 0, int(time.time() * 1000))
        rows = [
            {
                **each.target._asdict(),
                "replica": each.replica,
                "state": each.state,
                "sources": each.sources,
                "seq": last + at,
            }
            for at, each in enumerate(followed, 1)
        ]
        await connection.execute(self._statements.save_followed, {"rows": dump(rows)})

    async def followed(self, after: int) -> tuple[list[Followed], int]:
        """The latest of each target after a number, at most 500. Returns: with the number to go on from."""
        given = {"after": after, "first": _PAGE}
        rows = await self._operations.read("followed", partial(self._all, "followed", given))
        found = [Followed(_target(row), row.replica, row.state, row.sources) for row in rows]
        return found, rows[-1].seq if rows else after

    async def forget(self, targets: Iterable[Target]) -> None:
        """Of these, nothing is followed any more."""
        given = {"rows": dump([target._asdict() for target in sorted(targets)])}
        await self._operations.write("forget_followed", partial(self._forget, given=given))

    async def _forget(self, connection: AsyncConnection, *, given: Mapping[str, Any]) -> None:
        await connection.execute(self._statements.forget_followed, given)

    async def watch(self, targets: Iterable[Target], *, now_ms: int, until_ms: int) -> None:
        """Ask whoever follows these to read them closely until then."""
        rows = [{**target._asdict(), "until": until_ms} for target in sorted(targets)]
        await self._operations.write("save_watched", partial(self._watch, rows=rows, now_ms=now_ms))

    async def _watch(self, connection: AsyncConnection, *, rows: list[dict[str, Any]], now_ms: int) -> None:
        await connection.execute(self._statements.remove_watched, {"now": now_ms})
        await connection.execute(self._statements.save_watched, {"rows": dump(rows)})

    async def watched(self, *, now_ms: int) -> list[Target]:
        rows = await self._operations.read("watched", partial(self._all, "watched", {"now": now_ms}))
        return [_target(row) for row in rows]

    async def _all(
        self, statement: str, given: Mapping[str, Any], connection: AsyncConnection
    ) -> Sequence[Any]:
        return (await connection.execute(getattr(self._statements, statement), given)).all()


def _target(row: Any) -> Target:  # noqa: ANN401  a row
    """From what was checked before it was stored."""
    return Target(str.__new__(AccountId, row.account_id), str.__new__(Region, row.region))
