"""structlog, loaded as if there were no rich: it would load 3 MB for traces in colours, which we don't have."""

from __future__ import annotations

import sys

_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say that there is none
try:
    import structlog
finally:
    if _rich is None:
        del sys.modules["rich"]
    else:
        sys.modules["rich"] = _rich

__all__ = ["structlog"]
