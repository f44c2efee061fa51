"""Everything private of grpc.aio that the gRPC server uses. pyproject.toml keeps grpcio to the versions that have it.

Why: in grpcio 1.85.3 `AioServer._server_main_loop` decodes the path of each call. One path that is not UTF-8 ends that
loop, and the server with it. So the paths of our methods are registered with grpc's core, which compares bytes. Every
other call is answered as that of an unknown method, and its path is never read.

What is used, of `grpc._cython.cygrpc`:

- `AioServer`, with `add_registered_method_handlers` and `is_running`: its `_server_main_loop` starts the server and
  ends with it. The calls it would take it gets from `_request_call` and `_request_registered_call`; here these give it
  none, and the real ones are asked by `_Accepting`.
- `_handle_rpc` and `_schedule_rpc_coro`: what that loop runs for each call; `_MethodResolver`: where the first finds
  the handler; `_RequestCallError`: what the two requests above raise at the server's end.

Of `grpc.aio._server`: `Server`, whose `_server` is one of these, and `_loop` its event loop, `get_working_loop`'s. Of
grpc's tasks: the name, `rpc_task`, and that such a task's coroutine has the task of the handler among its variables.

Where the version is another, or a part is missing, grpc.aio's own server stands in, and a warning says so. It ends at
the first path that is not UTF-8; `until_ended` tells of that, and the process ends.
"""

# ruff: noqa: SLF001  that is what it is for

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

from transfer_gateway.library_checks import Check, PartDiffers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    AnyTask = asyncio.Task[object]

_cygrpc: Any = cygrpc  # what is private has no types
_aio_server: Any = _server
_VERSIONS = "1.85."
_PARTS = (
    "AioServer._server_main_loop",
    "AioServer._request_call",
    "AioServer._request_registered_call",
    "AioServer.is_running",
    "_handle_rpc",
    "_schedule_rpc_coro",
    "_MethodResolver",
    "_RequestCallError",
    "get_working_loop",
)
_AGAIN_AFTER_S = 0.01  # where core gives no call though the server runs
_LONG_S = 3600.0
_CALLS_TASK = "rpc_task"


class ServerEnded(Exception):
    """The gRPC server ended by itself."""


def make_server(
    methods: Iterable[str],
    handler: grpc.GenericRpcHandler,
    options: Sequence[tuple[str, int]],
    max_calls: int,
) -> grpc.aio.Server:
    """A server whose calls `handler` answers. Those of other methods than these have the name "" there.

    More than `max_calls` at a time are answered with RESOURCE_EXHAUSTED.
    """
    with Check("grpcio", fallback="grpc.aio's own server, which ends at a path that is not UTF-8") as check:
        lack = _lack()
        if lack is not None:
            raise PartDiffers(lack)
    if check.passed:
        ours: Any = _ServerOfOurs(tuple(methods), handler, options, max_calls)
        return cast("grpc.aio.Server", ours)
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=max_calls)
    server.add_generic_rpc_handlers((handler,))
    return server


async def until_ended(server: grpc.aio.Server) -> None:
    """Wait for the end of a server that has started. Raises: ServerEnded, always."""
    try:
        while await server.wait_for_termination(_LONG_S):  # without a timeout a cancel would harm the server
            pass
    except Exception as error:  # of whatever kind ended grpc's loop
        raise ServerEnded(repr(error)) from error
    raise ServerEnded


def tasks_of_calls() -> list[AnyTask]:
    """Those that grpc runs for calls, beside their handlers."""
    return [task for task in asyncio.all_tasks() if task.get_name() == _CALLS_TASK]


def handlers_of(task: AnyTask) -> set[AnyTask]:
    """The task that runs the handler for one of these, which waits for it: among its coroutine's variables."""
    return {
        variable
        for variables in gc.get_referents(task.get_coro())
        for variable in gc.get_referents(variables)
        if isinstance(variable, asyncio.Task)
    }


def _lack() -> str | None:
    """Why grpc's own server must do; None: it need not."""
    if not grpc.__version__.startswith(_VERSIONS):
        return f"{grpc.__version__}: only {_VERSIONS}* is known"
    for part in _PARTS:
        found = _cygrpc
        for name in part.split("."):
            found = getattr(found, name, None)
        if found is None:
            return f"{part} is missing"
    return None


if _lack() is None:

    class _Accepting(_cygrpc.AioServer):  # type: ignore[misc]  # it is Any
        """Takes calls by their methods: grpc's loop waits beside it, without any, until the server's end."""

        def __init__(
            self,
            loop: object,
            methods: Sequence[str],
            handler: grpc.GenericRpcHandler,
            options: Sequence[tuple[str, int]],
            max_calls: int,
        ) -> None:
            super().__init__(loop, None, (), (), tuple(options), None)
            # Only to have them registered with core: no handler is looked for there.
            self.add_registered_method_handlers(dict.fromkeys(methods))
            self._methods = methods
            self._resolver = _cygrpc._MethodResolver([handler], {})
            self._max_calls = max_calls
            self._served: set[AnyTask] = set()
            self._refused: set[AnyTask] = set()
            self._ended = asyncio.Event()

        async def _request_call(self) -> None:
            await self._ended.wait()
            raise _cygrpc._RequestCallError

        async def _request_registered_call(self, _method: bytes) -> None:
            await self._request_call()

        async def _server_main_loop(self, started: asyncio.Future[bool]) -> None:
            run = super()._server_main_loop

            async def run_grpcs() -> None:
                with suppress(_cygrpc._RequestCallError):
                    await run(started)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run_grpcs())
                await asyncio.shield(started)
                async with asyncio.TaskGroup() as accepting:
                    accepting.create_task(self._accept("", super()._request_call))
                    for method in self._methods:
                        accepting.create_task(
                            self._accept(method, super()._request_registered_call, method.encode())
                        )
                self._ended.set()

        async def _accept(self, method: str, request: Any, *which: bytes) -> None:  # noqa: ANN401  grpc's
            """Take calls of a method, one after the other, until the server's end."""
            loop = asyncio.get_running_loop()
            while True:
                try:
                    state = await request(*which)
                except _cygrpc._RequestCallError:
                    if not self.is_running():
                        return
                    await asyncio.sleep(_AGAIN_AFTER_S)
                    continue
                is_refused = len(self._served) >= self._max_calls
                answering = _cygrpc._handle_rpc(method, self._resolver, (), state, loop, is_refused)
                task = loop.create_task(
                    _cygrpc._schedule_rpc_coro(answering, state, loop, method), name=_CALLS_TASK
                )
                del state, answering  # which would keep the call until the next one comes
                kept = self._refused if is_refused else self._served
                kept.add(task)
                task.add_done_callback(kept.discard)
                del task

    class _ServerOfOurs(_aio_server.Server):  # type: ignore[misc]  # as above
        def __init__(
            self,
            methods: Sequence[str],
            handler: grpc.GenericRpcHandler,
            options: Sequence[tuple[str, int]],
            max_calls: int,
        ) -> None:
            self._loop = _cygrpc.get_working_loop()
            self._server = _Accepting(self._loop, methods, handler, options, max_calls)
