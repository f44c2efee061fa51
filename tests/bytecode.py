"""Imported first, for quick imports.

Where Python may not write bytecode beside the sources, each process would compile all modules again: this process and
its children keep it in pytest's cache. Garbage is not collected before conftest.py does: modules and tests stay.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / ".pytest_cache" / "bytecode"

gc.disable()
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(_FOLDER)
