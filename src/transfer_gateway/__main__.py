"""The command from its first moment. Loading the rest takes a second or two, and signals come before that is done."""

from __future__ import annotations

import os
import signal
import sys

from transfer_gateway import signals

_STAYING = {"serve", "demo"}


def main() -> None:
    """Run the command. SIGTERM and SIGINT end those that stay with 0, and kill the others, as is usual."""
    _open_missing()
    stays = not _STAYING.isdisjoint(sys.argv[1:2])
    if stays:
        signals.exit_at_once()
    else:
        signals.die()
    try:
        from transfer_gateway import cli  # noqa: PLC0415  after the signals

        cli.main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)  # so that a shell knows why it ended
    finally:
        if stays:
            signals.ignore()
        try:
            sys.stderr.flush()
        except (OSError, ValueError):  # Python would make exit code 120 of it
            sys.stderr = None  # so that it does not try again


def _open_missing() -> None:
    """Let no socket become stdin, stdout or stderr where one of these is closed: what is printed would go there.

    Each is opened the wrong way round, so that using it fails as if it were closed.
    """
    for number, wrong_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, wrong_way)  # the lowest that is free: this one
            os.set_inheritable(opened, True)  # noqa: FBT003  as these always are
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  until the end
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  as above


if __name__ == "__main__":
    main()
