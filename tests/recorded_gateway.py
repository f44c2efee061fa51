"""A gateway behind a proxy, and the history that it reads: tests write there what happens, as another replica does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from history_events import START, a_run, new_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy import ProxiedGateway
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.history.store import HistoryStore


@dataclass(frozen=True)
class Recorded:
    gateway: ProxiedGateway
    store: HistoryStore

    @property
    def url(self) -> str:
        return f"{self.gateway.url}/graphql"


def a_new_run(first_id: int = 0) -> list[ExecutionEvent]:
    """As `a_run`, from now on."""
    return a_run(new_key(), start_ms=int((time.time() - START.timestamp()) * 1000), first_id=first_id)


def own_ids(ids: Sequence[str]) -> list[str]:
    """Of global ids, the events' own."""
    return [each.rpartition("/")[2] for each in ids]
