"""Decodes servers from wire dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from transfer_gateway.aws.decode import (
    MismatchedAnswer,
    Wire,
    check_same,
    identifier,
    request_id,
    required,
    tags,
)
from transfer_gateway.domain.identity import WorkflowId
from transfer_gateway.domain.server import (
    Domain,
    EndpointType,
    IdentityProviderType,
    Protocol,
    Server,
    ServerId,
    ServerKey,
    ServerState,
    ServerSummary,
    WorkflowDetail,
)

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import Target


def decode_server(answer: Wire, key: ServerKey, observed_at: datetime) -> Server:
    """Decode DescribeServer. Raises: IncompleteAnswer, MismatchedAnswer. Source: `DescribeServerResponse`."""
    wire = required(answer, "Server")
    if (actual := wire.get("ServerId")) is not None:  # optional in the model, unlike the ARN
        check_same(actual, key.server_id, "ServerId")
    protocols, destinations = wire.get("Protocols"), wire.get("StructuredLogDestinations")
    workflows = wire.get("WorkflowDetails") or {}
    return Server(
        key=key,
        arn=_arn(wire, key),
        **_in_both(wire),
        protocols=None if protocols is None else tuple(map(Protocol, protocols)),
        raw_protocols=None if protocols is None else tuple(protocols),
        tags=tags(wire.get("Tags")),
        on_upload=_workflows(workflows.get("OnUpload")),
        on_partial_upload=_workflows(workflows.get("OnPartialUpload")),
        structured_log_destinations=None if destinations is None else tuple(destinations),
        observed_at=observed_at,
        aws_request_id=request_id(answer),
    )


def decode_listed_servers(answer: Wire, target: Target, observed_at: datetime) -> list[ServerSummary]:
    """Decode a page of ListServers. Raises: IncompleteAnswer, MismatchedAnswer. Source: `ListServersResponse`.

    The model does not require the id, but our schema guarantees it.
    """
    summaries = []
    for wire in required(answer, "Servers"):
        key = ServerKey(target.account_id, target.region, identifier(ServerId, wire, "ServerId"))
        summaries.append(ServerSummary(key, _arn(wire, key), **_in_both(wire), observed_at=observed_at))
    return summaries


class _InBoth(TypedDict):
    """The members of a listed and of a described server."""

    domain: Domain | None
    raw_domain: str | None
    endpoint_type: EndpointType | None
    raw_endpoint_type: str | None
    identity_provider_type: IdentityProviderType | None
    raw_identity_provider_type: str | None
    logging_role: str | None
    state: ServerState | None
    raw_state: str | None
    user_count: int | None


def _in_both(wire: Wire) -> _InBoth:
    domain, endpoint_type, state = wire.get("Domain"), wire.get("EndpointType"), wire.get("State")
    provider: Any = wire.get("IdentityProviderType")
    return _InBoth(
        domain=None if domain is None else Domain(domain),
        raw_domain=domain,
        endpoint_type=None if endpoint_type is None else EndpointType(endpoint_type),
        raw_endpoint_type=endpoint_type,
        identity_provider_type=None if provider is None else IdentityProviderType(provider),
        raw_identity_provider_type=provider,
        logging_role=wire.get("LoggingRole") or None,  # AWS's empty string is none
        state=None if state is None else ServerState(state),
        raw_state=state,
        user_count=wire.get("UserCount"),
    )


def _arn(wire: Wire, key: ServerKey) -> str:
    """The server's ARN, which must match the key. Raises: IncompleteAnswer, MismatchedAnswer."""
    arn: str = required(wire, "Arn")
    if not arn.endswith(f":transfer:{key.region}:{key.account_id}:server/{key.server_id}"):
        raise MismatchedAnswer("Arn")
    return arn


def _workflows(wire: list[Wire] | None) -> tuple[WorkflowDetail, ...]:
    return tuple(
        WorkflowDetail(identifier(WorkflowId, it, "WorkflowId"), required(it, "ExecutionRole"))
        for it in wire or ()
    )
