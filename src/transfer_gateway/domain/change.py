"""Changes of executions, in the order in which the history recorded them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.errors import BadUserInput

if TYPE_CHECKING:
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey


class ChangePosition(NamedTuple):
    """What has been told: the events and AWS's answers up to these numbers, of the history with that identity."""

    history: str
    event: int
    answer: int

    def including(self, other: ChangePosition, *, answer: bool) -> ChangePosition:
        """With the other one's answers, or with its events."""
        return self._replace(answer=other.answer) if answer else self._replace(event=other.event)

    def __str__(self) -> str:
        return f"{self.history}/{self.event}/{self.answer}"

    @classmethod
    def parse(cls, text: str) -> ChangePosition:
        """Parse the string form. Raises: BadUserInput."""
        history, *numbers = text.split("/")
        try:
            event, answer = map(int, numbers)
        except ValueError as error:
            raise BadUserInput("A position has the form history/event/answer.") from error
        return cls(history, event, answer)


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """One execution's change. `execution`: as it is known now. `events`: those that are new; none: AWS's answer is."""

    position: ChangePosition
    key: ExecutionKey
    execution: Execution
    events: tuple[ExecutionEvent, ...]
