"""What one of several workers is told by the process that starts it, and its share of the limits."""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_gateway.settings.groups.group import ENV_PREFIX
from transfer_gateway.temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    from transfer_gateway.settings.environment import Settings

_VARIABLE = f"_{ENV_PREFIX}WORKER"  # no setting: only the parent sets it
_DIVIDED = (
    "caller_max_concurrent_requests",
    "caller_max_subscriptions",
    "caller_max_unread_bytes",
    "max_unread_bytes",
    "live_max_subscriptions",
    "http_max_connections",
    "http_max_connections_per_address",
    "grpc_max_connections",
    "grpc_max_concurrent_rpcs",
    "grpc_max_public_streams",
)
# What replicas that share a history divide among those that live; without one, by the number of workers.
_DIVIDED_BY_HISTORY = (
    "caller_requests_per_s",
    "caller_requests_burst",
    "caller_rows_per_s",
    "caller_rows_burst",
    "caller_aws_calls_per_s",
    "caller_aws_calls_burst",
    "target_rate_per_s",
    "target_burst",
    "target_max_in_flight",
)


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several workers: its number, from 1, and the directory of what they share, which is theirs alone.

    Both together are its identity: a worker that is started again has those of the one before. `is_replacement`: it is
    such a one, while the others serve.
    """

    number: int
    folder: TemporaryFolder
    is_replacement: bool = False

    def metrics_sockets(self, workers: int) -> dict[int, Path]:
        """Where each worker answers the others with its metrics."""
        return {number: self.folder.path / f"metrics-{number}.sock" for number in range(1, workers + 1)}

    @property
    def log_lock(self) -> Path:
        """Held by the one that writes to stderr."""
        return self.folder.path / "log.lock"


def this_worker() -> Worker | None:
    """None: this process is no worker."""
    if not (told := os.environ.get(_VARIABLE)):
        return None
    number, is_replacement, folder = told.split(":", 2)
    return Worker(int(number), TemporaryFolder(Path(folder)), is_replacement=bool(int(is_replacement)))


def environment_of(worker: Worker, settings: Settings, secret: str) -> dict[str, str]:
    """A worker's environment. `settings`: with the ports that all share. `secret` signs cursors, if none is set."""
    told = {
        f"{ENV_PREFIX}WORKERS": str(settings.workers),
        f"{ENV_PREFIX}HTTP_PORT": str(settings.http_port),
        f"{ENV_PREFIX}GRPC_PORT": str(settings.grpc_port),
        _VARIABLE: f"{worker.number}:{worker.is_replacement:d}:{worker.folder.path}",
    }
    if settings.cursor_secret is None:
        told[f"{ENV_PREFIX}CURSOR_SECRET"] = secret
    return {name: value for name, value in os.environ.items() if name.upper() not in told} | told


def new_secret() -> str:
    return secrets.token_hex(32)


def share_of(settings: Settings) -> Settings:
    """The settings of one worker: its part of what all workers together allow, rounded up."""
    divided = _DIVIDED + (_DIVIDED_BY_HISTORY if settings.history_url == "off" else ())
    parts = {name: getattr(settings, name) / settings.workers for name in divided}
    whole = {name for name in divided if isinstance(getattr(settings, name), int)}
    return settings.model_copy(
        update={name: math.ceil(part) if name in whole else part for name, part in parts.items()}
    )
