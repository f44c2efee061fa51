"""The use cases about events, and about the servers that log them, limited to the caller's scope."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transfer_gateway.core.access import Access
from transfer_gateway.core.paging import check_first
from transfer_gateway.core.response_replay import counts_uses
from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, ServerNotFound
from transfer_gateway.domain.page import EventPage
from transfer_gateway.domain.server import ServerId, ServerKey

if TYPE_CHECKING:
    from transfer_gateway.core.history import History
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.server import Server

DEFAULT_EVENTS = 100


@counts_uses
class HistoryUseCases(Access):
    """See `Reader`."""

    async def list_events(self, key: ExecutionKey, *, first: int, after: str | None) -> EventPage:
        """A page of the history's events of an execution, in order.

        Raises: BadUserInput for a bad `first` or `after`; AccountNotAvailable; UpstreamUnavailable, by the store;
        Throttled.
        """
        check_first(first)
        self._take_rows(1)
        with self._audited_unless_found("list_events", str(key)):
            history = self._history_of(key)
            page = await history.events(key, first, after) if history else EventPage((), has_next=False)
        self._audit.read("list_events", [str(key)])
        if self._quota is not None:
            self._quota.charge_rows(len(page.entries))
        return replace(
            page, entries=tuple((cursor, self.scope.redact_event(event)) for cursor, event in page.entries)
        )

    async def get_event(self, key: ExecutionKey, event_id: str) -> ExecutionEvent | None:
        """One event of an execution; None if the history doesn't have it. Raises: as `list_events`."""
        self._take_rows(1)
        with self._audited_unless_found("get_event", f"{key}/{event_id}"):
            history = self._history_of(key)
            event = await history.event(key, event_id) if history else None
        self._audit.read("get_event", [f"{key}/{event_id}"])
        return event and self.scope.redact_event(event)

    async def get_server(self, key: ServerKey, *, deadline: float) -> Server:
        """One server. Raises: GatewayError, with account and region."""
        self._take_rows(1)
        return self.scope.redact_server(await self._look_up_server(key, deadline=deadline))

    async def list_servers(
        self, wanted: TargetFilter, *, first: int, after: str | None, deadline: float
    ) -> Page[Server]:
        """A page of all servers that match. Raises: BadUserInput, Throttled."""
        self._take_rows(0)
        with self._audited_if_cancelled("list_servers"):
            page = await self._sources.servers.page(
                self.scope.accounts.targets(), wanted, self.scope, first=first, after=after, deadline=deadline
            )
        self._listed("list_servers", wanted, page)
        return page

    async def server_of(self, execution: Execution, *, deadline: float) -> Server | None:
        """The server of an execution that this reader has returned; None if unknown, hidden or deleted.

        Raises: GatewayError, with account and region, if AWS can't say.
        """
        metadata = execution.service_metadata
        if metadata is None:
            return None
        try:
            key = ServerKey(*execution.key.target, ServerId(metadata.user_details.server_id))
        except BadUserInput:  # the log or AWS has something else there
            return None
        try:
            return await self.get_server(key, deadline=deadline)
        except ServerNotFound:
            return None

    async def _with_records(self, executions: list[Execution]) -> list[Execution]:
        """With what the history adds, if the request wants it. AWS's answers stand if the store can't be read."""
        history = self._sources.history
        if not self.with_records or history is None:
            return executions
        return await history.add_records(executions)

    def _history_of(self, key: ExecutionKey) -> History | None:
        """The history; None if it is off. Raises: AccountNotAvailable, if the key is out of scope."""
        if not self.scope.accounts.cover(key):
            raise AccountNotAvailable.of(key.account_id, key.region)
        return self._sources.history
