"""What commands print."""

from __future__ import annotations

import os
import select
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from transfer_gateway.domain.text import escaped
from transfer_gateway.telemetry import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


def say(text: str) -> None:
    with printing():
        sys.stdout.write(f"{redacted(text)}\n")


@contextmanager
def printing() -> Iterator[None]:
    """What is printed is all that the command is for: exit code 1 where it can't be, and a line that says why."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries again at its end, and exits with 120
        tell(f"error: can't write to stdout: {error.strerror}")
        sys.exit(1)


def announce(text: str) -> None:
    """Print it where somebody reads it at once: a service goes on without, and waits for nobody."""
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
    """What Python prints of an exception that nobody handled, without secrets."""
    with suppress(OSError):
        sys.stderr.write(redacted("".join(traceback.format_exception(kind, fault, trace))))
