"""A gateway behind a proxy, and the history that it reads: tests write there what happens, as another replica does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy import ProxiedGateway
    from transfer_gateway.history.store import HistoryStore


@dataclass(frozen=True)
class Recorded:
    gateway: ProxiedGateway
    store: HistoryStore

    @property
    def url(self) -> str:
        return f"{self.gateway.url}/graphql"


def own_ids(ids: Sequence[str]) -> list[str]:
    """Of global ids, the events' own."""
    return [each.rpartition("/")[2] for each in ids]
