"""Names requests in metrics and logs by the root fields that they select, of which there are few.

The operation name is chosen by the caller, so as a metric's label it would have unbounded cardinality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphql import FieldNode

from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from graphql import OperationDefinitionNode

SEVERAL = "several"


def name_request(operation: OperationDefinitionNode) -> None:
    """Set the current request's operation. The document must be valid, so that its fields are the schema's."""
    request = current_request()
    if request is None:
        return
    selections = operation.selection_set.selections
    first = selections[0]
    request.graphql_type = operation.operation.value
    request.graphql_name = operation.name.value if operation.name else None
    alone = len(selections) == 1 and isinstance(first, FieldNode)
    request.operation = first.name.value if alone else SEVERAL  # type: ignore[attr-defined]  # it is a field
