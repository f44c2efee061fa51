"""Parses and validates input by botocore's model, with AWS's own error messages.

Each shape is compiled once into a `Parser`. A value of the wrong type is an error at once, as AWS cannot
deserialize it; violated constraints are collected, as AWS reports them all in one response.
"""

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Mapping
from typing import TypeAlias

from botocore.model import ListShape, MapShape, Shape, StructureShape

from transfer_emulator.errors import INVALID_INPUT, MALFORMED, AwsError, Failure

Problems: TypeAlias = list[str]
Parser: TypeAlias = Callable[[object, str, Problems], object]
Check: TypeAlias = Callable[[object], str | None]


def compile_parser(shape: Shape) -> Parser:
    """Compile `shape` to (value, path, problems) → the value without members that are not in the model."""
    if isinstance(shape, StructureShape):
        return _structure(shape)
    if isinstance(shape, ListShape):
        return _list(shape)
    if isinstance(shape, MapShape):
        return _map(shape)
    return _scalar(shape)


def parse_input(parse: Parser, value: object, invalid: Failure = INVALID_INPUT) -> object:
    """Parse a whole input. Raises: AwsError (MALFORMED, `invalid`)."""
    problems: Problems = []
    result = parse(value, "", problems)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise AwsError(invalid, count + "; ".join(problems))
    return result


def _structure(shape: StructureShape) -> Parser:
    members = [
        (name, name[0].lower() + name[1:], compile_parser(member)) for name, member in shape.members.items()
    ]
    required = frozenset(shape.required_members)

    def parse(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, dict):
            raise _wrong_type(value, "Structure")
        result: dict[str, object] = {}
        for name, wire_name, parse_member in members:
            item = value.get(name)
            where = f"{path}.{wire_name}" if path else wire_name
            if item is not None:
                result[name] = parse_member(item, where, problems)
            elif name in required:
                problems.append(_problem(None, where, "Member must not be null"))
        return result

    return parse


def _list(shape: ListShape) -> Parser:
    parse_member = compile_parser(shape.member)
    check = _length_check(shape)

    def parse(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, list):
            raise _wrong_type(value, "List")
        if (rule := check(value)) is not None:
            problems.append(_problem(value, path, rule))
        return [parse_member(item, f"{path}.{at}.member", problems) for at, item in enumerate(value, 1)]

    return parse


def _map(shape: MapShape) -> Parser:
    parse_value = compile_parser(shape.value)

    def parse(value: object, path: str, problems: Problems) -> object:
        if not isinstance(value, dict):
            raise _wrong_type(value, "Map")
        return {key: parse_value(item, f"{path}.{key}.member", problems) for key, item in value.items()}

    return parse


def _scalar(shape: Shape) -> Parser:
    convert = _CONVERTERS[shape.type_name]
    checks = _checks(shape)

    def parse(value: object, path: str, problems: Problems) -> object:
        result = convert(value)
        for check in checks:
            if (rule := check(result)) is not None:
                problems.append(_problem(result, path, rule))
        return result

    return parse


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
        # The model has Java patterns; Python does not support \p{L}. Accepting any value is closer to AWS than
        # rejecting valid ones.
        return lambda _value: None

    def check(value: object) -> str | None:
        if isinstance(value, str) and compiled.fullmatch(value):
            return None
        return f"Member must satisfy regular expression pattern: {pattern}"

    return check


def _enum_check(values: list[str]) -> Check:
    allowed = frozenset(values)
    rule = f"Member must satisfy enum value set: [{', '.join(values)}]"
    return lambda value: None if value in allowed else rule


def _problem(value: object, path: str, rule: str) -> str:
    quoted = "null" if value is None else f"'{value}'"
    return f"Value {quoted} at '{path}' failed to satisfy constraint: {rule}"


def _wrong_type(value: object, expected: str) -> AwsError:
    """The error of AWS's deserializer for a value of the wrong JSON type."""
    if isinstance(value, Mapping):
        return AwsError(MALFORMED, "Start of structure or map found where not expected.")
    if isinstance(value, list):
        return AwsError(MALFORMED, "Start of list found where not expected")
    found = {bool: f"{value}_VALUE".upper(), str: "STRING_VALUE"}.get(type(value), "NUMBER_VALUE")
    article = "an" if expected[0] in "AEIOU" else "a"
    return AwsError(MALFORMED, f"{found} can not be converted to {article} {expected}")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _wrong_type(value, "String")


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong_type(value, "Integer")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong_type(value, "Boolean")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _wrong_type(value, "Double")


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
