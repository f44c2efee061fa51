"""Whether an answer is what botocore's model says: botocore's own parser takes any JSON for a success."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer_gateway.aws.decode import IncompleteAnswer

if TYPE_CHECKING:
    from botocore.model import Shape

_WHOLE_NUMBERS = {"integer": range(-(2**31), 2**31), "long": range(-(2**63), 2**63)}


def check_types(shape: Shape, value: Any, path: str) -> None:  # noqa: ANN401  whatever AWS sent
    """Raises: IncompleteAnswer, naming the first place where the value is not of the model's type."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = shape.members
        for name, inner in value.items():
            if name in members:
                check_types(members[name], inner, f"{path}.{name}")
    elif kind == "list" and isinstance(value, list):
        for inner in value:
            check_types(shape.member, inner, f"{path}[]")
    elif not _is_scalar(kind, value):
        raise IncompleteAnswer(f"a proper {path}")


def _is_scalar(kind: str, value: object) -> bool:
    if kind == "string":  # half a surrogate pair can't be sent on as UTF-8
        return isinstance(value, str) and (value.isascii() or _is_unicode(value))
    if kind in _WHOLE_NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool) and value in _WHOLE_NUMBERS[kind]
    return False  # none of our operations has another


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
