"""The query protocol: dotted form fields for input, XML for output, both by botocore's shapes."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from botocore.model import ListShape, MapShape, Shape, StructureShape

from transfer_emulator.errors import MALFORMED, AwsError

# XML 1.0 can't represent these, not even escaped.
_FORBIDDEN = [*map(chr, range(32)), "\ufffe", "\uffff"]
_ESCAPES = str.maketrans(
    dict.fromkeys(_FORBIDDEN, "\ufffd")
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "\t": "\t", "\n": "\n"}
)


def parse_form(encoded: bytes) -> dict[str, str]:
    """Form fields by name. Raises: AwsError (MALFORMED) if the bytes are not a form."""
    try:
        return dict(parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise AwsError(MALFORMED, "The request is not a valid form") from error


def nested(shape: Shape, form: Mapping[str, str], prefix: str = "") -> object | None:
    """The value of the dotted form fields for `shape`; None if there is none.

    Raises: AwsError (MALFORMED) if a field is not a valid number or boolean.
    """
    if isinstance(shape, StructureShape):
        members = {
            name: nested(member, form, _dotted(prefix, member.serialization.get("name", name)))
            for name, member in shape.members.items()
        }
        found = {name: value for name, value in members.items() if value is not None}
        return found if found or not prefix else None
    if isinstance(shape, ListShape):
        return _nested_list(shape, form, prefix)
    text = form.get(prefix)
    return None if text is None else _converted(shape, text)


def xml_of(shape: Shape, name: str, value: object) -> str:
    """An element and its children, including members that a fault has added to those of the shape."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        by_wire_name = {
            member.serialization.get("name", key): member for key, member in shape.members.items()
        }
        inner = "".join(
            xml_of(by_wire_name[key], key, item) if key in by_wire_name else _element(key, item)
            for key, item in value.items()
        )
        return f"<{name}>{inner}</{name}>"
    if isinstance(shape, ListShape) and isinstance(value, list):
        entry = shape.member.serialization.get("name", "member")
        if shape.serialization.get("flattened"):
            return "".join(xml_of(shape.member, name, item) for item in value)
        return f"<{name}>{''.join(xml_of(shape.member, entry, item) for item in value)}</{name}>"
    if isinstance(shape, MapShape) and isinstance(value, dict):
        entries = "".join(
            f"<entry>{xml_of(shape.key, 'key', key)}{xml_of(shape.value, 'value', item)}</entry>"
            for key, item in value.items()
        )
        return f"<{name}>{entries}</{name}>"
    return _element(name, value)


def escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _nested_list(shape: ListShape, form: Mapping[str, str], prefix: str) -> list[object] | None:
    if form.get(prefix) == "":
        return []  # how botocore sends an empty list
    entry = "" if shape.serialization.get("flattened") else shape.member.serialization.get("name", "member")
    items: list[object] = []
    base = _dotted(prefix, entry) if entry else prefix
    while (item := nested(shape.member, form, f"{base}.{len(items) + 1}")) is not None:
        items.append(item)
    return items or None


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _converted(shape: Shape, text: str) -> object:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}[text]
    except (ValueError, KeyError) as error:
        kind = shape.type_name.capitalize()
        article = "an" if kind[0] == "I" else "a"
        raise AwsError(MALFORMED, f"STRING_VALUE can not be converted to {article} {kind}") from error
    return text


def _element(name: str, value: object) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    return f"<{name}>{escaped(str(value))}</{name}>"
