"""Lines on their way to stderr: a bounded queue, and the thread that empties it."""

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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WRITE_BYTES = 16_384  # at once: a slow reader is told from one that is stuck by what it takes
_GATHER_S = 0.02  # between two batches: to wake the thread for each line would cost more than the line
_RETRY_S = 0.5
_STUCK_S = 2.0  # longer than a reader is away that comes back, and little enough to lose
_TELL_DROPPED_S = 1.0
_FLUSH_S = 1.0  # at the end, for a reader that is slow


class LogWriter:
    """Writes lines to stderr in the order in which they come: at once, or once started by a thread.

    Then nobody waits. Ordinary lines are taken until half of what may wait is there; the audit's to the end, whose last
    quarter is for requests that were let in: `lack` says before that why no more should be.

    Lines may come from any thread, and in the midst of another: from a signal's handler, or the search for garbage. So
    there is no lock. In CPython nothing comes between reading the count of bytes and writing it, if nothing is
    called then; and it is put right whenever the queue is empty.
    """

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._max_bytes = self._room_bytes = self._full_bytes = -1  # nothing waits
        self._resting = False
        self._wake = threading.Lock()
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._writing_since: float | None = None
        self._told_dropped, self._tell_at = 0, 0.0
        self.dropped = 0
        self.lack: str | None = None

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def put(self, line: bytes) -> bool:
        """Take a line, without its end. False: it is dropped, and counted."""
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
        """The same for a line of the audit. False: there is no room."""
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
        with suppress(OSError):  # no work ends for a line that can't be written
            sys.stderr.flush()
            sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()
        return True

    def _has_audit_room(self, line: bytes, size: int) -> bool:
        if self._max_bytes < 0:
            self._put_without_room(line)
        else:
            self.judge(crowded=True)
        return size <= self._max_bytes

    def _wake_up(self) -> None:
        self._resting = False
        with suppress(RuntimeError):  # another has done it
            self._wake.release()

    def start(self, max_bytes: int, tell_dropped: Callable[[int], bytes]) -> None:
        """From now on a thread writes. `tell_dropped` makes a line of how many were dropped."""
        self._tell_dropped = tell_dropped
        self._fd = os.dup(2)
        _let_nobody_wait_for_stderr()
        self._wake.acquire()
        self._max_bytes, self._room_bytes, self._full_bytes = max_bytes, max_bytes // 2, max_bytes * 3 // 4
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, within a second. What comes later is taken, but not written: nobody may wait for it."""
        self._closing.set()
        self._wake_up()
        self._thread.join(_FLUSH_S)

    def judge(self, *, crowded: bool = False) -> None:
        """Set `lack`: why lines can't be written, or not for long. For a reader that is stuck, call it now and then."""
        failure, since = self._failure, self._writing_since
        if failure is not None:
            gone = failure.errno == errno.EPIPE
            self.lack = "the reader of stderr is gone" if gone else f"stderr: {failure.strerror}"
        elif since is not None and time.monotonic() - since > _STUCK_S:
            self.lack = "the reader of stderr does not read"
        elif crowded or (self.lack is not None and self._bytes > self._room_bytes):
            self.lack = "the log queue is full"
        else:
            self.lack = None

    def _run(self) -> None:
        while True:
            lines = self._take()
            if lines:
                if not self._write(b"\n".join((*lines, b""))):
                    return
                size = sum(map(len, lines))
                self._bytes -= size
                self._tell()
            elif self._closing.is_set():
                return
            else:
                self._rest()

    def _take(self) -> list[bytes]:
        """The next lines. They count as waiting until they are written."""
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

    def _write(self, text: bytes) -> bool:
        """Until it is written, however often that fails. False: it can't be, and the end has come."""
        rest = memoryview(text)
        while rest:
            self._writing_since = self._writing_since or time.monotonic()
            try:
                written = os.write(self._fd, rest[:_WRITE_BYTES])
            except BlockingIOError:  # whoever shares it wants it so
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(_RETRY_S * 1000)
            except OSError as failure:
                self._failure = failure
                self.judge()
                if self._closing.wait(_RETRY_S):
                    return False
            else:
                self._failure = self._writing_since = None
                rest = rest[written:]
                if self.lack is not None:
                    self.judge()
        return True

    def _tell(self) -> None:
        """How many lines were dropped, now that others are written: when the queue is empty, or once a second."""
        now = time.monotonic()
        if self.dropped == self._told_dropped or (self._lines and now < self._tell_at):
            return
        dropped, self._tell_at = self.dropped, now + _TELL_DROPPED_S
        line = self._tell_dropped(dropped - self._told_dropped)
        self._told_dropped = dropped
        size = len(line)
        self._bytes += size
        self._lines.append(line)


def _let_nobody_wait_for_stderr() -> None:
    """Make writing to file descriptor 2 fail where it would wait: gRPC's core and Python itself write there, too.

    A pipe or terminal is opened anew for that, as whoever shares it with us may want it to wait. Where that can't be
    done (another user's, a socket, no /proc) all stays as it is.
    """
    mode = os.fstat(2).st_mode
    if not (stat.S_ISFIFO(mode) or os.isatty(2)):
        return
    with suppress(OSError):
        opened = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        os.dup2(opened, 2)
        os.close(opened)
