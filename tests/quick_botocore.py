"""Makes botocore's sessions at a third of the cost: each service that a test starts creates three.

Two pure functions take most of that time: one inspects each handler's signature, the other compares each event's name
with all aliases. Their results are the same; nothing else of botocore changes.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from botocore import compat, hooks


def make_quick() -> None:
    """For this process."""
    hooks.accepts_kwargs = _accepts_kwargs
    hooks.EventAliaser._alias_event_name = _alias_event_name


def _accepts_kwargs(handler: Any) -> object:
    code = getattr(handler, "__code__", None)
    return compat.accepts_kwargs(handler) if code is None else code.co_flags & inspect.CO_VARKEYWORDS


_alias_slowly = hooks.EventAliaser._alias_event_name


@functools.cache
def _alias(name: str) -> str:
    alias: str = _alias_slowly(hooks.EventAliaser(None), name)
    return alias


def _alias_event_name(aliaser: Any, name: str) -> str:
    if aliaser._event_aliases == hooks.EVENT_ALIASES:
        return _alias(name)
    alias: str = _alias_slowly(aliaser, name)
    return alias
