"""Output of commands."""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from transfer_gateway.domain.text import escaped
from transfer_gateway.telemetry import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from transfer_gateway.domain.errors import GatewayError


def say(text: str) -> None:
    with printing():
        sys.stdout.write(f"{redacted(text)}\n")


@contextmanager
def printing() -> Iterator[None]:
    """For commands whose purpose is their output: exit with code 1 and an error if stdout can't be written.

    Quietly if its reader has gone, as `head` does, with the code of a process that SIGPIPE ends.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python flushes again at exit, and exits with 120
        if isinstance(error, BrokenPipeError):
            sys.exit(128 + signal.SIGPIPE)
        tell(f"error: can't write to stdout: {error.strerror}")
        sys.exit(1)


def announce(text: str) -> None:
    """Print without blocking; dropped if stdout is not writable right now, since a service must not wait."""
    with suppress(OSError):
        poll = select.poll()
        poll.register(1, select.POLLOUT)
        if any(event & select.POLLOUT for _, event in poll.poll(0)):
            os.write(1, f"{text}\n".encode())


def tell(problem: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{escaped(redacted(problem))}\n")
        sys.stderr.flush()


def print_fault(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """An excepthook that redacts secrets."""
    with suppress(OSError):
        sys.stderr.write(redacted("".join(traceback.format_exception(kind, fault, trace))))


def explained(error: GatewayError) -> str:
    """The message, and the detail for operators unless it says the same."""
    return (
        error.message
        if error.detail is None or error.detail in error.message
        else f"{error.message} {error.detail}"
    )
