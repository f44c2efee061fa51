"""Parses, limits and validates documents, and caches them by their text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache
from graphql import (
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)

from transfer_gateway.api.graphql.compiled import Compiled
from transfer_gateway.api.graphql.limits import check, check_document
from transfer_gateway.api.graphql.overlap import OverlappingFields
from transfer_gateway.domain.errors import BadUserInput, quote

if TYPE_CHECKING:
    from graphql import DocumentNode, FieldNode, GraphQLSchema

    from transfer_gateway.api.graphql.limits import Limits

_KEPT_CHARACTERS = 262_144  # of text; a parsed document takes up to 200 bytes per character
_RECORD_FIELDS = {
    "Execution": {"startedAt", "endedAt", "durationS", "recordedBy", "stepsDone", "failedStep"},
    "ExecutionStepResult": {"name", "startedAt", "endedAt", "durationS", "fileLocation"},
}
_RECORD_FIELD = re.compile(rf"\b({'|'.join(sorted(set().union(*_RECORD_FIELDS.values())))})\b")
_JOINED_FIELD = re.compile(r"\b(events|server|workflow)\b")
_MAX_ERRORS = 5  # each may quote a good part of the document


class Refused(Exception):
    """A document or its variables are invalid; `errors` has the reasons."""

    def __init__(self, *errors: GraphQLError | BadUserInput) -> None:
        self.errors = [
            GraphQLError(error.message, original_error=error) if isinstance(error, BadUserInput) else error
            for error in errors
        ]
        super().__init__(*self.errors)


@dataclass(eq=False, slots=True)
class Document:
    """A valid document, and its compiled selections, if compilation is enabled.

    `with_records`: it selects fields of executions that only the history has. `has_joins`: it may select an execution's
    server, workflow or events. `renders_alike`: see there; None: not known yet.
    """

    node: DocumentNode
    characters: int
    compiled: Compiled | None
    with_records: bool
    has_joins: bool
    renders_alike: bool | None = None


class Documents:
    """An LRU cache of valid documents.

    `compiles`: whether to compile their selections.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        *,
        introspection: bool,
        suggestions: bool,
        compiles: bool = True,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._hide_suggestions = not suggestions
        self._rules = [
            *(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule),
            OverlappingFields,
        ]
        if not introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)
        self._compiles = compiles
        self._kept: LRUCache[str, Document] = LRUCache(
            _KEPT_CHARACTERS, getsizeof=lambda kept: kept.characters
        )

    def get(self, text: str) -> Document:
        """The document of that text. Raises: Refused."""
        try:
            return self._kept[text]  # cachetools' `get` does two lookups
        except KeyError:
            pass
        compiles = self._compiles and "@" not in text  # directives may depend on variables
        node = self._checked(text)
        document = Document(
            node,
            len(text),
            Compiled() if compiles else None,
            # Most documents have none of the names.
            with_records=_RECORD_FIELD.search(text) is not None and selects_records(node, self._schema),
            has_joins=_JOINED_FIELD.search(text) is not None,
        )
        if len(text) <= _KEPT_CHARACTERS:
            self._kept[text] = document
        return document

    def _checked(self, text: str) -> DocumentNode:
        limits = self._limits
        try:
            check(limits, "max_characters", len(text), "The document has more than {} characters")
            document = parse(text, max_lexical_tokens=limits.max_tokens, max_comments=limits.max_tokens)
            check_document(document, limits)
        except (GraphQLError, BadUserInput) as error:
            raise Refused(error) from error
        if not any(isinstance(definition, OperationDefinitionNode) for definition in document.definitions):
            raise Refused(BadUserInput("The document has no operation, such as `query { ... }`, to run."))
        errors = validate(
            self._schema, document, self._rules, _MAX_ERRORS, hide_suggestions=self._hide_suggestions
        )
        if errors:
            raise Refused(*errors)
        return document


def selects_records(document: DocumentNode, schema: GraphQLSchema) -> bool:
    """Whether the valid document selects fields of executions that only the history has."""
    types = TypeInfo(schema)
    found = _RecordFields(types)
    visit(document, TypeInfoVisitor(types, found))
    return found.any


class _RecordFields(Visitor):
    """Whether any field visited is one that only the history has."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self._types = types
        self.any = False

    def enter_field(self, node: FieldNode, *_: object) -> None:
        parent = self._types.get_parent_type()
        if parent is not None and node.name.value in _RECORD_FIELDS.get(parent.name, ()):
            self.any = True


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation to run. Raises: Refused. Source: GraphQL, GetOperation()."""
    if name is None and len(document.definitions) == 1:
        return document.definitions[0]  # type: ignore[return-value]  # a valid document has an operation
    operations = {
        definition.name.value if definition.name else None: definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    }
    if name is None:
        if len(operations) > 1:
            raise Refused(
                BadUserInput(f"`operationName` is required: the document has {len(operations)} operations.")
            )
        return next(iter(operations.values()))
    if name not in operations:
        raise Refused(BadUserInput(f"Unknown operation named {quote(name)}."))
    return operations[name]
