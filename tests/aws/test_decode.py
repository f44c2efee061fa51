"""Wire dict → domain, for every shape that botocore's model allows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapes import wire
from transfer_gateway.aws.decode import (
    IncompleteAnswer,
    MismatchedAnswer,
    decode_execution,
    decode_listed_executions,
)
from transfer_gateway.aws.decode_workflow import decode_listed_workflows, decode_workflow
from transfer_gateway.domain.execution import StepRef
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

MODEL = botocore.session.get_session().get_service_model("transfer")
KEY = ExecutionKey(
    AccountId("111111111111"),
    Region("eu-west-1"),
    WorkflowId("w-00000000000000000"),
    ExecutionId("00000000-0000-4000-8000-000000000000"),
)
ARN = f"arn:aws:transfer:{KEY.region}:{KEY.account_id}:workflow/{KEY.workflow_id}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def executions() -> st.SearchStrategy[Any]:
    """Any response about the execution of `KEY`, whose id it may omit."""

    def unnamed(answer: dict[str, Any]) -> dict[str, Any]:
        return about_key(
            {name: value for name, value in answer["Execution"].items() if name != "ExecutionId"}
        )

    return wire(MODEL.shape_for("DescribeExecutionResponse")).map(unnamed)


def workflows() -> st.SearchStrategy[Any]:
    """Any response about the workflow of `KEY`."""

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        named = {"WorkflowId": KEY.workflow_id} if "WorkflowId" in answer["Workflow"] else {}
        return answer | {"Workflow": answer["Workflow"] | named | {"Arn": ARN}}

    return wire(MODEL.shape_for("DescribeWorkflowResponse")).map(told)


def about_key(execution: dict[str, Any]) -> dict[str, Any]:
    """A DescribeExecution response about `KEY`."""
    return {"WorkflowId": KEY.workflow_id, "Execution": execution}


def flat(value: Any) -> list[Any]:
    """Every leaf of a wire dict."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in flat(inner)]
    return [leaf for inner in value for leaf in flat(inner)] if isinstance(value, list) else [value]


@given(executions())
def test_nothing_is_lost(answer: dict[str, Any]) -> None:
    """Every value that AWS sent is in the domain object."""
    execution = decode_execution(answer, KEY, NOW)
    shown = repr(execution)
    assert [leaf for leaf in flat(answer["Execution"]) if repr(leaf) not in shown] == []


@given(workflows())
def test_nothing_of_a_workflow_is_lost(answer: dict[str, Any]) -> None:
    """The same for a workflow; and each step has its details' name."""
    workflow = decode_workflow(answer, KEY.workflow, NOW)
    shown = repr(workflow)
    sent = {name: value for name, value in answer["Workflow"].items() if name != "WorkflowId"}
    assert [leaf for leaf in flat(sent) if repr(leaf) not in shown] == []
    for step, sent_step in zip(workflow.steps or (), sent.get("Steps", []), strict=True):
        details = [value for member, value in sent_step.items() if member.endswith("Details")]
        assert step.name in [detail.get("Name") for detail in details] + ([] if details else [None])


@given(st.lists(st.text()))
def test_nothing_of_listed_workflows_is_lost(descriptions: list[str]) -> None:
    """Every workflow of a list, in the list's order, with all of its fields."""
    sent = [
        {"WorkflowId": f"w-{at:017}", "Arn": f"{ARN[:-17]}{at:017}", "Description": description}
        for at, description in enumerate(descriptions)
    ]
    found = decode_listed_workflows({"Workflows": sent}, KEY.target, NOW)
    assert [(row.key.workflow_id, row.arn, row.description) for row in found] == [
        (row["WorkflowId"], row["Arn"], row["Description"]) for row in sent
    ]
    assert {row.key.target for row in found} <= {KEY.target}


@given(executions())
def test_each_result_knows_its_place(answer: dict[str, Any]) -> None:
    """A step's result knows its workflow and position; decoding a response twice gives equal objects and hashes."""
    execution = decode_execution(answer, KEY, NOW)
    again = decode_execution(answer, KEY, NOW)
    assert execution == again
    assert hash(execution) == hash(again)
    for on_exception in (False, True):
        results = execution.results
        steps = results and (results.on_exception_steps if on_exception else results.steps)
        assert [step.ref for step in steps or ()] == [
            StepRef(KEY.workflow, on_exception, at) for at in range(len(steps or ()))
        ]


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        ({}, "Workflow"),
        ({"Workflow": {}}, "Arn"),
        ({"Workflow": {"Arn": ARN, "Tags": [{"Key": "k"}]}}, "Value"),
        ({"Workflow": {"Arn": ARN, "Steps": [{"DecryptStepDetails": {}}]}}, "Type"),
        (
            {"Workflow": {"Arn": ARN, "OnExceptionSteps": [{"DecryptStepDetails": {"Type": "PGP"}}]}},
            "DestinationFileLocation",
        ),
    ],
)
def test_what_aws_promises_of_a_workflow_must_be_there(answer: dict[str, Any], lacks: str) -> None:
    """A response without a required member is rejected; the error names the member."""
    with pytest.raises(IncompleteAnswer, match=f"^{lacks}$"):
        decode_workflow(answer, KEY.workflow, NOW)


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        ({}, "Workflows"),
        ({"Workflows": [{"WorkflowId": KEY.workflow_id}]}, "Arn"),
        ({"Workflows": [{"Arn": "a"}]}, "WorkflowId"),
        ({"Workflows": [{"WorkflowId": "w-1", "Arn": "a"}]}, "a well-formed WorkflowId"),
    ],
)
def test_listed_workflows_have_id_and_arn(answer: dict[str, Any], lacks: str) -> None:
    """A list with an incomplete entry is rejected."""
    with pytest.raises(IncompleteAnswer, match=f"^{lacks}$"):
        decode_listed_workflows(answer, KEY.target, NOW)


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        ({}, "Execution"),
        ({"Execution": {}}, "WorkflowId"),
        (about_key({"ServiceMetadata": {}}), "UserDetails"),
        (about_key({"ServiceMetadata": {"UserDetails": {"UserName": "u"}}}), "ServerId"),
        (about_key({"PosixProfile": {"Uid": 1}}), "Gid"),
        (about_key({"Results": {"Steps": [{"Error": {"Type": "TIMEOUT"}}]}}), "Message"),
    ],
)
def test_what_aws_promises_must_be_there(answer: dict[str, Any], lacks: str) -> None:
    """A response without a required member is rejected; the error names the member."""
    with pytest.raises(IncompleteAnswer, match=f"^{lacks}$"):
        decode_execution(answer, KEY, NOW)


def test_zero_is_a_value() -> None:
    """Root's uid 0 and an empty output are values, not missing."""
    execution = decode_execution(
        about_key({"PosixProfile": {"Uid": 0, "Gid": 0}, "Results": {"Steps": [{"Outputs": ""}]}}),
        KEY,
        NOW,
    )
    assert execution.posix_profile is not None
    assert execution.posix_profile.uid == 0
    assert execution.results is not None
    assert execution.results.steps is not None
    assert execution.results.steps[0].outputs == ""


OTHER = KEY.execution_id.replace("0", "1")


@pytest.mark.parametrize(
    ("decode", "member"),
    [
        pytest.param(
            lambda: decode_execution(about_key({"ExecutionId": OTHER}), KEY, NOW),
            "ExecutionId",
            id="execution",
        ),
        pytest.param(
            lambda: decode_execution(about_key({}) | {"WorkflowId": "w-11111111111111111"}, KEY, NOW),
            "WorkflowId",
            id="execution-of-another-workflow",
        ),
        pytest.param(
            lambda: decode_listed_executions(
                {"WorkflowId": "w-11111111111111111", "Executions": []}, KEY.workflow, NOW
            ),
            "WorkflowId",
            id="executions-of-another-workflow",
        ),
        pytest.param(
            lambda: decode_workflow(
                {"Workflow": {"Arn": ARN, "WorkflowId": "w-11111111111111111"}}, KEY.workflow, NOW
            ),
            "WorkflowId",
            id="workflow",
        ),
        *(
            pytest.param(
                lambda arn=arn: decode_workflow({"Workflow": {"Arn": arn}}, KEY.workflow, NOW), "Arn", id=name
            )
            for name, arn in [
                ("workflow-of-another-account", ARN.replace(KEY.account_id, "222222222222")),
                ("workflow-of-another-region", ARN.replace(KEY.region, "us-east-1")),
                ("no-arn", "a"),
            ]
        ),
        pytest.param(
            lambda: decode_listed_workflows(
                {
                    "Workflows": [
                        {"WorkflowId": KEY.workflow_id, "Arn": ARN.replace("eu-west-1", "eu-west-2")}
                    ]
                },
                KEY.target,
                NOW,
            ),
            "Arn",
            id="workflows-of-another-region",
        ),
    ],
)
def test_an_answer_about_something_else_is_refused(decode: Callable[[], object], member: str) -> None:
    """The ids in AWS's response are compared with the requested ones."""
    with pytest.raises(MismatchedAnswer, match=f"^{member}$"):
        decode()


def test_an_id_in_the_other_case_is_the_same() -> None:
    """AWS's pattern for execution ids allows both cases."""
    key = ExecutionKey(
        KEY.account_id, KEY.region, KEY.workflow_id, ExecutionId("ABCDEF00-0000-4000-8000-00000000000f")
    )
    answer = about_key({"ExecutionId": key.execution_id.swapcase()})
    assert decode_execution(answer, key, NOW).key == key
