"""The use cases, one method each, limited to the caller's scope."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from transfer_gateway.core.access import bad_max_age
from transfer_gateway.core.fanout import outcomes, outcomes_as_completed
from transfer_gateway.core.find_use_cases import FindUseCases
from transfer_gateway.core.live_use_cases import LiveUseCases
from transfer_gateway.core.response_replay import Described, counts_uses
from transfer_gateway.core.search_use_cases import SearchUseCases
from transfer_gateway.core.workflow_use_cases import Definitions, WorkflowUseCases
from transfer_gateway.domain.errors import AccountNotAvailable, GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import AccountId, ExecutionKey

_SNAPSHOTS_AT_ONCE = 32
_NO_DEFINITIONS: Definitions = {}


@counts_uses
class Reader(WorkflowUseCases, FindUseCases, SearchUseCases, LiveUseCases):
    """The use cases for one request of one caller.

    Each public method is a use case. It declares to `replay` what makes its response repeatable, if anything. An
    account out of scope is treated like one that doesn't exist.

    `deadline` is in the running loop's time; there is one per request. `max_age_s` is the maximum age of AWS's answer;
    0 means no older than this request. `with_records`: whether executions in progress get what the history adds.
    """

    def list_accounts(self) -> list[Account]:
        """The accounts of the scope, as configured. Raises: Throttled."""
        accounts = list(self.scope.accounts)
        self._take_rows(len(accounts))
        self._audit.listed("list_accounts", [account.id for account in accounts], targets=0, failures=())
        return accounts

    def get_account(self, account_id: AccountId) -> Account:
        """One account of the scope, as configured. Raises: AccountNotAvailable, Throttled."""
        self._take_rows(1)
        account = self.scope.accounts.find(account_id)
        if account is None:
            refusal = AccountNotAvailable.of(account_id)
            self._audit.looked_up("get_account", account_id, refusal)
            raise refusal
        self._audit.looked_up("get_account", account_id, account)
        return account

    async def describe(
        self, key: ExecutionKey, *, max_age_s: float, deadline: float, in_progress_only: bool = False
    ) -> Execution:
        """An execution, in progress or ended; or only AWS's own view. Raises: GatewayError, with account and region."""
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_rows(1)
        execution = await self._look_up(
            "get_execution",
            self._sources.operations.executions,
            key,
            max_age_s=max_age_s,
            deadline=deadline,
            get=None if in_progress_only else self._known,
        )
        if self.with_records:
            (execution,) = await self._with_records([execution])
        elif max_age_s:  # with 0 the answer must be no older than the request, which a repeated one never is
            self.replay.declare((Described(key, max_age_s, execution.version),), 1)
        return self.scope.redact(execution)

    def peek(self, key: ExecutionKey, *, max_age_s: float) -> Execution | None:
        """What `describe` would return from a snapshot; None if it would call AWS or raise. Raises: Throttled."""
        executions = self._sources.operations.executions
        if not self.scope.accounts.cover(key):
            return None
        execution = executions.peek(key, max_age_s=max_age_s)
        if execution is None:
            return None
        self._take_rows(1)
        executions.hits += 1
        self._audit.looked_up("get_execution", key, execution, source="snapshot")
        return self.scope.redact(execution)

    async def describe_all(
        self,
        keys: Sequence[ExecutionKey],
        *,
        max_age_s: float,
        deadline: float,
        in_progress_only: bool = False,
    ) -> list[Execution | GatewayError]:
        """The execution or the error of each key, in the order of the keys.

        Raises: BadUserInput for more than 1,000 keys, Throttled.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_keys(len(keys))
        distinct = dict.fromkeys(keys)
        found = self._from_snapshots(distinct, max_age_s)
        if len(found) < len(distinct):
            found |= await outcomes(
                [key for key in distinct if key not in found],
                lambda key: self._execution(key, max_age_s, deadline, in_progress_only=in_progress_only),
            )
        if self.with_records:
            executions = [outcome for outcome in found.values() if not isinstance(outcome, GatewayError)]
            found |= {execution.key: execution for execution in await self._with_records(executions)}
            return [self._shown(found[key]) for key in keys]
        parts = tuple(
            Described(key, max_age_s, outcome.version)
            for key, outcome in found.items()
            if not isinstance(outcome, GatewayError)
        )
        if max_age_s and len(parts) == len(found):
            self.replay.declare(parts, len(keys))
        return [self._shown(found[key]) for key in keys]

    def take_keys(self, count: int) -> None:
        """Charge the keys that `describe_each` will describe.

        Raises: BadUserInput for more than 1,000, Throttled.
        """
        self._take_keys(count)

    async def describe_each(
        self,
        keys: Sequence[ExecutionKey],
        *,
        max_age_s: float,
        with_definitions: bool,
        deadline: float,
        in_progress_only: bool = False,
    ) -> AsyncGenerator[tuple[int, tuple[Execution, Definitions] | GatewayError]]:
        """As `describe_all`, but each outcome with its key's index as soon as it is available, and with `define_steps`.

        `take_keys` has charged the keys. Applies backpressure: see `outcomes_as_completed`. Raises: BadUserInput.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        indexes: dict[ExecutionKey, list[int]] = {}
        for index, key in enumerate(keys):
            indexes.setdefault(key, []).append(index)
        to_describe = list(indexes)
        if not with_definitions and not self.with_records:
            distinct, to_describe = to_describe, []
            for start in range(0, len(distinct), _SNAPSHOTS_AT_ONCE):
                part = distinct[start : start + _SNAPSHOTS_AT_ONCE]
                for key, known in (found := self._from_snapshots(part, max_age_s)).items():
                    shown = self._shown(known)
                    outcome = shown if isinstance(shown, GatewayError) else (shown, _NO_DEFINITIONS)
                    for index in indexes[key]:
                        yield index, outcome
                to_describe += [key for key in part if key not in found]

        async def describe(key: ExecutionKey) -> tuple[Execution, Definitions]:
            execution = await self._execution(key, max_age_s, deadline, in_progress_only=in_progress_only)
            (execution,) = await self._with_records([execution])
            return self.scope.redact(execution), await self.define_steps(
                [execution] if with_definitions else [], deadline=deadline
            )

        completed = outcomes_as_completed(to_describe, describe)
        async with aclosing(completed):
            async for key, described in completed:
                for index in indexes[key]:
                    yield index, described

    def _execution(
        self, key: ExecutionKey, max_age_s: float, deadline: float, *, in_progress_only: bool
    ) -> Awaitable[Execution]:
        return self._look_up(
            "get_execution",
            self._sources.operations.executions,
            key,
            max_age_s=max_age_s,
            deadline=deadline,
            get=None if in_progress_only else self._known,
        )

    def _shown(self, outcome: Execution | GatewayError) -> Execution | GatewayError:
        return outcome if isinstance(outcome, GatewayError) else self.scope.redact(outcome)
