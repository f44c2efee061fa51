"""Hostile documents and variables: rejected with the limit's name, before anything expensive."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from graphql import FragmentSpreadNode, GraphQLError, get_introspection_query, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from transfer_gateway import server
from transfer_gateway.api.graphql import cost
from transfer_gateway.api.graphql.documents import Documents, Refused, operation_of
from transfer_gateway.api.graphql.limits import Limits, check_document
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.core.access import Sources
from transfer_gateway.core.use_cases import Reader
from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.domain.scope import Scope
from wire import GUARDED, PLAIN, REGION, Gateway, calling

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

SCHEMA = build_schema()._schema
UNLIMITED = Limits(*[10**9] * 10)
FILTERED = "query($f: ExecutionFilter) { inProgressExecutions(filter: $f) { edges { cursor } } }"
KEYS = "query($keys: [ExecutionKey!]!) { executions(keys: $keys) { __typename } }"


class HistoryOff(Reader):
    """A reader that only estimates."""

    def __init__(self) -> None:
        self.scope = Scope(ACCOUNTS)
        unused: Any = None
        self._sources = Sources(*[unused] * 5, *[None] * (len(Sources._fields) - 5))


def nested(depth: int) -> str:
    return "{ a" * depth + "}" * depth


def doubled(levels: int) -> str:
    """Fragments that each spread the next one twice: expanded, 2 ** levels fields."""
    fragments = [f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(levels)]
    return " ".join(["{ ...f0 }", *fragments, f"fragment f{levels} on Query {{ accounts {{ id }} }}"])


def aliases(count: int) -> str:
    """That many fields, below one field."""
    return "{ accounts { " + " ".join(f"a{n}: id" for n in range(count)) + " } }"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        pytest.param("{ __typename }" + " " * 1_000_000, "max_characters", id="a-megabyte-of-whitespace"),
        pytest.param(
            "{" + " ".join(f"a{n}: __typename" for n in range(10_000)) + "}",
            "max_characters",
            id="10000-aliases",
        ),
        pytest.param("{ " + "id " * 2000 + "}", "2000 tokens", id="tokens"),
        pytest.param("#\n" * 2001 + "{ __typename }", "2000 comments", id="comments"),
        pytest.param(aliases(51), "max_aliases", id="aliases"),
        pytest.param("{ " + "accounts { id } " * 21 + "}", "max_root_fields", id="root-fields"),
        pytest.param(
            "{ ...a ...a } fragment a on Query { " + "__typename " * 11 + "}", "max_root_fields", id="by-fragments"
        ),
        pytest.param(doubled(100), "max_root_fields", id="doubled-fragments"),
        pytest.param(
            "{ accounts { ...f0 } } "
            + " ".join(f"fragment f{n} on Account {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
            + " fragment f60 on Account { id }",
            "max_selections",
            id="doubled-fragments-below",
        ),
        pytest.param(
            " ".join(f"query q{n} {{ __typename }}" for n in range(51)), "50 operations", id="operations"
        ),
        pytest.param(
            doubled(60).replace("{ ...f0 }", "{ __typename }"), "max_selections", id="doubled-and-not-spread"
        ),
        pytest.param(nested(16), "max_depth", id="depth"),
        pytest.param(
            "{ ...f0 } "
            + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(101))
            + " fragment f101 on Query { __typename }",
            "more than 100 levels",
            id="a-chain-of-fragments",
        ),
        pytest.param(nested(5000), "nested too deeply", id="nesting-that-no-parser-follows"),
        pytest.param("{ accounts { id " + "@skip(if: false) " * 51 + "} }", "max_directives", id="directives"),
        pytest.param(
            "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", "a < b < a", id="circle"
        ),
        pytest.param("{ ...a } fragment a on Query { ...a }", "a < a", id="fragment-of-itself"),
        pytest.param(
            "{ ...a } fragment a on Query { accounts { id } } fragment a on Query { accounts { alias } }",
            "only one fragment",
            id="fragments-of-one-name",
        ),
        pytest.param(
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
            "introspection depth",
            id="circular-introspection",
        ),
    ],
)  # fmt: skip
async def test_hostile_documents(shared_gateway: Gateway, query: str, says: str) -> None:
    """Each is rejected with 400 and the limit's name."""
    answer = await shared_gateway.post({"query": query}, accept="application/graphql-response+json")
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert says in error["message"]
    assert error["extensions"]["code"] in {
        "BAD_USER_INPUT",
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
    }


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        pytest.param([{}] * 2001, "max_list_items", id="long-list"),
        pytest.param([[{}] * 500] * 500, "max_variable_values", id="lists-of-lists"),
        pytest.param({"a": [{"b": [0] * 2001}]}, "max_list_items", id="deep-inside"),
    ],
)
async def test_hostile_variables(shared_gateway: Gateway, keys: Any, says: str) -> None:
    """Lists are counted before their items are read."""
    answer = await shared_gateway.ask(KEYS, keys=keys)
    (error,) = answer["errors"]
    assert says in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_what_is_just_allowed(shared_gateway: Gateway) -> None:
    """A value at the limit is allowed; GraphiQL's introspection query is within all limits."""
    for query in (
        aliases(50),
        "{ " + "accounts { id } " * 20 + "}",
        "{ " + "... @skip(if: false) { accounts { id } } " * 20 + "}",
        get_introspection_query(input_value_deprecation=True),
    ):
        assert "errors" not in await shared_gateway.ask(query), query


async def test_aws_calls(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """An operation that may need more AWS calls than the limit is rejected before its first call."""
    async with (
        server.running(settings(graphql_max_aws_calls=61)) as service,
        calling(service.url) as gateway,
    ):
        once = "inProgressExecutions { edges { cursor } }"  # six targets, twice; and a page of 50
        (error,) = (await gateway.ask(f"{{ {once} other: {once} }}"))["errors"]
        assert "may need 124 AWS calls, more than 61 (limit: max_aws_calls)" in error["message"]
        assert not aws.calls.count()


def account(number: str, *regions: str) -> Account:
    return Account(AccountId(number), None, tuple(map(Region, regions)), None, None, 3600)


ACCOUNTS = Accounts([account(PLAIN, REGION, "us-east-1"), account(GUARDED, REGION)])


@pytest.mark.parametrize(
    ("query", "variables", "calls"),
    [
        pytest.param("{ accounts { id } __typename }", {}, 0, id="none"),
        pytest.param('{ node(id: "1") { id } other: node(id: "2") { id } }', {}, 2, id="lookups"),
        pytest.param(KEYS, {"keys": [{}] * 7}, 7, id="keys"),
        pytest.param(KEYS, {"keys": {}}, 1, id="one-key-for-a-list"),
        pytest.param('{ findExecution(executionId: "1") { targetsAsked } }', {}, 6, id="find-everywhere"),
        pytest.param(
            'query($w: WorkflowId = "w") { findExecution(executionId: "1", workflowId: $w) { targetsAsked } }',
            {},
            3,
            id="find-in-a-workflow",
        ),
        pytest.param(
            'query($r: [Region!]) { findExecution(executionId: "1", regions: $r) { targetsAsked } }',
            {"r": "us-east-1"},
            2,
            id="find-in-a-region",
        ),
        pytest.param(
            f'{{ ...a }} fragment a on Query {{ workflows(first: 5, filter: {{accountIds: ["{PLAIN}"]}}) '
            "{ edges { cursor } } }",
            {},
            9,
            id="a-page-of-one-account",
        ),
        pytest.param(
            "{ inProgressExecutions(first: 10) { edges { node { ...a server { id } } } } } "
            "fragment a on Execution { workflow { id } server { serverId } events(first: 500) { edges { cursor } } }",
            {},
            36,
            id="servers-and-workflows-of-executions",
        ),
        pytest.param(
            "{ searchExecutions(filter: {}, first: 9) { coverage { server { id } } countsByStatus { total } } "
            "coverage(first: 1000) { edges { node { server { id } } } } viewer { accounts { id } } }",
            {},
            0,
            id="what-is-known",
        ),
        pytest.param(
            "{ searchExecutions(filter: {}, last: 9) { edges { node { server { id } workflow { id } } } } }",
            {},
            18,
            id="servers-and-workflows-of-a-search",
        ),
        pytest.param(
            FILTERED,
            {"f": {"accountIds": ["nonsense"], "regions": 5}},
            50,
            id="what-does-not-fit",
        ),
    ],
)
def test_cost(query: str, variables: dict[str, Any], calls: int) -> None:
    """An operation's cost depends on its root fields and their arguments, whether literals, variables or defaults."""
    document = parse(query)
    assert cost.cost_of(document, operation_of(document, None), variables, HistoryOff()).aws_calls == calls


@pytest.mark.parametrize(
    ("events", "rows"),
    [
        pytest.param("", 10, id="none"),
        pytest.param("events { edges { cursor } }", 1010, id="the-default"),
        pytest.param("events(first: $n) { edges { cursor } }", 5010, id="a-variable"),
        pytest.param(
            "a: events { edges { cursor } } b: events(first: 7) { edges { cursor } }", 1080, id="two"
        ),
    ],
)
def test_events_are_rows(events: str, rows: int) -> None:
    """Each event that may be returned counts, for each execution."""
    document = parse(
        f"query($n: Int! = 500) {{ inProgressExecutions(first: 10) {{ edges {{ node {{ id {events} }} }} }} }}"
    )
    assert cost.cost_of(document, operation_of(document, None), {}, HistoryOff()).rows == rows


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        pytest.param("{ searchExecutions(filter: {}) { edges { cursor } } }", 50, id="the-default"),
        pytest.param("{ searchExecutions(filter: {}, last: 7) { edges { cursor } } }", 7, id="backwards"),
        pytest.param("{ viewer { name } }", 1 + len(ACCOUNTS), id="viewer"),
        pytest.param(
            "{ searchExecutions(filter: {}, first: 7) { edges { node { events(first: 2) { edges { cursor } } } } } }",
            21,
            id="events",
        ),
    ],
)
def test_rows_of_what_is_known(query: str, rows: int) -> None:
    """What the history answers has rows, too."""
    document = parse(query)
    assert cost.cost_of(document, operation_of(document, None), {}, HistoryOff()).rows == rows


async def test_too_many_rows_are_refused(gateway: Gateway) -> None:
    """All events of 1,000 executions at once are refused before anything is looked up."""
    answer = await gateway.ask(
        "{ inProgressExecutions(first: 1000) { edges { node { events(first: 1000) { edges { cursor } } } } } }"
    )
    (error,) = answer["errors"]
    assert error["message"].startswith("The operation may have 1001000 rows, more than 100000")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_every_field_has_its_cost() -> None:
    """Every field of Query and Subscription has a cost."""
    assert SCHEMA.query_type is not None
    assert SCHEMA.subscription_type is not None
    assert {*SCHEMA.query_type.fields, *SCHEMA.subscription_type.fields} == set(cost._COSTS)


@pytest.mark.parametrize("suggestions", [True, False])
async def test_suggestions(aws: Emulator, settings: Callable[..., Settings], suggestions: bool) -> None:  # noqa: FBT001  a case
    """Similar names are suggested unless disabled: fields, arguments, types, enum values and input fields."""
    async with (
        server.running(settings(graphql_suggestions=suggestions)) as service,
        calling(service.url) as gateway,
    ):
        for query, variables in (
            ("{ acounts { id } }", {}),
            ("{ node(idd: 1) { id } }", {}),
            ("{ node(id: 1) { ... on Acount { id } } }", {}),
            ("{ inProgressExecutions(filter: {statuses: [COMPLETD]}) { edges { cursor } } }", {}),
            ("{ inProgressExecutions(filter: {statusses: []}) { edges { cursor } } }", {}),
            (FILTERED, {"f": {"statusses": []}}),
            (FILTERED, {"f": {"statuses": ["COMPLETD"]}}),
        ):  # fmt: skip
            errors = (await gateway.ask(query, **variables))["errors"]
            assert any("Did you mean" in error["message"] for error in errors) is suggestions, query


async def test_introspection(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Introspection can be disabled; `__typename`, which clients need, still works."""
    async with (
        server.running(settings(graphql_introspection=False)) as service,
        calling(service.url) as gateway,
    ):
        for query in (get_introspection_query(), '{ __type(name: "Query") { name } }'):
            assert "introspection" in (await gateway.ask(query))["errors"][0]["message"]
        assert await gateway.ask("{ __typename }") == {"data": {"__typename": "Query"}}


def work(text: str) -> int:
    """The number of function calls that checking a document takes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    documents = Documents(SCHEMA, UNLIMITED, introspection=True, suggestions=True)
    sys.setprofile(count)
    try:
        with suppress(Refused):
            documents.get(text)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("document", "size"),
    [
        pytest.param(lambda n: "{ " + "accounts { id } " * n + "}", 100, id="merged-fields"),
        pytest.param(lambda n: "{ accounts { " + "id " * n + "} }", 200, id="one-field"),
        pytest.param(aliases, 200, id="aliases"),
        pytest.param(lambda n: "{ " + "node(id: 1) { ... on Account { id } } " * n + "}", 60, id="inline-fragments"),
        pytest.param(
            lambda n: "{ " + " ".join(f"...f{i}" for i in range(n)) + " } "
            + " ".join(f"fragment f{i} on Query {{ accounts {{ id }} }}" for i in range(n)),
            60,
            id="fragments",
        ),
        pytest.param(
            lambda n: "{ ...f0 } "
            + " ".join(f"fragment f{i} on Query {{ accounts {{ id }} ...f{i + 1} }}" for i in range(n))
            + f" fragment f{n} on Query {{ __typename }}",
            45,
            id="a-chain-of-fragments",
        ),
        pytest.param(lambda n: " ".join(f"query q{i} {{ accounts {{ id }} }}" for i in range(n)), 25, id="operations"),
        pytest.param(
            lambda n: f"query({' '.join(f'$v{i}: ID!' for i in range(n))}) "
            f"{{ {' '.join(f'a{i}: node(id: $v{i}) {{ id }}' for i in range(n))} }}",
            60,
            id="variables",
        ),
        pytest.param(lambda n: "{ accounts { id " + "@skip(if: false) " * n + "} }", 100, id="directives"),
        pytest.param(
            lambda n: f"{{ workflows(filter: {{accountIds: [{'1 ' * n}]}}) {{ edges {{ cursor }} }} }}", 200, id="items"
        ),
    ],
)  # fmt: skip
@pytest.mark.variants(keep=3)
def test_checks_are_linear(document: Callable[[int], str], size: int) -> None:
    """Twice the input costs twice the work, in function calls, whatever the limits are."""
    assert work(document(2 * size)) < 2.3 * work(document(size))


NAMES = (
    "accounts",
    "node",
    "id",
    "alias",
    "regions",
    "executions",
    "results",
    "steps",
    "__typename",
    "nonsense",
)
selections = st.recursive(
    st.sampled_from(NAMES) | st.sampled_from(["...a", "...b", "...c", "other: id", "id @skip(if: true)"]),
    lambda inner: st.tuples(
        st.sampled_from([*NAMES, "... on Account", "... on Query", "...", 'node(id: "1")', "x: accounts"]),
        st.lists(inner, min_size=1, max_size=4),
    ).map(lambda it: f"{it[0]} {{ {' '.join(it[1])} }}"),
    max_leaves=20,
)
documents = st.lists(st.lists(selections, min_size=1, max_size=4).map(" ".join), min_size=4, max_size=4).map(
    lambda it: (
        f"{{ {it[0]} }} fragment a on Query {{ {it[1]} }} "
        f"fragment b on Account {{ {it[2]} }} fragment c on Node {{ {it[3]} }}"
    )
)


@settings(max_examples=examples(100))
@given(query=documents | st.text())
async def test_any_document(shared_gateway: Gateway, query: str) -> None:
    """Any document is executed or rejected with a code, with work at most proportional to its length."""
    answer = await shared_gateway.post({"query": query}, accept="application/graphql-response+json")
    assert answer.status in {200, 400}
    for error in answer.json().get("errors", ()):
        assert error["extensions"]["code"] != "INTERNAL_SERVER_ERROR"
    assert work(query) < 20_000 + 400 * len(query)


@given(query=documents)
def test_sizes_are_those_written_out(query: str) -> None:
    """Measuring each fragment once gives the same as measuring the expanded document."""
    document = parse(query)
    try:
        check_document(document, UNLIMITED)
    except GraphQLError:  # a circle
        return
    operation, *fragments = document.definitions
    bodies = {fragment.name.value: fragment.selection_set for fragment in fragments}  # type: ignore[attr-defined]  # they are
    counted = written_out(operation.selection_set, bodies) + sum(  # type: ignore[attr-defined]  # as above
        written_out(body, bodies) for name, body in bodies.items() if f"...{name}" not in query
    )
    check_document(document, replace(UNLIMITED, max_selections=counted))
    with pytest.raises(BadUserInput):
        check_document(document, replace(UNLIMITED, max_selections=counted - 1))


def written_out(selection_set: Any, fragments: dict[str, Any]) -> int:
    """A selection set's selections, counted naively."""
    if selection_set is None:
        return 0
    return sum(
        1
        + written_out(
            fragments.get(selection.name.value)
            if isinstance(selection, FragmentSpreadNode)
            else selection.selection_set,
            fragments,
        )
        for selection in selection_set.selections
    )


async def test_too_many_large_requests_are_throttled_as_others(
    aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """Status 429 with Retry-After, whatever made the operation large."""
    query = "query Q%d { inProgressExecutions(first: 300) { edges { cursor } } }"
    async with (
        server.running(settings()) as service,
        calling(service.url) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        asked = [tasks.create_task(gateway.post({"query": query % number})) for number in range(100)]
    answers = [task.result() for task in asked]
    refused = [answer for answer in answers if answer.status != 200]
    assert refused
    for answer in refused:
        assert answer.status == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["errors"][0]["extensions"]["code"] == "THROTTLED"
