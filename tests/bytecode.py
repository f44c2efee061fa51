"""Imported first, for quick imports.

Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile all modules again: here this
process and its children write bytecode beside the sources, as Python does elsewhere. Garbage is not collected before
conftest.py does: modules and tests stay.
"""

from __future__ import annotations

import gc
import os
import sys

gc.disable()
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
