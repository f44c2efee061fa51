"""A service, from botocore's model: its operations, with input parsing and output shaping."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from transfer_emulator.errors import INVALID_INPUT, INVALID_PARAMETER, MALFORMED, AwsError, Failure
from transfer_emulator.query_protocol import escaped, nested, xml_of
from transfer_emulator.request_parser import Parser, compile_parser, parse_input
from transfer_emulator.response_shaper import Shaper, Wire, compile_shaper, epoch_time, iso_time


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with compiled shapes."""

    name: str
    input_shape: Shape
    output_shape: Shape
    parse: Parser
    shape: Shaper
    invalid_input: Failure = INVALID_INPUT

    def parse_json(self, body: bytes) -> Wire:
        """Raises: AwsError (MALFORMED, and the service's error for invalid input)."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise AwsError(MALFORMED) from error
        return cast("Wire", parse_input(self.parse, value, self.invalid_input))

    def parse_form(self, form: Mapping[str, str]) -> Wire:
        """Raises: AwsError (MALFORMED, INVALID_INPUT)."""
        return cast("Wire", parse_input(self.parse, nested(self.input_shape, form)))

    def shape_output(self, output: Wire) -> Wire:
        """Raises: NotInModelError."""
        return cast("Wire", self.shape(output))


class Service:
    """A service's model, and its protocol's responses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = ServiceModel(Loader().load_service_model(name, "service-2"), name)
        self.uses_json = self.model.metadata["protocol"] == "json"
        self.api_version = str(self.model.api_version)
        self.target_prefix = str(self.model.metadata.get("targetPrefix", ""))
        self._namespace = str(self.model.metadata.get("xmlNamespace", ""))
        self._invalid_input = INVALID_PARAMETER if name == "logs" else INVALID_INPUT
        self._operations: dict[str, Operation] = {}

    def operation(self, name: str) -> Operation | None:
        """The operation of that name, compiled on first use; None if unknown."""
        if name not in self._operations and name in self.model.operation_names:
            self._operations[name] = self._compiled(self.model.operation_model(name))
        return self._operations.get(name)

    def response_body(self, operation: Operation, wire: Wire, request_id: str) -> bytes:
        """Serialize the result of `shape_output` as the body of a successful response."""
        if self.uses_json:
            return orjson.dumps(wire)
        wrapper = operation.output_shape.serialization.get("resultWrapper", f"{operation.name}Result")
        result = xml_of(operation.output_shape, wrapper, wire)
        return (
            f'<{operation.name}Response xmlns="{self._namespace}">{result}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
            f"</{operation.name}Response>"
        ).encode()

    def error_body(self, error: AwsError, request_id: str) -> bytes:
        """The error's response body, shaped by the service's model if that defines the code."""
        if self.uses_json:
            return orjson.dumps(self._json_error(error))
        kind = "Sender" if error.failure.query_status < 500 else "Receiver"  # noqa: PLR2004 - HTTP's server errors
        message = "" if error.message is None else f"<Message>{escaped(error.message)}</Message>"
        return (
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{kind}</Type>'
            f"<Code>{escaped(error.failure.query_code)}</Code>{message}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()

    def _json_error(self, error: AwsError) -> Wire:
        code = error.failure.json_code
        shape = self.model.shape_for_error_code(code)
        response: Wire = {"__type": code}
        if shape is not None:
            message = {"Message": error.message} if "Message" in shape.members else {}
            response |= cast("Wire", _error_shaper(shape)({**message, **error.members}))
        if error.message is not None and "Message" not in response:
            response["message"] = error.message  # spelled so by AWS's framework, not the service
        return response

    def _compiled(self, model: OperationModel) -> Operation:
        # An operation without input or output gets an empty structure.
        empty = StructureShape(f"{model.name}Empty", {"type": "structure", "members": {}})
        output, input_ = model.output_shape or empty, model.input_shape or empty
        format_time = epoch_time if self.uses_json else iso_time
        return Operation(
            model.name,
            input_,
            output,
            compile_parser(input_),
            compile_shaper(output, format_time),
            self._invalid_input,
        )


@cache
def load_service(name: str) -> Service:
    """The service by botocore's model; loaded once."""
    return Service(name)


@cache
def _error_shaper(shape: Shape) -> Shaper:
    return compile_shaper(shape, epoch_time)
