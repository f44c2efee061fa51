"""Transfer's servers in every account and region: which workflows they start, and whether they log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transfer_gateway.aws.account_calls import AccountCalls
from transfer_gateway.aws.decode import next_token
from transfer_gateway.aws.decode_server import decode_listed_servers, decode_server
from transfer_gateway.aws.errors import Service
from transfer_gateway.aws.transfer import page

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import TransferClients
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Target
    from transfer_gateway.domain.server import Server, ServerKey, ServerSummary
    from transfer_gateway.telemetry import AwsCalls


class Servers:
    """Calls to Transfer about servers. Every method raises as those of `Transfer`."""

    def __init__(
        self, clients: TransferClients, sessions: SessionCache, calls: AwsCalls, now: Callable[[], float]
    ) -> None:
        """`now`: seconds since 1970, by which answers are dated."""
        self._aws = AccountCalls(Service.TRANSFER, clients, sessions, calls)
        self._now = now

    def _observed_at(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    async def list_servers(
        self, account: Account, target: Target, token: str | None
    ) -> tuple[list[ServerSummary], str | None]:
        """A target's servers, and the token of the next page, None after the last. Source: ListServers."""
        return await self._aws.call(
            "ListServers",
            account,
            target,
            lambda answer: (
                decode_listed_servers(answer, target, observed_at=self._observed_at()),
                next_token(answer),
            ),
            **page(token),
        )

    async def describe_server(self, account: Account, key: ServerKey) -> Server:
        """A server. Also raises ServerNotFound. Source: DescribeServer."""
        return await self._aws.call(
            "DescribeServer",
            account,
            key,
            lambda answer: decode_server(answer, key, observed_at=self._observed_at()),
            ServerId=key.server_id,
        )
