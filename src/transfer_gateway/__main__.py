"""The entry point. Handles signals first, since importing the rest takes a second or two."""

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
        os.kill(os.getpid(), signal.SIGINT)  # so that a shell sees why it ended
    finally:
        if stays:
            signals.ignore()
        try:
            sys.stderr.flush()
        except (OSError, ValueError):  # Python would exit with code 120
            sys.stderr = None  # so that Python does not flush again


def _open_missing() -> None:
    """Open stdin, stdout and stderr if they are closed: otherwise a socket could get their number and receive output.

    Each is opened in the wrong direction, so that using it fails as if it were closed.
    """
    for number, wrong_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, wrong_way)  # gets the lowest free number: this one
            os.set_inheritable(opened, True)  # noqa: FBT003  as standard streams are
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  open until exit
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  as above


if __name__ == "__main__":
    main()
