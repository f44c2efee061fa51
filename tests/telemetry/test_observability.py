"""k8s/observability: alerts and dashboard use existing metrics, and every alert is documented and tested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "k8s" / "observability"
ALERTS = [
    rule
    for group in YAML(typ="safe").load(OBSERVABILITY / "alerts.yaml")["groups"]
    for rule in group["rules"]
]
TESTS = YAML(typ="safe").load(OBSERVABILITY / "alerts_test.yaml")["tests"]
DASHBOARD = json.loads((OBSERVABILITY / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# Of every scrape; and `instance` and `job`, which Prometheus adds.
PROCESS = {"open_fds", "max_fds", "cpu_seconds_total", "resident_memory_bytes"}
ADDED = {"instance", "job"}


def metrics() -> dict[str, set[str]]:
    """Every series name with its labels, from docs/telemetry.md, whose table test_metrics.py checks."""
    rows = re.findall(
        r"^\| `(transfer_gateway_\w+)` \| (\w+) \| (.*?) \|",
        (ROOT / "docs/telemetry.md").read_text(),
        re.MULTILINE,
    )
    found: dict[str, set[str]] = {f"process_{name}": set() for name in PROCESS}
    for name, kind, told in rows:
        labels = set(re.findall(r"`(\w+)`", told))
        if kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            found[name] = labels
    return found


def queries() -> list[Any]:
    asked = [pytest.param(rule["expr"], id=rule["alert"]) for rule in ALERTS]
    for panel in PANELS:
        asked += [
            pytest.param(
                target["expr"].replace("$__rate_interval", "5m"), id=f"{panel['title']}-{target['refId']}"
            )
            for target in panel["targets"]
        ]
    asked += [
        pytest.param(
            re.sub(r"label_values\((.*), (\w+)\)", r"sum by (\2) (\1)", variable["definition"]),
            id=variable["name"],
        )
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    ]
    return asked


class Asked(list[promql_parser.VectorSelector]):
    """The selectors of a query, and the labels that it groups or joins by."""

    def __init__(self, query: str) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self._read(promql_parser.parse(query))

    def _read(self, expression: Any) -> None:
        match expression:
            case promql_parser.VectorSelector():
                self.append(expression)
            case promql_parser.MatrixSelector():
                self.append(expression.vector_selector)
            case promql_parser.AggregateExpr():
                self.labels |= set(expression.modifier.labels) if expression.modifier else set()
                self._read(expression.expr)
            case promql_parser.BinaryExpr():
                self._read(expression.lhs)
                self._read(expression.rhs)
            case promql_parser.Call():
                for argument in expression.args:
                    self._read(argument)
            case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
                self._read(expression.expr)
            case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
                pass
            case _:
                raise AssertionError(expression)


@pytest.mark.parametrize("query", queries())
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Each query is valid PromQL, with existing metrics and labels."""
    known, asked = metrics(), Asked(query)
    assert asked
    some = set[str]()
    for selector in asked:
        assert selector.name in known, selector.name
        labels = known[selector.name] | ADDED
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
        some |= labels
    assert asked.labels <= some


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("transfer_gateway_breaker_opened > 0", id="metric"),
        pytest.param('transfer_gateway_failures_total{account="1"}', id="label"),
        pytest.param("sum by (operation) (transfer_gateway_failures_total)", id="grouping"),
        pytest.param("sum(rate(transfer_gateway_request_duration_seconds[5m]))", id="histogram"),
        pytest.param("vector(1)", id="nothing"),
    ],
)
def test_other_queries_are_caught(query: str) -> None:
    """A nonexistent name, label or grouping."""
    with pytest.raises(AssertionError):
        test_queries_ask_for_what_there_is(query)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alerts_are_explained_and_tried(rule: dict[str, Any]) -> None:
    """Each alert has a summary, a severity, a runbook in docs/operations.md, and a test case."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings
    cases = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert any(case["exp_alerts"] for case in cases)


def test_dashboard_can_be_imported() -> None:
    """Every panel has its own position and a unit, and uses the selected data source."""
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}, panel[
            "title"
        ]
