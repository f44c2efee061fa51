"""docs/graphql.md: its queries, code and errors match the schema."""

from __future__ import annotations

import re

from graphql import parse, validate

from pages import DOCS, ROOT, fenced, section
from transfer_gateway.api.errors import TABLE
from transfer_gateway.api.graphql.schema import build_schema
from wire import Gateway

PAGE = DOCS / "graphql.md"


def test_queries_fit_the_schema() -> None:
    """Every query on the page is valid."""
    queries = fenced(PAGE.read_text(encoding="utf-8"), "graphql")
    assert queries
    for query in queries:
        assert validate(build_schema()._schema, parse(query)) == [], query


def test_fields_are_all_of_query() -> None:
    """The table has every field of Query, with existing arguments only."""
    rows = re.findall(r"^\| (`.*?) \|", section(PAGE, "Look up an execution"), re.MULTILINE)
    shown = dict(re.findall(r"`(\w+)(?:\((\w+):\))?`", " ".join(rows)))
    query = build_schema()._schema.query_type
    assert query is not None
    assert shown.keys() == query.fields.keys()
    for name, argument in shown.items():
        assert not argument or argument in query.fields[name].args


def test_typescript_is_what_runs() -> None:
    """The TypeScript on the page is part of what `.ci/run clients` compiles and runs."""
    run = "".join(path.read_text() for path in (ROOT / ".ci/node/typescript").glob("*.ts"))
    shown = [
        code
        for title in ("From TypeScript", "Subscriptions in React")
        for code in fenced(section(PAGE, title), "ts")
    ]
    assert len(shown) == 5
    for code in shown:
        assert code in run.replace("../../../schema.graphql", "schema.graphql"), code


def test_errors_table() -> None:
    """Every code, with its type and whether to retry."""
    rows = [
        line.split(" | ") for line in section(PAGE, "Errors").splitlines() if re.match(r"\| [A-Z_]+ \|", line)
    ]
    shown = {row[0].strip("| "): (row[2], row[3], row[4].strip("| ")) for row in rows}
    assert shown == {
        code.value: (
            row.graphql_type or "in `errors[]` only",
            row.grpc_status,
            "yes" if row.retryable else "no",
        )
        for code, row in TABLE.items()
    }


async def test_multipart_responses_are_not_spoken(gateway: Gateway) -> None:
    """A client that accepts them gets one JSON document, as the page says."""
    answer = await gateway.post({"query": "{ accounts { id } }"}, accept="multipart/mixed")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"data"}
