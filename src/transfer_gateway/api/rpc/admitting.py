"""What every method begins with: who calls, and by when to answer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.api.rpc.tls import certificate_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import grpc

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.core.use_cases import Reader

    Context = grpc.aio.ServicerContext[Any, Any]

# Part of the caller's deadline reserved for the response's way back: a partial response is better than none.
_RETURN_SHARE = 0.05
_MAX_RETURN_S = 0.2


class Admitting:
    """Base of the service's methods.

    `set_caller`: called with a call's caller, and with the size of a large response that is ready.
    `by_certificate`: clients have certificates; without a token, the certificate identifies the caller.
    """

    def __init__(
        self,
        admission: Admission,
        set_caller: Callable[[str, int], None],
        request_timeout_s: float,
        *,
        by_certificate: bool,
    ) -> None:
        self._admission = admission
        self._set_caller = set_caller
        self._request_timeout_s = request_timeout_s
        self._by_certificate = by_certificate
        self._loop_budget = LoopBudget()

    def _admit(self, context: Context) -> Awaitable[Reader]:
        return self._admission.enter(
            partial(authorization, context),
            "grpc",
            context.peer,
            certificate=self._certificate(context),
            time_remaining=context.time_remaining,
        )

    async def _admit_counted(self, context: Context) -> Reader:
        """For potentially large responses: their unread bytes are counted per caller."""
        reader = await self._admit(context)
        self._set_caller(reader.caller.name, 0)
        return reader

    async def _reauthenticate(self, reader: Reader, context: Context) -> None:
        """Repeated during long streams. Raises: Unauthenticated."""
        await self._admission.recheck(reader, partial(authorization, context), self._certificate(context))

    def _deadline(self, context: Context) -> float:
        """In loop time: the caller's deadline, but no later than our own."""
        left_s = context.time_remaining()
        timeout_s = self._request_timeout_s
        if left_s is not None:
            timeout_s = min(timeout_s, left_s - min(left_s * _RETURN_SHARE, _MAX_RETURN_S))
        return asyncio.get_running_loop().time() + timeout_s

    def _certificate(self, context: Context) -> Callable[[], str | None]:
        return partial(certificate_name, context) if self._by_certificate else _none


def authorization(context: Context) -> str | None:
    metadata: Any = context.invocation_metadata()  # str, unless the name ends in -bin
    values = [text for name, text in metadata if name == "authorization"]
    return ", ".join(values) if values else None  # as several HTTP headers are combined: not a token then


def _none() -> None:
    return None
