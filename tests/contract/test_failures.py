"""Every failure of AWS, made on the wire, is the same at both servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from doors import GRAPHQL, Failed, GraphQLDoor, RpcDoor, enum_value
from transfer_api.v1 import error_pb2
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway.api.errors import TABLE
from wire import GUARDED, PLAIN, place, to_input

if TYPE_CHECKING:
    from graphql import GraphQLEnumType

pytestmark = pytest.mark.fast_time

DESCRIBE, ASSUME = "DescribeExecution", "AssumeRole"


def refusal(operation: str, code: str, status: int = 400) -> Fault:
    return Fault(
        FaultKind.ERROR, account_id=PLAIN, operation=operation, code=code, status=status, message="Said AWS."
    )


def fault(operation: str, kind: FaultKind, **figures: Any) -> Fault:
    return Fault(kind, account_id=PLAIN, operation=operation, **figures)


FAILURES = [
    ("describe-throttling-exception", refusal(DESCRIBE, "ThrottlingException"), "THROTTLED"),
    ("describe-throttling", refusal(DESCRIBE, "Throttling"), "THROTTLED"),
    ("describe-too-many-requests", refusal(DESCRIBE, "TooManyRequestsException", 429), "THROTTLED"),
    ("describe-request-limit", refusal(DESCRIBE, "RequestLimitExceeded", 503), "THROTTLED"),
    ("describe-throttled-at-a-rate", fault(DESCRIBE, FaultKind.THROTTLE, rate_per_s=0), "THROTTLED"),
    ("describe-empty-429", fault(DESCRIBE, FaultKind.EMPTY_429), "THROTTLED"),
    ("describe-denied", fault(DESCRIBE, FaultKind.DENY), "ACCESS_DENIED"),
    ("describe-denied-in-other-words", refusal(DESCRIBE, "AccessDenied", 403), "ACCESS_DENIED"),
    ("describe-unknown-403", refusal(DESCRIBE, "NeverHeardOf", 403), "ACCESS_DENIED"),
    ("describe-expired-token", refusal(DESCRIBE, "ExpiredTokenException"), "UPSTREAM_UNAVAILABLE"),
    ("describe-expired-token-sts", refusal(DESCRIBE, "ExpiredToken"), "UPSTREAM_UNAVAILABLE"),
    ("describe-unrecognized-client", refusal(DESCRIBE, "UnrecognizedClientException"), "ACCESS_DENIED"),
    ("describe-invalid-client-token", refusal(DESCRIBE, "InvalidClientTokenId", 403), "ACCESS_DENIED"),
    ("describe-bad-signature", refusal(DESCRIBE, "InvalidSignatureException"), "ACCESS_DENIED"),
    ("describe-500", fault(DESCRIBE, FaultKind.SERVER_ERROR), "UPSTREAM_UNAVAILABLE"),
    ("describe-503", fault(DESCRIBE, FaultKind.SERVER_ERROR, status=503), "UPSTREAM_UNAVAILABLE"),
    ("describe-html-502", fault(DESCRIBE, FaultKind.HTML_502), "UPSTREAM_UNAVAILABLE"),
    ("describe-unknown-code", refusal(DESCRIBE, "NeverHeardOf", 400), "UPSTREAM_UNAVAILABLE"),
    ("describe-unknown-operation", refusal(DESCRIBE, "UnknownOperationException"), "UPSTREAM_UNAVAILABLE"),
    ("describe-reset", fault(DESCRIBE, FaultKind.RESET), "UPSTREAM_UNAVAILABLE"),
    ("describe-truncated-json", fault(DESCRIBE, FaultKind.TRUNCATED_BODY), "UPSTREAM_UNAVAILABLE"),
    ("describe-short-body", fault(DESCRIBE, FaultKind.SHORT_BODY), "UPSTREAM_UNAVAILABLE"),
    ("describe-oversized", fault(DESCRIBE, FaultKind.OVERSIZED_BODY), "UPSTREAM_UNAVAILABLE"),
    ("describe-endless", fault(DESCRIBE, FaultKind.ENDLESS_BODY), "UPSTREAM_UNAVAILABLE"),
    ("describe-compressed", fault(DESCRIBE, FaultKind.COMPRESSED_BODY), "UPSTREAM_UNAVAILABLE"),
    ("describe-endless-head", fault(DESCRIBE, FaultKind.ENDLESS_HEAD), "UPSTREAM_UNAVAILABLE"),
    ("describe-redirect", fault(DESCRIBE, FaultKind.REDIRECT), "UPSTREAM_UNAVAILABLE"),
    ("describe-many-steps", fault(DESCRIBE, FaultKind.MANY_STEPS), "UPSTREAM_UNAVAILABLE"),
    ("describe-many-values", fault(DESCRIBE, FaultKind.MANY_VALUES), "UPSTREAM_UNAVAILABLE"),
    ("describe-deep", fault(DESCRIBE, FaultKind.DEEP), "UPSTREAM_UNAVAILABLE"),
    ("describe-another", fault(DESCRIBE, FaultKind.OTHER_ANSWER), "UPSTREAM_UNAVAILABLE"),
    ("describe-drips", fault(DESCRIBE, FaultKind.DRIP, seconds=0.5), "DEADLINE_EXCEEDED"),
    ("describe-goes-on", fault(DESCRIBE, FaultKind.ENDLESS_CONTINUE), "DEADLINE_EXCEEDED"),
    ("describe-hangs", fault(DESCRIBE, FaultKind.HANG), "DEADLINE_EXCEEDED"),
    ("describe-not-found", refusal(DESCRIBE, "ResourceNotFoundException"), "EXECUTION_NOT_FOUND"),
    ("assume-denied", fault(ASSUME, FaultKind.DENY), "ROLE_NOT_ASSUMABLE"),
    ("assume-region-disabled", refusal(ASSUME, "RegionDisabledException", 403), "ROLE_NOT_ASSUMABLE"),
    ("assume-expired-own-token", refusal(ASSUME, "ExpiredToken", 403), "ROLE_NOT_ASSUMABLE"),
    ("assume-invalid-own-token", refusal(ASSUME, "InvalidClientTokenId", 403), "ROLE_NOT_ASSUMABLE"),
    ("assume-invalid", refusal(ASSUME, "ValidationError"), "ROLE_NOT_ASSUMABLE"),
    ("assume-throttled", fault(ASSUME, FaultKind.THROTTLE, rate_per_s=0), "THROTTLED"),
    # botocore cannot read STS answers that are not XML, and drops their status with them.
    ("assume-empty-429", fault(ASSUME, FaultKind.EMPTY_429), "UPSTREAM_UNAVAILABLE"),
    ("assume-500", fault(ASSUME, FaultKind.SERVER_ERROR), "UPSTREAM_UNAVAILABLE"),
    ("assume-html-502", fault(ASSUME, FaultKind.HTML_502), "UPSTREAM_UNAVAILABLE"),
    ("assume-reset", fault(ASSUME, FaultKind.RESET), "UPSTREAM_UNAVAILABLE"),
    ("assume-truncated-xml", fault(ASSUME, FaultKind.TRUNCATED_BODY), "UPSTREAM_UNAVAILABLE"),
    ("assume-oversized", fault(ASSUME, FaultKind.OVERSIZED_BODY), "UPSTREAM_UNAVAILABLE"),
    ("assume-endless", fault(ASSUME, FaultKind.ENDLESS_BODY), "UPSTREAM_UNAVAILABLE"),
    ("assume-another-role", fault(ASSUME, FaultKind.OTHER_ANSWER), "UPSTREAM_UNAVAILABLE"),
    ("assume-short-body", fault(ASSUME, FaultKind.SHORT_BODY), "UPSTREAM_UNAVAILABLE"),
]
# Failures that come without an answer of AWS's, so without its request id.
NO_ANSWER = {
    FaultKind.RESET, FaultKind.HANG, FaultKind.SHORT_BODY, FaultKind.HTML_502, FaultKind.EMPTY_429, FaultKind.DRIP,
    FaultKind.ENDLESS_HEAD, FaultKind.ENDLESS_CONTINUE, FaultKind.REDIRECT,
}  # fmt: skip
# Their requests end by the deadline. The last one keeps the loop busy, so that its time is real.
TIMELESS_S = {FaultKind.HANG: 40, FaultKind.DRIP: 40, FaultKind.ENDLESS_CONTINUE: 3}
RETRYABLE = {"THROTTLED", "UPSTREAM_UNAVAILABLE", "DEADLINE_EXCEEDED"}


@pytest.mark.parametrize(
    ("fault", "code", "request_timeout_s"),
    [pytest.param(fault, code, TIMELESS_S.get(fault.kind, 100), id=name) for name, fault, code in FAILURES],
)
@pytest.mark.variants(keep=12)
async def test_every_failure_has_its_code(
    graphql: GraphQLDoor, rpc: RpcDoor, world: World, aws: Emulator, fault: Fault, code: str
) -> None:
    """Each of AWS's errors is returned as its code, with account, region and AWS's request id.

    A concurrent request for another account is not affected.
    """
    # In a region each, so that neither meets the other's breaker.
    regions = {graphql: "eu-west-1", rpc: "us-east-1"}
    keys = {door: place(world, region=region) for door, region in regions.items()}
    neighbour = to_input(place(world, GUARDED))
    aws.faults.add(fault)
    by_graphql, by_rpc, *found = await asyncio.gather(
        graphql.get(to_input(keys[graphql])),
        rpc.get(to_input(keys[rpc])),
        graphql.get(neighbour),
        rpc.get(neighbour),
    )
    assert (by_graphql["code"], by_graphql["accountId"]) == (code, PLAIN)
    assert by_graphql["retryable"] == (code in RETRYABLE)
    assert (by_graphql["region"], by_rpc["region"]) == ("eu-west-1", "us-east-1")
    truncated_sts = fault.kind is FaultKind.TRUNCATED_BODY and fault.operation == ASSUME
    if fault.kind not in NO_ANSWER and not truncated_sts:
        assert by_graphql["awsRequestId"]
    assert "Said AWS." not in by_graphql["message"]
    assert elsewhere(by_graphql, keys[graphql]) == elsewhere(by_rpc, keys[rpc])
    assert found[0] == found[1]
    assert found[0]["accountId"] == GUARDED


def elsewhere(failed: dict[str, Any], key: Any) -> dict[str, Any]:
    """The failure without the parts that differ from key to key."""
    message = failed["message"]
    for word in (key.region, key.workflow_id, key.execution_id):
        message = message.replace(word, "…")
    return failed | {"message": message, "region": "…", "retryAfter": failed["retryAfter"] is not None}


@pytest.mark.parametrize(
    "operation", ["get", "batch", "list_executions", "get_workflow", "list_workflows", "find"]
)
@pytest.mark.parametrize("kind", [FaultKind.DENY, FaultKind.SERVER_ERROR], ids=["denied", "500"])
@pytest.mark.parametrize("request_timeout_s", [40], ids=["briefly"])  # its retries have room in it
@pytest.mark.variants(keep=3)
async def test_failures_as_data(
    graphql: GraphQLDoor, rpc: RpcDoor, world: World, aws: Emulator, operation: str, kind: FaultKind
) -> None:
    """Whatever the request, a failing account is reported alike."""
    key, other = to_input(place(world)), to_input(place(world, GUARDED))
    aws.faults.add(Fault(kind, account_id=PLAIN))
    asked: dict[str, Any] = {
        "get": lambda door: door.get(key),
        "batch": lambda door: door.batch([key, other, key]),
        "list_executions": lambda door: door.list_executions(details=True),
        "get_workflow": lambda door: door.get_workflow(
            {n: key[n] for n in ("accountId", "region", "workflowId")}
        ),
        "list_workflows": lambda door: door.list_workflows(details=True),
        "find": lambda door: door.find(key["executionId"]),
    }
    # One after another: what AWS refused is remembered, and counts for the breaker, at both doors.
    await asked[operation](graphql)
    assert without_counts(await asked[operation](graphql)) == without_counts(await asked[operation](rpc))


def without_counts(answer: Any) -> Any:
    """Without the breaker's counts and retry times."""
    if isinstance(answer, list):
        return [without_counts(inner) for inner in answer]
    if not isinstance(answer, dict):
        return answer
    if "code" in answer:
        return {name: answer[name] for name in ("code", "retryable", "accountId", "region")}
    return {name: without_counts(inner) for name, inner in answer.items()}


async def test_invalid_request_is_the_callers(
    graphql: GraphQLDoor, rpc: RpcDoor, world: World, aws: Emulator
) -> None:
    """A request that AWS rejects as invalid is BAD_USER_INPUT as a whole, with AWS's message."""
    key = to_input(place(world))
    aws.faults.add(refusal(DESCRIBE, "InvalidRequestException"))
    for door in (graphql, rpc):
        with pytest.raises(Failed) as failed:
            await door.get(key)
        assert failed.value.error["code"] == "BAD_USER_INPUT"
        assert "Said AWS." in failed.value.error["message"]
        assert failed.value.status in {None, grpc.StatusCode.INVALID_ARGUMENT}


def test_every_code_is_at_both_doors() -> None:
    """The schema and the proto have exactly our error codes; each has a gRPC status."""
    of_graphql: GraphQLEnumType = GRAPHQL.type_map["ErrorCode"]  # type: ignore[assignment]  # an enum
    numbers = [value.number for value in error_pb2.ErrorCode.DESCRIPTOR.values if value.number]
    of_proto = {enum_value(error_pb2.ErrorCode.DESCRIPTOR, number) for number in numbers}
    assert set(of_graphql.values) == of_proto == {code.value for code in TABLE}
    assert all(hasattr(grpc.StatusCode, row.grpc_status) for row in TABLE.values())
