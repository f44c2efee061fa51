"""Third-party clients against the GraphQL server. Run by `.ci/run clients`, which installs them."""

from __future__ import annotations

import json
import re
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from command import Started, started
from node import BIN, NODE, TYPESCRIPT, output

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("typescript")]

AUDITS = {"MUST": 13, "SHOULD": 23, "MAY": 25}
INVALID = {"status": 400, "codes": ["GRAPHQL_VALIDATION_FAILED"] * 2}
OPERATION = re.compile("^  (?:query|subscription) ", re.MULTILINE)
MISSING = {"data": {"execution": None}, "status": 200, "codes": ["EXECUTION_NOT_FOUND"]}


async def printed(*command: str | Path) -> Any:
    """A script's output, as JSON."""
    code, out = await output("node", *command)
    assert code == 0, out
    return json.loads(out)


async def test_audits(demo: Started) -> None:
    """Every audit of GraphQL over HTTP passes, and their number is unchanged: new ones need a review."""
    audits = await printed(NODE / "audit.mjs", f"{demo.url}/graphql")
    failed = [
        f"{audit['status']}: {audit['id']} {audit['name']}: {audit['reason']}"
        for audit in audits
        if audit["status"] != "ok"
    ]
    assert not failed, "\n".join(failed)
    assert Counter(audit["name"].split()[0] for audit in audits) == AUDITS


async def test_audits_fail(demo: Started) -> None:
    """The test above can fail: GraphQL is served at no other path."""
    audits = await printed(NODE / "audit.mjs", f"{demo.url}/livez")
    outcomes = Counter(audit["status"] for audit in audits)
    assert outcomes.total() == 61
    assert outcomes["error"] > 0


async def test_types_bite() -> None:
    """The compiler reports exactly the errors that misuse.ts marks, without the marks."""
    misuse = (TYPESCRIPT / "misuse.ts").read_text()
    marks = misuse.count("@ts-expect-error")
    unmarked = TYPESCRIPT / "unmarked.ts"
    unmarked.write_text(misuse.replace("@ts-expect-error", ""))
    try:
        code, out = await output(BIN / "tsc", "--noEmit", cwd=TYPESCRIPT)
    finally:
        unmarked.unlink()
    assert code != 0
    assert (out.count("unmarked.ts("), out.count("error TS")) == (marks, marks), out


def test_persisted_documents() -> None:
    """The manifest has each query by its hash, complete and valid."""
    schema = build_schema((NODE.parents[1] / "schema.graphql").read_text())
    manifest = json.loads((TYPESCRIPT / "gql/persisted-documents.json").read_text())
    assert len(manifest) == len(OPERATION.findall((TYPESCRIPT / "queries.ts").read_text()))
    for name, document in manifest.items():
        assert name == f"sha256:{sha256(document.encode()).hexdigest()}"
        assert validate(schema, parse(document)) == []


async def test_urql(demo: Started, key: dict[str, str]) -> None:
    """urql reads data, unions, fragments and pages; an error's code; and why a request failed."""
    read = await printed(TYPESCRIPT / "built/urql.js", f"{demo.url}/graphql", json.dumps(key))
    user = read["found"].removeprefix("IN_PROGRESS ")
    assert user != read["found"]
    assert user != "undefined"
    assert read["missing"].startswith("not found: AWS has no execution")
    assert read["many"] == ["ExecutionNotFound", "Execution"]
    assert read["plain"] == MISSING
    assert read["invalid"] == INVALID
    assert len(read["users"]) == 3
    assert all(read["users"])
    assert read["nextPage"] == 1
    assert read["find"] == "/".join(key.values())
    assert all(name for steps in read["steps"] for name in steps)
    assert len(read["accounts"]) == 3


async def test_apollo(demo: Started, key: dict[str, str]) -> None:
    """So does Apollo Client, whose cache stores each object once, by type and global id."""
    read = await printed(TYPESCRIPT / "built/apollo.js", f"{demo.url}/graphql", json.dumps(key))
    assert read["found"].startswith("IN_PROGRESS ")
    assert read["missing"].startswith("ExecutionNotFound: AWS has no execution")
    assert (read["again"], read["asked"], read["askedAgain"]) == (read["found"], 2, 0)
    assert read["many"] == ["ExecutionNotFound", "Execution"]
    assert read["plain"] == MISSING
    assert read["invalid"] == INVALID
    assert (read["workflows"], read["accounts"]) == (2, 3)
    global_id = "/".join(key.values())
    assert global_id in read["page"]
    assert read["find"] == global_id
    assert read["cached"]["accountId"] == key["accountId"]
    assert read["cached"]["account"]["alias"]
    assert read["node"]["id"] == global_id
    kinds = Counter(entry.partition(":")[0] for entry in read["entries"])
    assert kinds == {"ROOT_QUERY": 1, "Account": 3, "Workflow": 2, "Execution": kinds["Execution"]}
    assert read["entries"].count(f"Execution:{global_id}") == 1


def trusting(mode: str) -> dict[str, str]:
    """Settings with the manifest's documents."""
    return {
        "TRANSFER_GATEWAY_GRAPHQL_TRUSTED_DOCUMENTS": mode,
        "TRANSFER_GATEWAY_GRAPHQL_TRUSTED_DOCUMENTS_PATH": str(TYPESCRIPT / "gql/persisted-documents.json"),
    }


async def test_persisted_queries_are_not_supported(demo: Started) -> None:
    """Apollo Client and urql, given that error, send the text, and no hash from then on."""
    read = await printed(TYPESCRIPT / "built/persisted.js", f"{demo.url}/graphql")
    assert [client["read"] for client in read.values()] == [[3, 2]] * 4
    assert {name: client["sent"] for name, client in read.items()} == {
        "apollo": ["POST hash 200", "POST text 200", "POST text 200"],
        "apolloByGet": ["GET hash 200", "POST text 200", "POST text 200"],
        "urql": ["POST hash 200", "POST text 200", "POST text 200"],
        "urqlByGet": ["GET hash 200", "GET text 200", "POST text 200"],
    }


async def test_persisted_queries_are_not_found() -> None:
    """With trusted documents `allow`, they send the text for each unknown hash."""
    async with started("demo", "--http-port", "0", until="Ctrl-C", **trusting("allow")) as demo:
        read = await printed(TYPESCRIPT / "built/persisted.js", f"{demo.url}/graphql")
    assert [client["read"] for client in read.values()] == [[3, 2]] * 4
    assert {name: client["sent"] for name, client in read.items()} == {
        "apollo": ["POST hash 200", "POST text hash 200"] * 2,
        "apolloByGet": ["GET hash 200", "POST text hash 200"] * 2,
        "urql": ["POST hash 200", "POST text hash 200"] * 2,
        "urqlByGet": ["GET hash 200", "GET text hash 200"] * 2,
    }


async def through_trusted_documents() -> Any:
    """Apollo Client's result if only the manifest's documents are allowed."""
    async with started("demo", "--http-port", "0", until="Ctrl-C", **trusting("only")) as demo:
        return await printed(TYPESCRIPT / "built/trusted.js", f"{demo.url}/graphql")


async def test_trusted_documents() -> None:
    """The code generator's manifest works unchanged: Apollo Client sends only the hash, and gets its response."""
    read = await through_trusted_documents()
    assert (read["accounts"], read["edges"]) == (3, 2)
    assert read["sent"] == ["extensions operationName variables"] * 2


async def test_untrusted_document() -> None:
    """A query's text is rejected with a code that Apollo Client reads, not as a network error."""
    assert (await through_trusted_documents())["refused"] == ["FORBIDDEN"]
