"""Input, checked against botocore's model of it, with AWS's own words for what is wrong.

Each shape is compiled once into a `Reader`. A value of the wrong type ends the reading (AWS cannot
deserialize it); broken constraints are collected, since AWS reports them all in one answer.
"""

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Mapping
from typing import TypeAlias

from botocore.model import ListShape, MapShape, Shape, StructureShape

from transfer_emulator.errors import INVALID_INPUT, MALFORMED, AwsError

Problems: TypeAlias = list[str]
Reader: TypeAlias = Callable[[object, str, Problems], object]
Check: TypeAlias = Callable[[object], str | None]


def reader(shape: Shape) -> Reader:
    """Compile `shape`: (value, path, problems) → the value, members that the model lacks dropped."""
    if isinstance(shape, StructureShape):
        return _structure(shape)
    if isinstance(shape, ListShape):
        return _list(shape)
    if isinstance(shape, MapShape):
        return _map(shape)
    return _scalar(shape)


def checked(read: Reader, value: object) -> object:
    """Read a whole input. Raises: AwsError (MALFORMED, INVALID_INPUT)."""
    problems: Problems = []
    result = read(value, "", problems)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise AwsError(INVALID_INPUT, count + "; ".join(problems))
    return result


def _structure(shape: StructureShape) -> Reader:
    members = [(name, name[0].lower() + name[1:], reader(member)) for name, member in shape.members.items()]
    required = frozenset(shape.required_members)

    def read(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, dict):
            raise _unreadable(value, "Structure")
        result: dict[str, object] = {}
        for name, spoken, read_member in members:
            item = value.get(name)
            where = f"{path}.{spoken}" if path else spoken
            if item is not None:
                result[name] = read_member(item, where, problems)
            elif name in required:
                problems.append(_problem(None, where, "Member must not be null"))
        return result

    return read


def _list(shape: ListShape) -> Reader:
    read_member = reader(shape.member)
    check = _length_check(shape)

    def read(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, list):
            raise _unreadable(value, "List")
        if (said := check(value)) is not None:
            problems.append(_problem(value, path, said))
        return [read_member(item, f"{path}.{at}.member", problems) for at, item in enumerate(value, 1)]

    return read


def _map(shape: MapShape) -> Reader:
    read_value = reader(shape.value)

    def read(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, dict):
            raise _unreadable(value, "Map")
        return {key: read_value(item, f"{path}.{key}.member", problems) for key, item in value.items()}

    return read


def _scalar(shape: Shape) -> Reader:
    convert = _CONVERTERS[shape.type_name]
    checks = _checks(shape)

    def read(value: object, path: str, problems: Problems) -> object:
        result = convert(value)
        for check in checks:
            if (said := check(result)) is not None:
                problems.append(_problem(result, path, said))
        return result

    return read


def _checks(shape: Shape) -> list[Check]:
    checks: list[Check] = []
    if "min" in shape.metadata or "max" in shape.metadata:
        checks.append(_length_check(shape) if shape.type_name in {"string", "blob"} else _range_check(shape))
    if "pattern" in shape.metadata:
        checks.append(_pattern_check(shape.metadata["pattern"]))
    if "enum" in shape.metadata:
        checks.append(_enum_check(shape.metadata["enum"]))
    return checks


def _length_check(shape: Shape) -> Check:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")

    def check(value: object) -> str | None:
        size = len(value) if isinstance(value, str | bytes | list) else 0
        if size < low:
            return f"Member must have length greater than or equal to {low}"
        if high is not None and size > high:
            return f"Member must have length less than or equal to {high}"
        return None

    return check


def _range_check(shape: Shape) -> Check:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")

    def check(value: object) -> str | None:
        number = value if isinstance(value, int | float) else 0
        if low is not None and number < low:
            return f"Member must have value greater than or equal to {low}"
        if high is not None and number > high:
            return f"Member must have value less than or equal to {high}"
        return None

    return check


def _pattern_check(pattern: str) -> Check:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            compiled = re.compile(pattern, re.ASCII)
    except re.error:
        # The model's patterns are Java's: Python has no \p{L}. Letting such a value pass is nearer to
        # AWS than refusing what AWS takes.
        return lambda _value: None

    def check(value: object) -> str | None:
        if isinstance(value, str) and compiled.fullmatch(value):
            return None
        return f"Member must satisfy regular expression pattern: {pattern}"

    return check


def _enum_check(values: list[str]) -> Check:
    allowed = frozenset(values)
    said = f"Member must satisfy enum value set: [{', '.join(values)}]"
    return lambda value: None if value in allowed else said


def _problem(value: object, path: str, said: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {said}"


def _unreadable(value: object, wanted: str) -> AwsError:
    """What AWS's deserializer says of a value whose JSON type is not the model's."""
    if isinstance(value, Mapping):
        return AwsError(MALFORMED, "Start of structure or map found where not expected.")
    if isinstance(value, list):
        return AwsError(MALFORMED, "Start of list found where not expected")
    found = {bool: f"{value}_VALUE".upper(), str: "STRING_VALUE"}.get(type(value), "NUMBER_VALUE")
    article = "an" if wanted[0] in "AEIOU" else "a"
    return AwsError(MALFORMED, f"{found} can not be converted to {article} {wanted}")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _unreadable(value, "String")


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _unreadable(value, "Integer")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _unreadable(value, "Boolean")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _unreadable(value, "Double")


def _blob(value: object) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except binascii.Error as error:
        raise AwsError(MALFORMED, "Invalid Base64 encoding") from error


_CONVERTERS: dict[str, Callable[[object], object]] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "float": _number,
    "double": _number,
    "timestamp": _number,
    "blob": _blob,
}
