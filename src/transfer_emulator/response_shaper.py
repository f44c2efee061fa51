"""Shapes output by botocore's model: nothing outside the model is sent.

Each shape is compiled once into a `Shaper`, which converts an operation's output to wire names and formats. The result
is serialized as JSON, or as XML by `query_protocol.xml_of`.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from botocore.model import ListShape, MapShape, Shape, StructureShape

Shaper: TypeAlias = Callable[[object], object]
Wire: TypeAlias = dict[str, Any]  # a JSON object; the model defines its members


class NotInModelError(TypeError):
    """An operation's output is not in AWS's model: a bug in the emulator."""


def compile_shaper(shape: Shape, format_time: Callable[[datetime], object]) -> Shaper:
    """Compile `shape`. The shaper raises NotInModelError for unknown members and wrong types."""
    if isinstance(shape, StructureShape):
        return _structure(shape, format_time)
    if isinstance(shape, ListShape):
        return _list(shape, format_time)
    if isinstance(shape, MapShape):
        return _map(shape, format_time)
    if shape.type_name == "timestamp":
        return _timestamp(shape, format_time)
    return _SCALARS[shape.type_name](shape)


def epoch_time(moment: datetime) -> float:
    return moment.timestamp()


def iso_time(moment: datetime) -> str:
    """STS's format, with milliseconds only if they are not 0 (for sessions shorter than AWS allows)."""
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _structure(shape: StructureShape, format_time: Callable[[datetime], object]) -> Shaper:
    members = {
        name: (
            member.serialization.get("name", name),
            str if member.type_name == "string" else None,
            compile_shaper(member, format_time),
        )
        for name, member in shape.members.items()
    }

    def shape_value(value: object) -> object:
        if not isinstance(value, dict):
            raise _not_in_model(shape, value)
        result: Wire = {}
        for name, item in value.items():
            member = members.get(name)
            if member is None:
                raise NotInModelError(f"{shape.name} has no member {name!r}")
            wire_name, plain_type, shape_member = member
            if type(item) is plain_type:  # fast path: most values are strings
                result[wire_name] = item
            elif item is not None:
                result[wire_name] = shape_member(item)
        return result

    return shape_value


def _list(shape: ListShape, format_time: Callable[[datetime], object]) -> Shaper:
    shape_member = compile_shaper(shape.member, format_time)

    def shape_value(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _not_in_model(shape, value)
        return [shape_member(item) for item in value]

    return shape_value


def _map(shape: MapShape, format_time: Callable[[datetime], object]) -> Shaper:
    shape_key, shape_item = compile_shaper(shape.key, format_time), compile_shaper(shape.value, format_time)

    def shape_value(value: object) -> object:
        if not isinstance(value, dict):
            raise _not_in_model(shape, value)
        return {shape_key(key): shape_item(item) for key, item in value.items()}

    return shape_value


def _timestamp(shape: Shape, format_time: Callable[[datetime], object]) -> Shaper:
    def shape_value(value: object) -> object:
        if not isinstance(value, datetime):
            raise _not_in_model(shape, value)
        return format_time(value)

    return shape_value


def _exactly(*types: type) -> Callable[[Shape], Shaper]:
    """A shaper for values of exactly these types: True is not an integer on the wire."""

    def compile_scalar(shape: Shape) -> Shaper:
        def shape_value(value: object) -> object:
            if type(value) not in types:
                raise _not_in_model(shape, value)
            return value

        return shape_value

    return compile_scalar


def _blob(shape: Shape) -> Shaper:
    def shape_value(value: object) -> object:
        if not isinstance(value, bytes):
            raise _not_in_model(shape, value)
        return base64.b64encode(value).decode()

    return shape_value


def _not_in_model(shape: Shape, value: object) -> NotInModelError:
    return NotInModelError(f"{shape.name} is a {shape.type_name}, not {value!r}")


_SCALARS: dict[str, Callable[[Shape], Shaper]] = {
    "string": _exactly(str),
    "integer": _exactly(int),
    "long": _exactly(int),
    "boolean": _exactly(bool),
    "float": _exactly(float, int),
    "double": _exactly(float, int),
    "blob": _blob,
}
