"""What is known of an execution that AWS has forgotten, and whether that is all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.core.follower import Follower
    from transfer_gateway.core.log_reader import LogReader
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.record import Record

_LONGEST = timedelta(seconds=2400)  # of an execution: a custom step may take 30 minutes


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an execution that AWS has forgotten: its record, AWS's last answer, or both."""

    record: Record | None
    observed: Execution | None

    @property
    def key(self) -> ExecutionKey:
        about = self.record or self.observed
        assert about is not None  # noqa: S101  what is known is one or the other
        return about.key

    @property
    def has_ended(self) -> bool:
        return self.record is not None and self.record.status is not None

    @property
    def _began_after(self) -> datetime:
        """An execution whose start is not known took no longer than AWS's longest step, nearly."""
        if self.record is None:
            assert self.observed is not None  # noqa: S101  as in `_told`
            return self.observed.observed_at - _LONGEST
        return self.record.started_at or self.record.events[0].occurred_at - _LONGEST

    def is_covered_by(self, reader: LogReader) -> bool:
        """Whether the log has been read since the execution began."""
        return reader.progress.complete_since <= max(self._began_after, reader.oldest)


def readers_in_use(key: ExecutionKey, follower: Follower) -> list[LogReader]:
    """The readers of the logs that would have the execution, as far as these are known."""
    return [follower.readers[group] for group in groups_of(key, follower) if group in follower.readers]


def groups_of(key: ExecutionKey, follower: Follower) -> list[str]:
    """The logs that would have the execution; none: no log, or unknown."""
    sources = follower.sources
    if sources is None:
        return []
    groups = sources.groups_of(key.workflow_id)
    if sources.knows(key.workflow_id):
        return groups
    return (
        sorted({log.group for log in follower.logs if log.group and log.workflow == key.workflow}) or groups
    )


def is_whole(known: Known, follower: Follower | None) -> bool:
    """Whether it has ended, and all of it has been read that can be."""
    return known.has_ended and (
        follower is None or follower.has_problem or is_covered(known, known.key, follower)
    )


def is_covered(known: Known, key: ExecutionKey, follower: Follower) -> bool:
    """Whether the logs have been read since the execution began, as far as is known; also if there is none."""
    if follower.sources is None:
        return known.record is not None and known.record.started_at is not None
    return all(known.is_covered_by(reader) for reader in readers_in_use(key, follower))
