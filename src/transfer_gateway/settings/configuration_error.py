"""Configuration errors: all problems at once, each with its location."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator

from transfer_gateway.domain.identity import Region
from transfer_gateway.domain.text import control_character

if TYPE_CHECKING:
    from collections.abc import Sequence


RegionField = Annotated[Region, PlainValidator(Region)]


class ConfigurationError(Exception):
    """The configuration is invalid. `problems`: one line each, with its location. `hints`: how to fix or avoid them."""

    def __init__(self, problems: Sequence[str], *, hints: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.hints = tuple(hints)


_RULES = {
    "missing": "is required",
    "extra_forbidden": "is not a known key",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text; quote it",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
}  # by pydantic's type of error


def say(problem: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails, whose message is always text
    """The violated rule, as a message."""
    if rule := _RULES.get(problem["type"]):
        return rule
    if problem["type"] == "too_short":
        least = problem["ctx"]["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    message: str = problem["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:] if message.startswith("Input should") else message


def control_character_problem(text: str) -> str | None:
    """The problem of a text with a character that names may not contain; None without one."""
    at = control_character(text)
    if at is None:
        return None
    return f"must not have control characters or invisible ones; character {at + 1} is U+{ord(text[at]):04X}"
