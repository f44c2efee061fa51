"""Changes of executions, in the order in which the history recorded them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.search import SearchPosition

if TYPE_CHECKING:
    from collections.abc import Hashable

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey


class ChangePosition(NamedTuple):
    """What has been told: the events and AWS's answers up to these numbers, of the history with that identity.

    `listed`: of the executions in progress, which are told first, those up to there; None: all.
    """

    history: str
    event: int
    answer: int
    listed: SearchPosition | None = None

    def including(self, other: ChangePosition) -> ChangePosition:
        """With what the other one has."""
        return self._replace(event=max(self.event, other.event), answer=max(self.answer, other.answer))

    def __str__(self) -> str:
        rest = "" if self.listed is None else f"/{self.listed}"
        return f"{self.history}/{self.event}/{self.answer}{rest}"

    @classmethod
    def parse(cls, text: str) -> ChangePosition:
        """Parse the string form. Raises: BadUserInput."""
        history, event, answer, *listed = text.split("/", 3)
        try:
            return cls(history, int(event), int(answer), SearchPosition.parse(listed[0]) if listed else None)
        except ValueError as error:
            raise BadUserInput("A position has the form history/event/answer.") from error


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """One execution's change. `execution`: as it is known now. `events`: those that are new; none: AWS's answer is.

    `has_later`: there are later events of it, which come with the next change.
    `rendered`: what the servers have made of it, for all subscribers that get the same, by whatever tells them apart.
    """

    position: ChangePosition
    key: ExecutionKey
    execution: Execution
    events: tuple[ExecutionEvent, ...]
    has_later: bool = False
    rendered: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_last(self) -> bool:
        """Whether the execution has ended, so that nothing follows."""
        has_ended = self.execution.has_ended or (self.execution.status is None and not self.execution.ending)
        return has_ended and not self.has_later
