"""Giving an answer again: what it was made of, and whether it would be made of the same again.

By default an answer is not repeatable. `counts_uses` counts every call of a use case; a use case that succeeds may
state what its part of the answer was made of. Only when all of them have, the answer is repeatable. A use case that
states nothing, fails or is cancelled leaves its answer unrepeatable without having to do anything about it.
"""

from __future__ import annotations

from functools import wraps
from inspect import isfunction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from transfer_gateway.domain.errors import Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.core.audit import AuditTrail
    from transfer_gateway.core.quota import Quota
    from transfer_gateway.core.snapshots import Snapshots
    from transfer_gateway.domain.execution import Execution, Version
    from transfer_gateway.domain.identity import ExecutionKey

C = TypeVar("C", bound=type)


class Described(NamedTuple):
    """An execution that is part of an answer: how old it may be, in seconds, and which of AWS's answers it is."""

    key: ExecutionKey
    max_age_s: float
    version: Version


class Replayable(NamedTuple):
    """What a repeatable answer was made of. `rows` were charged to its caller's quota."""

    parts: tuple[Described, ...]
    rows: int


class Replay:
    """What the answer to one request is made of so far."""

    uses = _stated = _rows = 0
    _parts: tuple[Described, ...] = ()

    def __init__(
        self, audit: AuditTrail, quota: Quota | None, executions: Snapshots[ExecutionKey, Execution]
    ) -> None:
        self._audit = audit
        self._quota = quota
        self._executions = executions

    def made_of(self, parts: tuple[Described, ...], rows: int) -> None:
        """State what one use of a use case gave: these, as they are in the snapshots, and nothing else."""
        self._parts += parts
        self._rows += rows
        self._stated += 1

    def replayable(self) -> Replayable | None:
        """What the answer was made of; None where it must not be given again."""
        if not self._parts or self._stated != self.uses:
            return None
        return Replayable(self._parts, self._rows)

    def again(self, answer: Replayable, at: float | None = None) -> bool:
        """Whether the use cases would give the same again, without a call to AWS, to a caller with the same scope.

        If so, the rows are charged and the audit has the executions, as if they had been looked up. `at` asks whether
        they would have given the same at that time of the clock, had they known what is known now.

        False, too, where the quota has no room for the rows: the use case then raises the reason.
        """
        executions = self._executions
        for key, max_age_s, version in answer.parts:
            execution = executions.peek(key, max_age_s=max_age_s, at=at)
            if execution is None or execution.version != version:
                return False
        if self._quota is not None:
            try:
                self._quota.take_rows(answer.rows)
            except Throttled:
                return False
        count = len(answer.parts)
        found = [(key, version[1])] if count == 1 else [(part.key, part.version[1]) for part in answer.parts]
        self._audit.recalled("get_execution", found)
        executions.hits += count
        return True

    def now(self) -> float:
        """For `at` of `again`."""
        return self._executions.now()


def counts_uses(cls: C) -> C:
    """Count each call of a public method of the class in its `replay`.

    Raises: TypeError for a public member that is no plain method, since its uses could not be counted.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if not isfunction(member):
            raise TypeError(f"{cls.__name__}.{name} must be a plain method")
        setattr(cls, name, _counted(member))
    return cls


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def use(*args: Any, **options: Any) -> Any:  # noqa: ANN401  the method's
        args[0].replay.uses += 1
        return method(*args, **options)

    return use
