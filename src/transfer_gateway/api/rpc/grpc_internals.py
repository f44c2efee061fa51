"""Every private part of grpc.aio that the gRPC server uses.

In grpcio 1.85.3 `AioServer._server_main_loop` decodes the path of each call. One path that is not UTF-8 ends that loop,
and with it the server. Here the paths of our methods are registered with grpc's core, which compares bytes. All other
calls are handled as calls of an unknown method, without reading the path.

Of `grpc._cython.cygrpc`:

- `AioServer`, with `add_registered_method_handlers` and `is_running`. Its `_server_main_loop` starts the server and
  ends with it. It gets calls from `_request_call` and `_request_registered_call`, which are overridden to return none;
  `_AioServerByMethod` calls the original ones itself.
- `_handle_rpc` and `_schedule_rpc_coro`, which that loop runs for each call; `_MethodResolver`, in which `_handle_rpc`
  finds the handler; `_RequestCallError`, which both request methods raise when the server ends; `get_working_loop`.

Of `grpc.aio._server`: `Server`, with `_server`, an `AioServer`, and `_loop`, its event loop. Of grpc's tasks: their
name, `rpc_task`, and that their coroutine has the handler's task among its variables.

Fallback: grpc.aio's own server, also for an untested version. It ends at the first path that is not UTF-8; then
`until_ended` raises, and the process ends.
"""

# ruff: noqa: SLF001  the purpose of this module

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # types-grpcio lacks it

from transfer_gateway.library_checks import Check, PartDiffers, found, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    AnyTask = asyncio.Task[object]

_cygrpc: Any = cygrpc  # private parts have no types
AioServer: Any = found("grpc._cython.cygrpc", "AioServer")
Server: Any = found("grpc.aio._server", "Server")
_VERSIONS = "1.85."
_RETRY_S = 0.01  # if core returns no call although the server runs
_LONG_S = 3600.0
_MORE_CALLS = 4  # of each method at the end, each of which costs the event loop a round
_CALL_TASK = "rpc_task"


class ServerEnded(Exception):
    """The gRPC server ended by itself."""


def make_server(
    methods: Iterable[str],
    handler: grpc.GenericRpcHandler,
    options: Sequence[tuple[str, int]],
    max_calls: int,
    not_counted: Callable[[], int],
) -> grpc.aio.Server:
    """A server whose calls `handler` handles; for methods other than these, it gets the name "".

    More than `max_calls` at a time are rejected with RESOURCE_EXHAUSTED, without those that `not_counted` returns the
    number of, which grpc.aio's own server counts, too.
    """
    with Check("grpcio", fallback="grpc.aio's own server, which ends at a path that is not UTF-8") as check:
        _check_parts()
    if check.passed:
        ours: Any = _ServerByMethod(
            tuple(methods), handler, options, lambda calls: calls - not_counted() >= max_calls
        )
        return cast("grpc.aio.Server", ours)
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=max_calls)
    server.add_generic_rpc_handlers((handler,))
    return server


async def until_ended(server: grpc.aio.Server) -> None:
    """Wait until a started server ends. Raises: ServerEnded, always."""
    try:
        # With a timeout, because otherwise cancellation would damage the server.
        while await server.wait_for_termination(_LONG_S):
            pass
    except Exception as error:  # any error that ended grpc's loop
        raise ServerEnded(repr(error)) from error
    raise ServerEnded


def accept_faster(server: grpc.aio.Server) -> None:
    """Let core give several calls at once; grpc's own server takes one after the other."""
    if isinstance(server, _ServerByMethod):
        server._server.accept(_MORE_CALLS)


def tasks_of_calls() -> list[AnyTask]:
    """The tasks that grpc runs for calls, in addition to their handlers."""
    return [task for task in asyncio.all_tasks() if task.get_name() == _CALL_TASK]


def handlers_of(task: AnyTask) -> set[AnyTask]:
    """The handler's task that one of these tasks waits for: a variable of its coroutine."""
    return {
        variable
        for variables in gc.get_referents(task.get_coro())
        for variable in gc.get_referents(variables)
        if isinstance(variable, asyncio.Task)
    }


def _check_parts() -> None:
    """Raises: PartDiffers."""
    if not grpc.__version__.startswith(_VERSIONS):
        raise PartDiffers(f"{grpc.__version__}: only {_VERSIONS}* is known")
    require(Server)
    require(
        AioServer,
        "_server_main_loop",
        "_request_call",
        "_request_registered_call",
        "add_registered_method_handlers",
        "is_running",
    )
    require(
        _cygrpc,
        "_handle_rpc",
        "_schedule_rpc_coro",
        "_MethodResolver",
        "_RequestCallError",
        "get_working_loop",
    )


class _AioServerByMethod(AioServer):  # type: ignore[misc]  # it is Any
    """Accepts calls by method. grpc's own loop runs beside it until the server ends, and gets no calls."""

    def __init__(
        self,
        loop: object,
        methods: Sequence[str],
        handler: grpc.GenericRpcHandler,
        options: Sequence[tuple[str, int]],
        is_full: Callable[[int], bool],
    ) -> None:
        super().__init__(loop, None, (), (), tuple(options), None)
        # Only registers the methods with core; these handlers are never used.
        self.add_registered_method_handlers(dict.fromkeys(methods))
        self._methods = methods
        self._resolver = _cygrpc._MethodResolver([handler], {})
        self._is_full = is_full  # with so many calls
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

        async def run_grpc_loop() -> None:
            with suppress(_cygrpc._RequestCallError):
                await run(started)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_grpc_loop())
            await asyncio.shield(started)
            async with asyncio.TaskGroup() as self._accepting:
                self.accept(1)
            self._ended.set()

    def accept(self, count: int) -> None:
        """Let core give so many more calls of each method at once. Those that wait in core are cancelled at the end."""
        for _ in range(count):
            self._accepting.create_task(self._accept("", super()._request_call))
            for method in self._methods:
                request = super()._request_registered_call
                self._accepting.create_task(self._accept(method, request, method.encode()))

    async def _accept(self, method: str, request: Any, *which: bytes) -> None:  # noqa: ANN401  grpc's
        """Accept calls of a method, one after the other, until the server ends."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                state = await request(*which)
            except _cygrpc._RequestCallError:
                if not self.is_running():
                    return
                await asyncio.sleep(_RETRY_S)
                continue
            is_refused = self._is_full(len(self._served))
            answering = _cygrpc._handle_rpc(method, self._resolver, (), state, loop, is_refused)
            task = loop.create_task(
                _cygrpc._schedule_rpc_coro(answering, state, loop, method), name=_CALL_TASK
            )
            del state, answering  # else they would keep the call in memory until the next one
            kept = self._refused if is_refused else self._served
            kept.add(task)
            task.add_done_callback(kept.discard)
            del task


class _ServerByMethod(Server):  # type: ignore[misc]  # as above
    def __init__(
        self,
        methods: Sequence[str],
        handler: grpc.GenericRpcHandler,
        options: Sequence[tuple[str, int]],
        is_full: Callable[[int], bool],
    ) -> None:
        self._loop = _cygrpc.get_working_loop()
        self._server = _AioServerByMethod(self._loop, methods, handler, options, is_full)
