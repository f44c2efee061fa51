"""A request's summary of its AWS calls."""

from __future__ import annotations

from transfer_gateway.telemetry import Requests
from transfer_gateway.telemetry.request import AwsCall


def test_the_ten_slowest_calls_are_told() -> None:
    """Of any number of calls, in any order: the slowest first, and only those with an id from AWS."""
    request = Requests(slow_s=1).begin("graphql", "executions", "mine")
    calls = [
        AwsCall("transfer:DescribeExecution", "", "", took_s=ms / 1000, request_id=f"aws-{ms}")
        for ms in range(3000)
    ]
    given_up = AwsCall("transfer:DescribeExecution", "", "", code="CANCELLED", took_s=2.9955)
    for call in (*calls[::2], given_up, *calls[::-2]):
        request.record_aws_call(call)
    slowest = [f"aws-{ms}" for ms in range(2999, 2990, -1)]  # and the one that was given up
    assert request.aws_summary() == {"aws_calls": 3001, "aws_request_ids": slowest}
