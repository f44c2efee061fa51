"""Gateway: what the service can do, one method a use case."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import DeadlineExceeded, GatewayError

if TYPE_CHECKING:
    from transfer_gateway.aws.client import TransferClients
    from transfer_gateway.aws.credentials import SessionCache
    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.domain.account import Account, Accounts
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey


class Gateway:
    """Lookups of executions across the configured accounts.

    `deadline` is in the running loop's time: one for each request, whatever it asks.
    """

    def __init__(
        self, accounts: Accounts, *, transfer: Transfer, clients: TransferClients, sessions: SessionCache
    ) -> None:
        self.accounts = accounts
        self._transfer = transfer
        self._clients = clients
        self._sessions = sessions

    async def describe(self, key: ExecutionKey, *, deadline: float) -> Execution:
        """An execution in progress. Raises: GatewayError, with account and region."""
        account = self.accounts.get(key.target)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._transfer.describe_execution(account, key)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"AWS had not answered for account {key.account_id}, region {key.region}, "
                "when the request's time was up.",
                account_id=key.account_id,
                region=key.region,
            ) from error

    async def check_roles(self) -> list[tuple[Account, GatewayError | None]]:
        """Assume every account's role, all at once, and say of each what stood in the way, if anything."""

        async def check(account: Account) -> GatewayError | None:
            try:
                await self._sessions.get(account)
            except GatewayError as error:
                return error
            return None

        async with asyncio.TaskGroup() as tasks:
            checks = [(account, tasks.create_task(check(account))) for account in self.accounts]
        return [(account, task.result()) for account, task in checks]

    async def use_accounts(self, accounts: Accounts) -> None:
        """Put other accounts in place of today's. Requests under way finish with what they began with."""
        await self._clients.open(accounts.regions())
        self.accounts = accounts
        self._sessions.keep_only(accounts)
