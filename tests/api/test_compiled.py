"""Compiled selections: for any document and any values, the response equals graphql-core's.

Random documents over the whole schema, on random executions whose values sometimes violate their types, are executed
with and without compiled selections.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from graphql import (
    GraphQLObjectType,
    execute,
    get_introspection_query,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from strawberry.execution import optimized_is_awaitable

from examples import examples
from transfer_gateway.api.graphql.compiled import Compiled
from transfer_gateway.api.graphql.graphql_core_internals import CompilingExecutor
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.errors import ExecutionNotFound, InternalServerError, Throttled
from transfer_gateway.domain.execution import (
    EfsFileLocation,
    Execution,
    ExecutionResults,
    ExecutionStatus,
    FileLocation,
    LoggingConfiguration,
    PosixProfile,
    S3FileLocation,
    ServiceMetadata,
    Step,
    StepError,
    StepErrorType,
    StepRef,
    StepType,
    UserDetails,
)
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.domain.scope import Scope

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLNamedType

SCHEMA = build_schema()._schema
KEY = ExecutionKey.parse("111111111111/eu-west-1/w-0123456789abcdef0/11111111-2222-3333-4444-555555555555")
WORKFLOW = WorkflowKey.parse("111111111111/eu-west-1/w-0123456789abcdef0")
ARGUMENTS = (
    '(key: {accountId: "111111111111", region: "eu-west-1", workflowId: "w-0123456789abcdef0", '
    'executionId: "11111111-2222-3333-4444-555555555555"})'
)
FIELDS = [
    f"execution{ARGUMENTS} {{ ... }}",
    f"executionOrError{ARGUMENTS} {{ ... }}",
    f"executions{ARGUMENTS.replace('key: {', 'keys: [{').replace('})', '}])')} {{ ... }}",
]
MANY = FIELDS[-1]
ACCOUNTS = Accounts([Account(KEY.account_id, "claims", (KEY.region,), None, None, 3600)])

texts = st.text(max_size=5)
maybe_texts = st.none() | texts
places = st.builds(StepRef, st.just(WORKFLOW), st.booleans(), st.integers(0, 3))
steps = st.builds(
    Step,
    places,
    st.none() | st.sampled_from(StepType),
    maybe_texts,
    maybe_texts,
    st.none() | st.builds(StepError, st.sampled_from(StepErrorType), texts, texts),
)
step_lists = st.none() | st.lists(steps, max_size=3).map(tuple)
executions = st.builds(
    Execution,
    key=st.just(KEY),
    initial_file_location=st.none()
    | st.builds(
        FileLocation,
        st.none() | st.builds(S3FileLocation, *[maybe_texts] * 4),
        st.none() | st.builds(EfsFileLocation, maybe_texts, maybe_texts),
    ),
    service_metadata=st.none() | st.builds(ServiceMetadata, st.builds(UserDetails, texts, texts, maybe_texts)),
    execution_role=maybe_texts,
    logging_configuration=st.none() | st.builds(LoggingConfiguration, maybe_texts, maybe_texts),
    posix_profile=st.none()
    | st.builds(
        PosixProfile,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
    ),
    status=st.none() | st.sampled_from(ExecutionStatus),
    raw_status=maybe_texts,
    results=st.none() | st.builds(ExecutionResults, step_lists, step_lists),
    observed_at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])),
)  # fmt: skip
failures = st.sampled_from([ExecutionNotFound.of(KEY), Throttled("Later."), InternalServerError("Oh.")])
odd_values = st.sampled_from(
    [
        None,
        True,
        7,
        2**70,
        1.5,
        float("nan"),
        "IN_PROGRESS",
        b"bytes",
        (),
        ("a",),
        {"a": 1},
        ValueError("odd"),
        object(),
    ]
)


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """An execution with one value, at any depth, that violates its type."""
    return _break(draw, draw(executions))


def _break(draw: st.DrawFn, whole: Any) -> Any:
    names = [each.name for each in fields(whole) if each.name not in {"key", "place", "workflow"}]
    name = draw(st.sampled_from(names))
    value = getattr(whole, name)
    if is_dataclass(value) and draw(st.booleans()):
        return replace(whole, **{name: _break(draw, value)})
    if isinstance(value, tuple) and value and is_dataclass(value[0]) and draw(st.booleans()):
        return replace(whole, **{name: (*value[1:], _break(draw, value[0]))})
    return replace(whole, **{name: draw(odd_values)})


@st.composite
def selections(draw: st.DrawFn, kind: GraphQLNamedType, depth: int = 0) -> str:
    """A selection set on that type, usually a valid one."""
    members: list[str] = ["__typename"]
    if isinstance(kind, GraphQLObjectType):
        for name, field in draw(
            st.lists(st.sampled_from(sorted(kind.fields.items())), min_size=1, max_size=6)
        ):
            alias = draw(st.sampled_from(["", "", "", f"a_{name}: ", f"b_{name}: "]))
            inner = get_named_type(field.type)
            if is_leaf_type(inner):
                members.append(f"{alias}{name}")
            elif depth < 6:
                members.append(f"{alias}{name} {draw(selections(inner, depth + 1))}")
    if draw(st.integers(0, 5)) == 0 and depth < 6:
        members.append(f"... on {kind.name} {draw(selections(kind, depth + 1))}")
    if draw(st.integers(0, 40)) == 0:
        members.append("again: __typename @skip(if: true)")
    return f"{{ {' '.join(draw(st.permutations(members)))} }}"


class Reader:
    """The part of a reader that resolvers need; always returns the same result."""

    scope = Scope(ACCOUNTS)

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    async def describe(self, _key: object, **_options: object) -> Any:
        return self._outcome_of(self.outcome)

    async def describe_all(self, _keys: list[object], **_options: object) -> list[Any]:
        """A list represents the outcomes of as many keys."""
        return self.outcome if isinstance(self.outcome, list) else [self.outcome]

    async def define_step(self, place: StepRef, **_options: object) -> Any:
        if place.position == 0:
            raise ExecutionNotFound.of(KEY)
        return None

    @staticmethod
    def _outcome_of(outcome: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class WritesListsAtOnce(CompilingExecutor):
    """An executor that can't complete a list's items one by one."""

    complete_list_item_value = None  # type: ignore[assignment]


def run(
    document: DocumentNode,
    outcome: Any,
    compiled: Compiled | None,
    executor: type[CompilingExecutor] = CompilingExecutor,
) -> Any:
    async def operation() -> Any:
        result: Any = execute(
            SCHEMA,
            document,
            context_value=SimpleNamespace(reader=Reader(outcome), deadline=0.0),
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
            executor_class=executor,
            compiled=compiled,
            coerced={},
        )
        return await result if optimized_is_awaitable(result) else result

    result = asyncio.run(operation())
    return result.data, [error.formatted for error in result.errors or ()]


@pytest.mark.thorough
@given(data=st.data(), outcome=executions | broken())
@settings(max_examples=examples(80), suppress_health_check=list(HealthCheck))
def test_answers_are_the_reference_executors(data: st.DataObject, outcome: Any) -> None:
    """The same data and errors in the same order, for valid and invalid values."""
    execution = SCHEMA.get_type("Execution")
    assert execution is not None
    selected = data.draw(selections(execution))
    field = data.draw(st.sampled_from(FIELDS)).replace("...", f"... on Execution {selected}")
    document = parse(f"{{ {field} }}")
    is_valid = not validate(SCHEMA, document)
    event("valid" if is_valid else "invalid")
    if not is_valid or "@" in field:
        return
    compiled = Compiled()
    expected = run(document, outcome, None)
    assert run(document, outcome, compiled) == expected
    assert run(document, outcome, compiled) == expected, "again"
    event("compiled" if any(compiled._selections.values()) else "not compiled")
    event("with errors" if expected[1] else "without errors")


@given(
    data=st.data(),
    outcomes=st.lists(executions | failures, min_size=2, max_size=4),
    odd=broken() | odd_values,
)
@settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
def test_lists_are_the_reference_executors(data: st.DataObject, outcomes: list[Any], odd: Any) -> None:
    """The same for a list of executions and errors, also if one of them is invalid."""
    execution = SCHEMA.get_type("Execution")
    assert execution is not None
    inner = data.draw(selections(execution))
    document = parse(
        f"{{ {MANY.replace('...', f'...on Execution {inner} ...on Error {{ code message }}')} }}"
    )
    if validate(SCHEMA, document) or "@" in inner:
        return
    if data.draw(st.booleans()):
        outcomes.insert(data.draw(st.integers(0, len(outcomes))), odd)
    expected, compiled = run(document, outcomes, None), Compiled()
    for _ in range(2):
        assert run(document, outcomes, compiled) == expected
    event("with errors" if expected[1] else "without errors")


def test_a_list_is_compiled_at_once() -> None:
    """A list's objects are built by one function per class, even the first time."""
    document = parse(f"{{ {MANY.replace('...', '...on Execution { id status } ...on Error { code }')} }}")
    outcomes = [bare(), ExecutionNotFound.of(KEY), bare(), Throttled("Later.")]
    expected, compiled = run(document, outcomes, None), Compiled()
    assert run(document, outcomes, compiled, WritesListsAtOnce) == expected
    assert len(compiled._selections) == 3


LOOKUP = f"""{{ execution{ARGUMENTS} {{
  id accountId account {{ alias }} status observedAt posixProfile {{ uid }}
  initialFileLocation {{ s3FileLocation {{ key }} }} ...on Node {{ nodeId: id }} ...more
  results {{ steps {{ stepType outputs error {{ type message }} }} }}
}} }}
fragment more on Execution {{ results {{ onExceptionSteps {{ rawStepType }} steps {{ rawStepType }} }} }}"""


def test_a_lookup_is_one_function() -> None:
    """An execution's plain fields, including those of fragments, are compiled together, once."""
    whole = Execution(
        KEY, FileLocation(S3FileLocation("b", "k", None, None), None), None, "role", None,
        PosixProfile(2**32 - 1, 0, None), ExecutionStatus.IN_PROGRESS, "IN_PROGRESS",
        ExecutionResults((Step(StepRef(WORKFLOW, on_exception=False, position=0),
                               StepType.COPY, "COPY", "{}", None),), ()),
        datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    compiled, document = Compiled(), parse(LOOKUP)
    for _ in range(3):
        data, errors = run(document, whole, compiled)
        assert not errors
        assert data["execution"]["results"] == {
            "steps": [{"stepType": "COPY", "outputs": "{}", "error": None, "rawStepType": "COPY"}],
            "onExceptionSteps": [],
        }
        assert data["execution"]["posixProfile"] == {"uid": 2**32 - 1}
        assert data["execution"]["account"] == {"alias": "claims"}
        assert data["execution"]["nodeId"] == str(KEY)
    assert [selection is not None for selection in compiled._selections.values()] == [True]


@pytest.mark.parametrize(
    ("selected", "is_whole"),
    [
        pytest.param("{ results { steps { definition { name } stepType } } }", False, id="async-field"),
        pytest.param("{ id status }", True, id="plain"),
        pytest.param(f"{{ {' '.join(f'a{n}: id' for n in range(2001))} }}", False, id="too-large"),
    ],
)
def test_what_is_not_sure_is_left_alone(selected: str, *, is_whole: bool) -> None:
    """A selection whose result might differ is not compiled at that level."""
    compiled, document = Compiled(), parse(f"{{ execution{ARGUMENTS} {selected} }}")
    for _ in range(2):
        run(document, bare(), compiled)
    first = next(iter(compiled._selections.values()))
    assert (first is not None) == is_whole


def bare() -> Execution:
    return Execution(
        KEY, None, None, None, None, None, None, None, ExecutionResults((), None), datetime.now(UTC)
    )


def test_introspection_is_left_alone() -> None:
    """graphql-core alone executes introspection, however often it is requested."""
    compiled, document = Compiled(), parse(get_introspection_query())
    expected = run(document, None, None)
    assert not expected[1]
    for _ in range(2):
        assert run(document, None, compiled) == expected
