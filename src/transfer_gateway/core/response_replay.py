"""Repeating a response: which snapshots it was built from, and whether it would be built from the same ones again.

By default a response is not repeatable. `counts_uses` counts every call of a use case; a use case that succeeds may
declare the snapshots that it used. A response is repeatable only if every call has done so. A use case that declares
nothing, fails or is cancelled thus makes the response unrepeatable.
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
    from transfer_gateway.core.snapshot_cache import Snapshots
    from transfer_gateway.domain.execution import Execution, Version
    from transfer_gateway.domain.identity import ExecutionKey

C = TypeVar("C", bound=type)
F = TypeVar("F", bound="Callable[..., Any]")
_NO_USES: set[object] = set()


class Described(NamedTuple):
    """An execution in a response: its maximum age in seconds, and the version of AWS's answer."""

    key: ExecutionKey
    max_age_s: float
    version: Version


class Replayable(NamedTuple):
    """The parts of a repeatable response. `rows` were charged to the caller's quota."""

    parts: tuple[Described, ...]
    rows: int


class Replay:
    """The parts of one request's response so far."""

    uses = 0

    def __init__(
        self, audit: AuditTrail, quota: Quota | None, executions: Snapshots[ExecutionKey, Execution]
    ) -> None:
        self._audit = audit
        self._quota = quota
        self._executions = executions
        self._declared: list[Replayable] = []

    def declare(self, parts: tuple[Described, ...], rows: int) -> None:
        """Declare that one call of a use case returned these, as they are in the snapshots, and nothing else."""
        self._declared.append(Replayable(parts, rows))

    def replayable(self) -> Replayable | None:
        """The parts of the response; None if it must not be repeated."""
        declared = self._declared
        if len(declared) != self.uses:
            return None
        if self.uses == 1:
            return declared[0] if declared[0].parts else None
        parts = tuple(part for each in declared for part in each.parts)
        return Replayable(parts, sum(each.rows for each in declared)) if parts else None

    def repeat(self, answer: Replayable, at: float | None = None) -> bool:
        """Whether the use cases would return the same, without an AWS call, to a caller with the same scope.

        If so, charges the rows and writes the audit event, as if the executions had been looked up. With `at`, ages
        are measured at that time of the clock instead of now.

        False, too, if the quota does not allow the rows: the use case then raises the error.
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
        self._audit.read_from_snapshots("get_execution", found)
        executions.hits += count
        return True

    def now(self) -> float:
        """The clock's time, for `at` of `repeat`."""
        return self._executions.now()


def counts_uses(cls: C) -> C:
    """Count each call of a public method of the class in its `replay`, except those that are `not_a_use`.

    Raises: TypeError for a public member that is not a plain method, since its calls could not be counted.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") or member in _NO_USES:
            continue
        if not isfunction(member):
            raise TypeError(f"{cls.__name__}.{name} must be a plain method")
        setattr(cls, name, _counted(member))
    return cls


def not_a_use(method: F) -> F:
    """Mark a method that tells nothing of accounts or AWS."""
    _NO_USES.add(method)
    return method


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def use(*args: Any, **options: Any) -> Any:  # noqa: ANN401  the method's
        args[0].replay.uses += 1
        return method(*args, **options)

    return use
