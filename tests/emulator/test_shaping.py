"""Input and output by the model: botocore's own parser reads back what we shape."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from transfer_emulator.errors import MALFORMED, AwsError
from transfer_emulator.model import Operation, load_service
from transfer_emulator.query_protocol import nested, parse_form
from transfer_emulator.response_shaper import NotInModelError

# What XML 1.0 can carry at all; JSON carries more, and is given it.
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff").filter(
        lambda letter: letter >= " " or letter in "\t\n\r"
    ),
    max_size=12,
)
JSON_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
LONG_RUN = settings(max_examples=examples(150))


def operations(service_name: str, *, of: Callable[[Operation], bool]) -> list[Operation]:
    service = load_service(service_name)
    every = (service.operation(name) for name in service.model.operation_names)
    return [operation for operation in every if operation is not None and of(operation)]


def values(shape: Shape, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any value of the shape's types, regardless of required members and lengths."""
    if isinstance(shape, StructureShape):
        members = {name: values(member, text) for name, member in shape.members.items()}
        if shape.is_tagged_union:
            return st.one_of([st.fixed_dictionaries({name: one}) for name, one in members.items()])
        return st.fixed_dictionaries({}, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, text), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(text, values(shape.value, text), max_size=2)
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "string": text,
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "blob": st.binary(max_size=12),
        "timestamp": st.integers(0, 4_102_444_800_000).map(
            lambda millis: datetime.fromtimestamp(millis / 1000, UTC)
        ),
    }
    return scalars[shape.type_name]


def parsed(service_name: str, operation: Operation, output: dict[str, Any]) -> dict[str, Any]:
    """The response as parsed by botocore."""
    service = load_service(service_name)
    body = service.response_body(operation, operation.shape_output(output), "r-1")
    answer = {"status_code": 200, "headers": {}, "body": body}
    told = create_parser(str(service.model.metadata["protocol"])).parse(answer, operation.output_shape)
    del told["ResponseMetadata"]
    return dict(told)


@LONG_RUN
@given(st.data())
def test_botocore_parses_our_json(data: st.DataObject) -> None:
    """Every operation of Transfer's model, not only those that are emulated."""
    operation = data.draw(
        st.sampled_from(operations("transfer", of=lambda one: bool(one.output_shape.members)))
    )
    output = data.draw(values(operation.output_shape, JSON_TEXT))
    assert parsed("transfer", operation, output) == output


@LONG_RUN
@given(st.data())
def test_botocore_parses_our_xml(data: st.DataObject) -> None:
    """Every operation of STS's model: escapes, line ends, lists, times and numbers."""
    operation = data.draw(st.sampled_from(operations("sts", of=lambda one: bool(one.output_shape.members))))
    output = data.draw(values(operation.output_shape, XML_TEXT))
    assert parsed("sts", operation, output) == output


@LONG_RUN
@given(st.data())
def test_we_parse_botocores_forms(data: st.DataObject) -> None:
    """AssumeRole's input through botocore's serializer: nested lists and numbers are unchanged."""
    service = load_service("sts")
    operation = service.operation("AssumeRole")
    assert operation is not None
    # The form has no spelling for an empty structure in a list.
    asked = data.draw(
        values(operation.input_shape, XML_TEXT).filter(lambda drawn: {} not in all_within(drawn))
    )
    serializer = create_serializer("query", include_validation=False)
    form = serializer.serialize_to_request(asked, service.model.operation_model("AssumeRole"))["body"]
    encoded = urlencode(form).encode()
    assert nested(operation.input_shape, parse_form(encoded)) == asked


def all_within(asked: dict[str, Any]) -> list[Any]:
    return [item for value in asked.values() if isinstance(value, list) for item in value]


@LONG_RUN
@given(st.binary(max_size=60))
def test_no_body_breaks_the_parsers(body: bytes) -> None:
    """Any bytes are parsed or get AWS's error."""
    describe = load_service("transfer").operation("DescribeExecution")
    assume = load_service("sts").operation("AssumeRole")
    assert describe is not None
    assert assume is not None
    with pytest.raises(AwsError):
        describe.parse_json(body)
    with pytest.raises(AwsError):
        assume.parse_form(parse_form(body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | JSON_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_TEXT, inner, max_size=3),
    max_leaves=8,
)


@LONG_RUN
@given(st.dictionaries(st.sampled_from(["WorkflowId", "MaxResults", "NextToken", "Else"]), json_values))
def test_any_json_object_is_parsed_or_refused(asked: dict[str, Any]) -> None:
    """Wrong types, wrong values and unknown members, in every combination."""
    operation = load_service("transfer").operation("ListExecutions")
    assert operation is not None
    try:
        read = operation.parse_json(orjson.dumps(asked))
    except AwsError as error:
        assert error.failure.json_code in {"SerializationException", "ValidationException"}  # noqa: PT017 - see above
    else:
        assert read.items() <= asked.items()


@pytest.mark.parametrize(
    "output",
    [
        pytest.param({"Colour": "blue"}, id="unknown-member"),
        pytest.param({"Execution": {"Colour": None}}, id="unknown-nested-member"),
        pytest.param({"WorkflowId": 12}, id="number-for-text"),
        pytest.param({"Execution": []}, id="list-for-structure"),
        pytest.param({"Execution": {"PosixProfile": {"Uid": True}}}, id="boolean-for-number"),
        pytest.param({"Execution": {"Results": {"Steps": {}}}}, id="structure-for-list"),
    ],
)
def test_output_outside_the_model_is_refused(output: dict[str, Any]) -> None:
    """Output that AWS's model does not define is an error."""
    operation = load_service("transfer").operation("DescribeExecution")
    assert operation is not None
    with pytest.raises(NotInModelError):
        operation.shape_output(output)


def test_blobs_and_numbers_of_the_wrong_kind_are_refused() -> None:
    """Types that no emulated operation uses are supported, too."""
    operation = load_service("transfer").operation("ImportCertificate")
    assert operation is not None
    with pytest.raises(AwsError) as refusal:
        operation.parse_json(b'{"Usage": "SIGNING", "Certificate": "c", "ActiveDate": "soon"}')
    assert refusal.value.failure is MALFORMED
