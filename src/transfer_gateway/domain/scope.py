"""What one caller may see: which accounts, in which regions, and which fields of what runs in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.execution import Execution, ExecutionResults, ExecutionSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.identity import Target

E = TypeVar("E", Execution, ExecutionSummary)


class Hideable(StrEnum):
    """Fields that a policy can hide, by their names in GraphQL. Hidden is null, as if AWS had left it out."""

    INITIAL_FILE_LOCATION = "initialFileLocation"
    SERVICE_METADATA = "serviceMetadata"
    EXECUTION_ROLE = "executionRole"
    LOGGING_CONFIGURATION = "loggingConfiguration"
    POSIX_PROFILE = "posixProfile"
    STEP_OUTPUTS = "stepOutputs"


@dataclass(frozen=True, slots=True)
class Scope:
    """`accounts` with no more of their regions than the caller may see; `hidden` only where something is."""

    accounts: Accounts
    hidden: Mapping[Target, frozenset[Hideable]] = field(default_factory=dict)

    def shown(self, execution: E) -> E:
        """The execution without what is hidden from the caller; the same object where nothing is."""
        if not self.hidden:
            return execution
        hidden = self.hidden.get(execution.key.target)
        if not hidden:
            return execution
        nothing: dict[str, Any] = {
            each.name.lower(): None for each in hidden if hasattr(execution, each.name.lower())
        }
        if Hideable.STEP_OUTPUTS in hidden and isinstance(execution, Execution):
            nothing["results"] = _without_outputs(execution.results)
        return replace(execution, **nothing)


def _without_outputs(results: ExecutionResults | None) -> ExecutionResults | None:
    if results is None:
        return None
    steps, on_exception_steps = (
        None if steps is None else tuple(replace(step, outputs=None) for step in steps)
        for steps in (results.steps, results.on_exception_steps)
    )
    return ExecutionResults(steps, on_exception_steps)
