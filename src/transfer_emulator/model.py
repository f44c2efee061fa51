"""A service as botocore's model describes it: its operations, each able to read input and shape output."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from transfer_emulator.errors import MALFORMED, AwsError
from transfer_emulator.query import escaped, nested, xml_of
from transfer_emulator.reading import Reader, checked, reader
from transfer_emulator.writing import Wire, Writer, epoch_time, iso_time, writer


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, its shapes compiled."""

    name: str
    input_shape: Shape
    output_shape: Shape
    read: Reader
    write: Writer

    def read_json(self, body: bytes) -> Wire:
        """Raises: AwsError (MALFORMED, INVALID_INPUT)."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise AwsError(MALFORMED) from error
        return cast("Wire", checked(self.read, value))

    def read_form(self, form: Mapping[str, str]) -> Wire:
        """Raises: AwsError (MALFORMED, INVALID_INPUT)."""
        return cast("Wire", checked(self.read, nested(self.input_shape, form)))

    def shape_output(self, output: Wire) -> Wire:
        """Raises: NotInModelError."""
        return cast("Wire", self.write(output))


class Service:
    """A service's model, and how its protocol writes answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = ServiceModel(Loader().load_service_model(name, "service-2"), name)
        self.speaks_json = self.model.metadata["protocol"] == "json"
        self.api_version = str(self.model.api_version)
        self.target_prefix = str(self.model.metadata.get("targetPrefix", ""))
        self._namespace = str(self.model.metadata.get("xmlNamespace", ""))
        self._operations: dict[str, Operation] = {}

    def operation(self, name: str) -> Operation | None:
        """The operation of that name, compiled at its first use; None where the service has none."""
        if name not in self._operations and name in self.model.operation_names:
            self._operations[name] = self._compiled(self.model.operation_model(name))
        return self._operations.get(name)

    def answer_body(self, operation: Operation, wire: Wire, request_id: str) -> bytes:
        """What `shape_output` gave, as the bytes of a successful answer."""
        if self.speaks_json:
            return orjson.dumps(wire)
        wrapper = operation.output_shape.serialization.get("resultWrapper", f"{operation.name}Result")
        result = xml_of(operation.output_shape, wrapper, wire)
        return (
            f'<{operation.name}Response xmlns="{self._namespace}">{result}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
            f"</{operation.name}Response>"
        ).encode()

    def error_body(self, error: AwsError, request_id: str) -> bytes:
        """The error's answer, shaped by the service's model where that has the code."""
        if self.speaks_json:
            return orjson.dumps(self._json_error(error))
        kind = "Sender" if error.failure.query_status < 500 else "Receiver"  # noqa: PLR2004 - HTTP's border
        message = "" if error.message is None else f"<Message>{escaped(error.message)}</Message>"
        return (
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{kind}</Type>'
            f"<Code>{escaped(error.failure.query_code)}</Code>{message}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()

    def _json_error(self, error: AwsError) -> Wire:
        code = error.failure.json_code
        shape = self.model.shape_for_error_code(code)
        answer: Wire = {"__type": code}
        if shape is not None:
            said = {"Message": error.message} if "Message" in shape.members else {}
            answer |= cast("Wire", _error_writer(shape)({**said, **error.members}))
        if error.message is not None and "Message" not in answer:
            answer["message"] = error.message  # AWS's framework, not the service, spells it so
        return answer

    def _compiled(self, model: OperationModel) -> Operation:
        # An operation without input or output takes and gives an empty structure.
        empty = StructureShape(f"{model.name}Nothing", {"type": "structure", "members": {}})
        given, taken = model.output_shape or empty, model.input_shape or empty
        format_time = epoch_time if self.speaks_json else iso_time
        return Operation(model.name, taken, given, reader(taken), writer(given, format_time))


@cache
def load_service(name: str) -> Service:
    """The service as this botocore knows it; read once."""
    return Service(name)


@cache
def _error_writer(shape: Shape) -> Writer:
    return writer(shape, epoch_time)
