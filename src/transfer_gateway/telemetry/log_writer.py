"""Writes log lines to stderr through a bounded queue and a thread."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from transfer_gateway.telemetry.log_lock import LogLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WRITE_BYTES = 16_384  # per write: small, so that a slow reader shows progress and differs from a stuck one
_GATHER_S = 0.02  # between batches: waking the thread for each line would cost more than the line
_RETRY_S = 0.5
_STUCK_S = 2.0  # longer than a reader's usual pause, and short enough to lose few lines
_REPORT_DROPPED_S = 1.0
_FLUSH_S = 1.0  # at exit, for a slow reader


class LogWriter:
    """Writes lines to stderr in order: directly, or after `start` by a thread, so that no caller waits.

    The queue accepts ordinary lines until it is half full, and audit lines until it is full. Its last quarter is for
    requests that are in progress: from there on `problem` is set, and new requests must be rejected.

    Lines may come from any thread, and interrupt another call: in a signal handler or a finalizer. So there is no lock.
    CPython does not switch threads between reading and writing the byte count as long as no function is called in
    between; and the count is reset whenever the queue is empty.
    """

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._max_bytes = self._room_bytes = self._full_bytes = -1  # no queue yet
        self._resting = False
        self._wake = threading.Lock()
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._writing_since: float | None = None
        self._reported_dropped, self._report_at = 0, 0.0
        self.dropped = 0
        self.problem: str | None = None

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def put(self, line: bytes) -> bool:
        """Add a line, without its line break. Returns: False if it was dropped and counted."""
        size = len(line)
        size += self._bytes
        if size > self._room_bytes:
            return self._put_without_room(line)
        self._bytes = size
        self._lines.append(line)
        if self._resting:
            self._wake_up()
        return True

    def put_audit(self, line: bytes) -> bool:
        """Add an audit line. Returns: False if the queue is full."""
        size = len(line)
        size += self._bytes
        if size > self._full_bytes and not self._has_audit_room(line, size):
            return self._max_bytes < 0
        self._bytes = size
        self._lines.append(line)
        if self._resting:
            self._wake_up()
        return True

    def _put_without_room(self, line: bytes) -> bool:
        if self._max_bytes >= 0:
            self.dropped += 1
            return False
        with suppress(OSError):  # a line that can't be written must not fail its caller
            sys.stderr.flush()
            sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()
        return True

    def _has_audit_room(self, line: bytes, size: int) -> bool:
        if self._max_bytes < 0:
            self._put_without_room(line)
        else:
            self.update_problem(nearly_full=True)
        return size <= self._max_bytes

    def _wake_up(self) -> None:
        self._resting = False
        with suppress(RuntimeError):  # another thread has woken it
            self._wake.release()

    def start(self, max_bytes: int, report_dropped: Callable[[int], bytes], lock: Path | None = None) -> None:
        """Start the thread. `report_dropped` formats a line with the number of dropped lines. `lock`: as in `log`."""
        self._report_dropped = report_dropped
        self._lock = None if lock is None else LogLock(lock)
        self._lock_is_stuck = False
        self._fd = os.dup(2)
        _make_stderr_non_blocking()
        self._wake.acquire()
        self._max_bytes, self._room_bytes, self._full_bytes = max_bytes, max_bytes // 2, max_bytes * 3 // 4
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Flush the queue for at most a second. Later lines are accepted but not written."""
        self._closing.set()
        self._wake_up()
        self._thread.join(_FLUSH_S)

    def update_problem(self, *, nearly_full: bool = False) -> None:
        """Set `problem`: why lines can't be written, or soon can't. Call it periodically, to detect a stuck reader."""
        failure, since = self._failure, self._writing_since
        if failure is not None:
            gone = failure.errno == errno.EPIPE
            self.problem = "the reader of stderr is gone" if gone else f"stderr: {failure.strerror}"
        elif since is not None and time.monotonic() - since > _STUCK_S:
            self.problem = "the reader of stderr is stuck"
        elif nearly_full or (self.problem is not None and self._bytes > self._room_bytes):
            self.problem = "the log queue is full"
        else:
            self.problem = None

    def _run(self) -> None:
        write = self._write if self._lock is None else partial(self._write_alone, self._lock)
        while True:
            lines = self._take()
            if lines:
                if not write(b"\n".join((*lines, b""))):
                    return
                size = sum(map(len, lines))
                self._bytes -= size
                self._report()
            elif self._closing.is_set():
                return
            else:
                self._rest()

    def _take(self) -> list[bytes]:
        """The next batch. Its bytes count as queued until they are written."""
        lines, size = [], 0
        while self._lines and size < _WRITE_BYTES:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return lines

    def _rest(self) -> None:
        self._bytes = 0
        self._closing.wait(_GATHER_S)
        self._resting = True
        if not (self._lines or self._closing.is_set()):
            self._wake.acquire()
        self._resting = False

    def _write_alone(self, lock: LogLock, text: bytes) -> bool:
        """As `_write`, while no other process writes: a pipe would mix what they write at once.

        One that is stopped with the lock must not stop the others: better a line that is mixed.
        """
        held = lock.acquire(0.0 if self._lock_is_stuck else _STUCK_S)
        self._lock_is_stuck = not held
        try:
            return self._write(text)
        finally:
            if held:
                lock.release()

    def _write(self, text: bytes) -> bool:
        """Write all of it, with retries. Returns: False if writing still fails when the writer closes."""
        rest = memoryview(text)
        while rest:
            self._writing_since = self._writing_since or time.monotonic()
            try:
                written = os.write(self._fd, rest[:_WRITE_BYTES])
            except BlockingIOError:  # another process that shares it has made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(_RETRY_S * 1000)
            except OSError as failure:
                self._failure = failure
                self.update_problem()
                if self._closing.wait(_RETRY_S):
                    return False
            else:
                self._failure = self._writing_since = None
                rest = rest[written:]
                if self.problem is not None:
                    self.update_problem()
        return True

    def _report(self) -> None:
        """Report the number of dropped lines: when the queue is empty, or once a second."""
        now = time.monotonic()
        if self.dropped == self._reported_dropped or (self._lines and now < self._report_at):
            return
        dropped, self._report_at = self.dropped, now + _REPORT_DROPPED_S
        line = self._report_dropped(dropped - self._reported_dropped)
        self._reported_dropped = dropped
        size = len(line)
        self._bytes += size
        self._lines.append(line)


def _make_stderr_non_blocking() -> None:
    """Make file descriptor 2 non-blocking, since gRPC's core and Python itself write there, too.

    A pipe or terminal is reopened for that, since other processes that share it may need it blocking. If that fails
    (another user's, a socket, no /proc), it stays unchanged.
    """
    mode = os.fstat(2).st_mode
    if not (stat.S_ISFIFO(mode) or os.isatty(2)):
        return
    with suppress(OSError):
        opened = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.dup2(opened, 2)
        os.close(opened)
