"""All servers, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.paging import Pager

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.paging import Row
    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.identity import Target
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.domain.server import Server, ServerKey

_MAX_AGE_S = 60.0


class ServerList:
    """Pages of servers."""

    def __init__(self, operations: AwsOperations, cursors: Cursors[ServerKey | Target]) -> None:
        self._operations = operations
        self._pager: Pager[ServerKey, Server] = Pager(cursors, self._described)

    async def page(
        self,
        targets: Sequence[Target],
        wanted: TargetFilter,
        scope: Scope,
        *,
        first: int,
        after: str | None,
        deadline: float,
    ) -> Page[Server]:
        """The `first` servers after a cursor, without the fields that the scope hides.

        Raises: BadUserInput for a bad `first` or `after`. Failed targets are part of the page.
        """
        return await self._pager.page(
            filter(wanted.matches_target, targets),
            lambda target: self._in_target(target, scope, deadline),
            first=first,
            after=after,
            with_details=False,  # the rows have them
            deadline=deadline,
        )

    async def _in_target(
        self, target: Target, scope: Scope, deadline: float
    ) -> tuple[list[Row[ServerKey, Server]], list[GatewayError]]:
        servers = await self._operations.servers.get(target, max_age_s=_MAX_AGE_S, deadline=deadline)
        return [scope.redact_server(server) for server in servers], []

    async def _described(self, key: ServerKey, deadline: float) -> Server:
        servers = await self._operations.servers.get(key.target, max_age_s=_MAX_AGE_S, deadline=deadline)
        return next(server for server in servers if server.key == key)
