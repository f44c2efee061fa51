"""Self-tests of the private parts of libraries that this service uses. See docs/decisions/0013-library-internals.md.

Each library's private parts are used in one module, named `*_internals.py`, whose docstring lists them. If its
self-test fails, the service falls back to the library's public API and logs one warning.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from types import CodeType
from typing import TYPE_CHECKING, Any, Self

from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from types import TracebackType

_log = get_logger(__name__)
_STARRED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_reported: set[tuple[str, str]] = set()  # library and fallback


class PartDiffers(Exception):
    """A private part of a library is missing or behaves differently; the message names it."""


class Check:
    """A context manager for a self-test. Afterwards `passed` is whether it raised nothing.

    A failure is logged with the distribution's version, the reason, and `fallback`, which describes what happens
    instead. Each fallback is logged once per process, with its first reason.
    """

    def __init__(self, distribution: str, *, fallback: str) -> None:
        self.passed = False
        self._distribution = distribution
        self._fallback = fallback

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.passed = error is None
        if not isinstance(error, Exception):
            return False
        reason = str(error) if isinstance(error, PartDiffers) else repr(error)
        if (self._distribution, self._fallback) not in _reported:
            _reported.add((self._distribution, self._fallback))
            _log.warning(
                "library_internals_differ",
                library=self._distribution,
                version=version(self._distribution),
                reason=reason,
                fallback=self._fallback,
            )
        return True


class _Missing:
    """Replaces a class that a library no longer has: can be subclassed, and fails `require`."""

    def __class_getitem__(cls, _parameters: object) -> type[_Missing]:
        return cls


def found(module: str, name: str) -> Any:  # noqa: ANN401  any object
    """The library's object of that name; if missing, a class that fails `require`."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return type(f"{module}.{name}", (_Missing,), {})


def require(owner: object, *parts: str) -> None:
    """Check that `owner` has these parts: "name", "nested.name", or a callable with its parameters, "f(a, b)".

    Parameters are the names of the first ones; they include `self` if `owner` is a class. Raises: PartDiffers.
    """
    if isinstance(owner, type) and issubclass(owner, _Missing):
        raise PartDiffers(f"{owner.__name__} is missing")
    for part in parts:
        path, is_callable, parameters = part.rstrip(")").partition("(")
        name = owner.__qualname__ if isinstance(owner, type) else type(owner).__qualname__
        try:
            found = attrgetter(path)(owner)
        except AttributeError:
            raise PartDiffers(f"{name}.{path} is missing") from None
        if is_callable:
            expected = parameters.split(", ") if parameters else []
            has = _parameters(found)
            if has[: len(expected)] != expected:
                raise PartDiffers(f"{name}.{path} takes other parameters: {', '.join(has)}")


def _parameters(function: Any) -> list[str]:  # noqa: ANN401  any callable
    """Their names. `inspect.signature` takes 0.1 ms, which is most of a self-test."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or code.co_flags & _STARRED or hasattr(function, "__wrapped__"):
        return list(inspect.signature(function).parameters)
    return list(code.co_varnames[inspect.ismethod(function) : code.co_argcount + code.co_kwonlyargcount])


def expect(what: str, *, holds: bool) -> None:
    """Raises: PartDiffers, if `holds` is false."""
    if not holds:
        raise PartDiffers(what)
