"""Output, shaped by botocore's model of it: nothing leaves that the model lacks.

Each shape is compiled once into a `Writer`: the operation's answer → plain values under the names and in
the formats of the wire, which JSON takes as they are and `query.xml_of` turns into XML.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from botocore.model import ListShape, MapShape, Shape, StructureShape

Writer: TypeAlias = Callable[[object], object]
Wire: TypeAlias = dict[str, Any]  # what JSON is made of; its members' types are the model's affair


class NotInModelError(TypeError):
    """An operation answered with something that AWS's model of it does not have: a fault of the emulator."""


def writer(shape: Shape, format_time: Callable[[datetime], object]) -> Writer:
    """Compile `shape`. The writer raises NotInModelError for a member or a type that the shape lacks."""
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
    """As STS writes it; the milliseconds only when there are some (sessions shorter than AWS's)."""
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _structure(shape: StructureShape, format_time: Callable[[datetime], object]) -> Writer:
    members = {
        name: (
            member.serialization.get("name", name),
            str if member.type_name == "string" else None,
            writer(member, format_time),
        )
        for name, member in shape.members.items()
    }

    def write(value: object) -> object:
        if not isinstance(value, dict):
            raise _not_in_model(shape, value)
        result: Wire = {}
        for name, item in value.items():
            member = members.get(name)
            if member is None:
                raise NotInModelError(f"{shape.name} has no member {name!r}")
            wire_name, plain_type, write_member = member
            if type(item) is plain_type:  # strings, the most of what there is, need no call
                result[wire_name] = item
            elif item is not None:
                result[wire_name] = write_member(item)
        return result

    return write


def _list(shape: ListShape, format_time: Callable[[datetime], object]) -> Writer:
    write_member = writer(shape.member, format_time)

    def write(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _not_in_model(shape, value)
        return [write_member(item) for item in value]

    return write


def _map(shape: MapShape, format_time: Callable[[datetime], object]) -> Writer:
    write_key, write_value = writer(shape.key, format_time), writer(shape.value, format_time)

    def write(value: object) -> object:
        if not isinstance(value, dict):
            raise _not_in_model(shape, value)
        return {write_key(key): write_value(item) for key, item in value.items()}

    return write


def _timestamp(shape: Shape, format_time: Callable[[datetime], object]) -> Writer:
    def write(value: object) -> object:
        if not isinstance(value, datetime):
            raise _not_in_model(shape, value)
        return format_time(value)

    return write


def _exactly(*types: type) -> Callable[[Shape], Writer]:
    """A writer that passes values of these very types: True is no integer on the wire."""

    def compile_scalar(shape: Shape) -> Writer:
        def write(value: object) -> object:
            if type(value) not in types:
                raise _not_in_model(shape, value)
            return value

        return write

    return compile_scalar


def _blob(shape: Shape) -> Writer:
    def write(value: object) -> object:
        if not isinstance(value, bytes):
            raise _not_in_model(shape, value)
        return base64.b64encode(value).decode()

    return write


def _not_in_model(shape: Shape, value: object) -> NotInModelError:
    return NotInModelError(f"{shape.name} is a {shape.type_name}, not {value!r}")


_SCALARS: dict[str, Callable[[Shape], Writer]] = {
    "string": _exactly(str),
    "integer": _exactly(int),
    "long": _exactly(int),
    "boolean": _exactly(bool),
    "float": _exactly(float, int),
    "double": _exactly(float, int),
    "blob": _blob,
}
