"""Where workflows log, which do not, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.identity import AccountId, Region, Target, WorkflowId, WorkflowKey
from transfer_gateway.domain.log_group import LogGroupKey
from transfer_gateway.domain.log_sources import LogGap, LogSource, log_sources
from transfer_gateway.domain.server import Server, ServerId, ServerKey, WorkflowDetail
from transfer_gateway.domain.workflow import Workflow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = Target(AccountId("111111111111"), Region("eu-west-1"))
ARN = f"arn:aws:logs:eu-west-1:{TARGET.account_id}:log-group:mine:*"
FOREIGN = "arn:aws:logs:eu-west-1:222222222222:log-group:theirs:*"
LOGGING = "arn:aws:iam::111111111111:role/Logs"


def workflow(number: int, *destinations: str) -> Workflow:
    key = WorkflowKey(*TARGET, WorkflowId(f"w-{number:017}"))
    return Workflow(key, "arn", None, None, None, None, destinations or None, NOW)


def server(number: int, *starts: Workflow, logging_role: str | None = None) -> Server:
    optional: dict[str, Any] = {
        "domain": None,
        "raw_domain": None,
        "endpoint_type": None,
        "raw_endpoint_type": None,
        "identity_provider_type": None,
        "raw_identity_provider_type": None,
        "state": None,
        "raw_state": None,
        "protocols": None,
        "raw_protocols": None,
        "tags": None,
        "user_count": None,
        "structured_log_destinations": None,
    }
    return Server(
        key=ServerKey(*TARGET, ServerId(f"s-{number:017}")),
        arn="arn",
        logging_role=logging_role,
        on_upload=tuple(WorkflowDetail(it.workflow_id, "role") for it in starts),
        on_partial_upload=(),
        observed_at=NOW,
        **optional,
    )


ONE, TWO, OWN, ABROAD = workflow(1), workflow(2), workflow(3, ARN), workflow(4, FOREIGN)


@pytest.mark.parametrize(
    ("servers", "workflows", "groups", "gaps"),
    [
        pytest.param([], [], set(), [], id="nothing"),
        pytest.param(
            [server(1, ONE, logging_role=LOGGING)], [ONE], {f"/aws/transfer/s-{1:017}"}, [], id="server"
        ),
        pytest.param([server(1, OWN)], [OWN], {"mine"}, [], id="workflow"),
        pytest.param([server(1, ONE)], [ONE], set(), [LogGap.SERVER_LOGS_NOTHING], id="silent"),
        pytest.param([], [ONE], set(), [LogGap.NO_DESTINATION], id="unstarted"),
        pytest.param([server(1, ONE)], [], set(), [LogGap.SERVER_LOGS_NOTHING], id="unlisted"),
        pytest.param([], [ABROAD], set(), [LogGap.FOREIGN_DESTINATION], id="abroad"),
        pytest.param([], [workflow(5, "arn:aws:s3:::b")], set(), [LogGap.FOREIGN_DESTINATION], id="no-group"),
        pytest.param(
            [server(1, ABROAD, logging_role=LOGGING)],
            [ABROAD],
            {f"/aws/transfer/s-{1:017}"},
            [],
            id="abroad-here",
        ),
        pytest.param(
            [server(1, ONE, logging_role=LOGGING), server(2, ONE)],
            [ONE],
            {f"/aws/transfer/s-{1:017}"},
            [LogGap.SERVER_LOGS_NOTHING],
            id="half",
        ),
    ],
)
def test_what_logs(
    servers: list[Server], workflows: list[Workflow], groups: set[str], gaps: list[LogGap]
) -> None:
    """By either mechanism; each gap with its remedy."""
    found = log_sources(TARGET, servers, workflows)
    assert set(found.groups) == groups
    assert [it.gap for it in found.unlogged] == gaps
    assert all(str(it).count(":") for it in found.unlogged)
    known = {it.workflow_id for it in workflows} | {it for each in servers for it in each.workflow_ids}
    assert found.logged == known - {it.workflow_id for it in found.unlogged}
    assert all((found.gap_of(it) is None) is (it in found.logged) for it in known)


def test_a_group_of_both() -> None:
    """Workflows may log to their server's own group, or share one."""
    into = f"arn:aws:logs:eu-west-1:{TARGET.account_id}:log-group:/aws/transfer/s-{1:017}"
    both = [workflow(1, into, ARN), workflow(2, ARN)]
    found = log_sources(TARGET, [server(1, both[0], logging_role=LOGGING)], both)
    first, second = (it.workflow_id for it in both)
    assert found.groups == {
        f"/aws/transfer/s-{1:017}": LogSource(f"/aws/transfer/s-{1:017}", (first,), ServerId(f"s-{1:017}")),
        "mine": LogSource("mine", (first, second)),
    }
    assert found.by_workflow == {first, second}
    assert found.by_server == {first}


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 4)), st.booleans()), max_size=4),
    st.dictionaries(st.integers(0, 4), st.lists(st.sampled_from([ARN, FOREIGN]), max_size=2), max_size=5),
)
def test_every_workflow_is_judged(
    servers: list[tuple[set[int], bool]], workflows: dict[int, list[str]]
) -> None:
    """Logged if it logs itself, or every server that starts it does; else there is a gap that says so."""
    described = {number: workflow(number, *arns) for number, arns in workflows.items()}
    running = [
        server(at, *(workflow(number) for number in sorted(starts)), logging_role=LOGGING if logs else None)
        for at, (starts, logs) in enumerate(servers)
    ]
    found = log_sources(TARGET, running, described.values())
    for number in {*workflows, *(it for starts, _ in servers for it in starts)}:
        starting = [logs for starts, logs in servers if number in starts]
        logged = ARN in workflows.get(number, []) or (bool(starting) and all(starting))
        assert (workflow(number).workflow_id in found.logged) is logged
        assert (found.gap_of(workflow(number).workflow_id) is None) is logged


@pytest.mark.parametrize("end", ["", ":*"])
def test_a_log_groups_arn(end: str) -> None:
    """With or without what CloudWatch refuses."""
    key = LogGroupKey.of_arn(f"arn:aws-us-gov:logs:us-gov-west-1:111111111111:log-group:/a/b.c_d-e#f{end}")
    assert key == ("111111111111", "us-gov-west-1", "/a/b.c_d-e#f")


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:logs:eu-west-1:111111111111:log-group:",
        "arn:aws:logs:eu-west-1:111111111111:log-group:*",
        "arn:aws:logs:eu-west-1:111111111111:log-group:a:log-stream:b",
        "arn:aws:logs:eu-west-1:1:log-group:a",
        "arn:aws:logs:Mars:111111111111:log-group:a",
        "arn:aws:s3:::bucket",
        f"arn:aws:logs:eu-west-1:111111111111:log-group:{'a' * 513}",
    ],
)
def test_what_is_no_log_group_is_refused(arn: str) -> None:
    with pytest.raises(BadUserInput):
        LogGroupKey.of_arn(arn)
