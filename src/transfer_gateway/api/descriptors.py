"""Divides the process's file descriptors between HTTP, gRPC and AWS connections."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from transfer_gateway.telemetry import get_logger

_log = get_logger(__name__)
_FILES = 64  # for logs, reloads, listeners, issuers, traces


@dataclass(frozen=True, slots=True)
class DescriptorShares:
    """Maximum connections of each server."""

    http: int
    grpc: int


def share_descriptors(*, http: int, grpc: int, aws: int) -> DescriptorShares:
    """Raise the descriptor limit to its hard limit and divide it.

    `http` and `grpc` are the configured connection limits, `aws` the maximum number of connections to AWS. If the
    descriptor limit is too low for all, gRPC gets at most a fifth of it and HTTP at least half; the rest is for AWS,
    files and probes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # not permitted
            pass
    if soft == resource.RLIM_INFINITY:
        return DescriptorShares(http, grpc)
    grpc_share = max(1, min(grpc, soft // 5))
    reserved = min(grpc_share + aws + _FILES, soft // 2)
    shares = DescriptorShares(max(1, min(http, soft - reserved)), grpc_share)
    if shares != DescriptorShares(http, grpc):
        _log.warning(
            "connections_reduced",
            descriptors=soft,
            http_connections=shares.http,
            grpc_connections=shares.grpc,
        )
    return shares
