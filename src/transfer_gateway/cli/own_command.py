"""How to run another of this program's commands, in hints that people copy."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

_NAME = "transfer-gateway"


def own_command() -> str:
    """What a shell runs from where this process was started."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # set by `uv run`, whose environment no shell has in its PATH
        return f"uv run {_NAME}"
    started = Path(sys.argv[0]).absolute()
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m transfer_gateway"
    found = shutil.which(_NAME)
    return _NAME if found and started.samefile(found) else shlex.quote(str(started))
