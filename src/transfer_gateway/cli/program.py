"""Shared by commands: settings, exit codes, and running until a signal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import uvloop

from transfer_gateway import signals
from transfer_gateway.cli.output import tell
from transfer_gateway.listen import PortNotAvailable
from transfer_gateway.settings import ConfigurationError, Settings, this_worker
from transfer_gateway.telemetry import configure_logging, lines_queued

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager
    from pathlib import Path


def load_settings(**overrides: object) -> Settings:
    settings: Settings = or_exit(lambda: Settings.from_environment(**overrides))
    worker = this_worker()
    configure_logging(
        settings.log_level,
        settings.log_format,
        audit=settings.audit_log,
        worker=worker.number if worker else None,
    )
    return settings


def or_exit(step: Callable[[], Any]) -> Any:  # noqa: ANN401  the step's result
    """The step's result. On a configuration error prints problems and hints, and exits with code 2."""
    try:
        return step()
    except ConfigurationError as error:
        for problem in error.problems:
            tell(f"error: {problem}")
        for hint in error.hints:
            tell(f"hint: {hint}")
        sys.exit(2)


def run(program: Callable[[], Coroutine[Any, Any, None]], *, stays: bool = False) -> None:
    """Run it; exit with 2 on a configuration error, 1 if a port is in use. `stays`: it runs until a signal."""

    def run() -> None:
        try:
            uvloop.run(program())
        finally:
            if stays:
                signals.exit_at_once()  # printing the error may block

    if stays:
        signals.remember()
    else:
        signals.interrupt()
    try:
        or_exit(run)
    except PortNotAvailable as error:
        tell(f"error: {error}")
        sys.exit(1)


def queued_log(settings: Settings, lock: Path | None = None) -> AbstractContextManager[None]:
    return lines_queued(settings.log_queue_max_bytes, audit_full=settings.audit_log_full, lock=lock)
