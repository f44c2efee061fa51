"""How many file descriptors the process has, and who may have how many of them."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from transfer_gateway.telemetry import get_logger

_log = get_logger(__name__)
_FILES = 64  # logs, reloads, listeners, issuers, traces


@dataclass(frozen=True, slots=True)
class DescriptorShares:
    """Connections that each door may have."""

    http: int
    grpc: int


def share_descriptors(*, http: int, grpc: int, aws: int) -> DescriptorShares:
    """Raise the process's limit as far as it may, and share it out.

    `http` and `grpc` are the connections wished for; `aws` those to AWS at most. Where the limit allows less, gRPC gets
    a quarter of it at most, and HTTP at least a half: what is left is for AWS, files and probes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # not allowed here
            pass
    if soft == resource.RLIM_INFINITY:
        return DescriptorShares(http, grpc)
    grpc_share = max(1, min(grpc, soft // 4))
    kept = min(grpc_share + aws + _FILES, soft // 2)
    shares = DescriptorShares(max(1, min(http, soft - kept)), grpc_share)
    if shares != DescriptorShares(http, grpc):
        _log.warning(
            "connections_reduced",
            descriptors=soft,
            http_connections=shares.http,
            grpc_connections=shares.grpc,
        )
    return shares
