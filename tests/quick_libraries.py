"""Makes a service, of which tests start many, cheaper to start, and quicker to end by 0.15 s.

It creates three of botocore's sessions. A few pure functions take most of that time: one inspects each handler's
signature, one compares each event's name with all aliases, one copies all handlers, one registers 120 of them,
one makes the classes of a service's errors; another reads the version of an installed library. uvicorn's server
looks ten times a second whether it should end. Here all have the same results, sooner; nothing else of these libraries
changes.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import inspect
from copy import copy
from types import SimpleNamespace
from typing import Any

import uvicorn.server
from botocore import compat, errorfactory, handlers, hooks, session

_TICKS_FASTER = 5


def make_quick() -> None:
    """For this process."""
    hooks.accepts_kwargs = _accepts_kwargs
    hooks.EventAliaser._alias_event_name = _alias_event_name
    hooks._PrefixTrie._recursive_copy = _recursive_copy
    session.Session._register_builtin_handlers = _register_handlers
    errorfactory.ClientExceptionsFactory._create_client_exceptions = _create_exceptions
    importlib.metadata.Distribution.metadata = property(_metadata)  # type: ignore[assignment, method-assign]
    uvicorn.server.asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": _tick})  # type: ignore[assignment, attr-defined]


async def _tick(delay_s: float) -> None:
    """uvicorn's own pause, shorter. Where waits are short anyway, more ticks would only take CPU."""
    is_usual = type(asyncio.get_running_loop()).time is asyncio.BaseEventLoop.time
    await asyncio.sleep(delay_s / _TICKS_FASTER if is_usual else delay_s)  # uvicorn's own, shorter


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


def _recursive_copy(trie: Any, node: dict[str, Any]) -> dict[str, Any]:
    """Without the `copy` module, for each of a session's 400 nodes."""
    copied = {}
    for key, value in node.items():
        if type(value) is dict:
            copied[key] = _recursive_copy(trie, value)
        elif type(value) is hooks.NodeList:
            copied[key] = hooks.NodeList(value.first[:], value.middle[:], value.last[:])
        else:
            copied[key] = value
    return copied


_registered: dict[tuple[type, int], Any] = {}
_register_slowly = session.Session._register_builtin_handlers


def _register_handlers(of: Any, events: Any) -> None:
    """All new sessions have the same; moto adds some to them when it is imported."""
    emitter = of._original_handler
    kind = type(emitter), len(handlers.BUILTIN_HANDLERS)
    if kind in _registered:
        vars(emitter).update(vars(copy(_registered[kind])))
    else:
        _register_slowly(of, events)
        _registered[kind] = copy(emitter)


_exceptions: dict[int, tuple[Any, Any]] = {}
_create_exceptions_slowly = errorfactory.ClientExceptionsFactory._create_client_exceptions


def _create_exceptions(factory: Any, model: Any) -> Any:
    """By the description, which a loader reads once and keeps."""
    description = model._service_description
    if id(description) not in _exceptions:
        _exceptions[id(description)] = description, _create_exceptions_slowly(factory, model)
    return _exceptions[id(description)][1]


_by_path: dict[str, Any] = {}
_read_metadata = importlib.metadata.Distribution.metadata.fget  # type: ignore[attr-defined]  # a property


def _metadata(of: Any) -> Any:
    """An installed distribution doesn't change."""
    path = str(getattr(of, "_path", ""))
    if path not in _by_path:
        _by_path[path] = _read_metadata(of)
    return _by_path[path]
