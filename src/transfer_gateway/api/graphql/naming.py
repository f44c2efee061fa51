"""What a request is called where requests are counted: by the fields of Query that it asks for, of which few are.

The name that a caller gives its operation is anything, and as a metric's label would be a series for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphql import FieldNode

from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from graphql import OperationDefinitionNode

SEVERAL = "several"


def name_request(operation: OperationDefinitionNode) -> None:
    """Say of the current request what it asks for. The document must be valid: its fields are the schema's."""
    request = current_request()
    if request is None:
        return
    selections = operation.selection_set.selections
    first = selections[0]
    request.graphql_type = operation.operation.value
    request.graphql_name = operation.name.value if operation.name else None
    alone = len(selections) == 1 and isinstance(first, FieldNode)
    request.operation = first.name.value if alone else SEVERAL  # type: ignore[attr-defined]  # it is a field
