"""How long hostile documents block the event loop, with default limits: each is rejected, or returns little.

`uv run python bench/hostile_queries.py`. Nothing is cached between rounds. Prints each one's median over some rounds,
and its outcome. The event loop is blocked for that time, so every other caller waits as long.
"""

from __future__ import annotations

import statistics
import time

from transfer_gateway.api.graphql.documents import Documents, Refused
from transfer_gateway.api.graphql.limits import Limits
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.settings import Settings

ROUNDS, AIM_MS = 9, 50


def words(count: int, word: str) -> str:
    return " ".join(word.replace("#", str(number)) for number in range(count))


HOSTILE = {
    "10,000 aliases": "{" + words(10_000, "a#: __typename") + "}",
    "1 MB of whitespace": "{ __typename }" + " " * 1_000_000,
    "60,000 characters of whitespace": "{ __typename }" + " " * 60_000,
    "900 levels": "{ a" * 900 + "}" * 900,
    "130 levels": "{ a" * 130 + "}" * 130,
    "doubled fragments": "{ ...f0 } "
    + words(100, "fragment f# on Query { ...g# ...g# } fragment g# on Query { ...h# ...h# }"),
    "a chain of 230 fragments": "{ ...f0 } "
    + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(230))
    + " fragment f230 on Query { __typename }",
    "a circle of fragments": "{ ...f0 } "
    + " ".join(f"fragment f{n} on Query {{ ...f{(n + 1) % 200} }}" for n in range(200)),
    "390 times accounts { id }": "{" + "accounts { id } " * 390 + "}",
    "900 times one field": "{ accounts { " + "id " * 900 + "} }",
    "190 merged objects": "{ accounts { id } inProgressExecutions { edges { "
    + "node { id } " * 190
    + "} } }",
    "100 fragments of one field": "{ inProgressExecutions { edges { "
    + words(100, "...f#")
    + " } } }"
    + words(100, "fragment f# on ExecutionEdge { node { id status } }"),
    "380 operations": words(380, "query q# { __typename }"),
    "120 operations, 100 fragments": words(120, "query q# { ...f0 }")
    + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(100))
    + " fragment f100 on Query { __typename }",
    "250 unknown fields": "{ accounts { " + words(250, "regionz#") + " } }",
    "one name of 60,000 characters": "{" + "x" * 60_000 + "}",
    "250 variables": "query(" + words(250, "$v#: ID!") + ") { accounts { " + words(250, "id @skip(if: $v#)") + " } }",
    "an object of 450 fields": "{ inProgressExecutions(filter: {" + words(450, "a#: 1") + "}) { edges { cursor } } }",
    "a list of 1,900 items": "{ workflows(filter: {accountIds: [" + "1 " * 1900 + "]}) { edges { cursor } } }",
    "a string of 60,000 characters": '{ node(id: "' + "x" * 60_000 + '") { id } }',
    "a block string of 30,000 lines": '{ node(id: """' + "\n x" * 20_000 + '""") { id } }',
    "45 directives": "{ accounts { id " + "@include(if: true) " * 45 + "} }",
}  # fmt: skip


def main() -> None:
    schema = build_schema()._schema  # noqa: SLF001  as the door does
    limits = Limits(**{name: Settings.model_fields[f"graphql_{name}"].default for name in Limits.__slots__})
    worst = 0.0
    for name, text in HOSTILE.items():
        took_ms, verdict = [], "may run"
        for _ in range(ROUNDS):
            documents = Documents(schema, limits, introspection=True, suggestions=True)
            started = time.perf_counter()
            try:
                documents.get(text)
            except Refused as refused:
                verdict = refused.errors[0].message
            took_ms.append((time.perf_counter() - started) * 1000)
        worst = max(worst, statistics.median(took_ms))
        print(f"{statistics.median(took_ms):6.1f} ms  {name}: {verdict[:90]}")
    print(f"worst {worst:.1f} ms (aim: under {AIM_MS})")


if __name__ == "__main__":
    main()
