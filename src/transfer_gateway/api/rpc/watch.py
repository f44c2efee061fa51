"""The methods that follow executions: streams that stay open, with a message for each change."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from transfer_gateway.api.rpc import parse, search
from transfer_gateway.api.rpc.admitting import Admitting, authorization
from transfer_gateway.api.rpc.convert import to_event, to_execution

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import grpc

    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.domain.change import ExecutionChange

    Context = grpc.aio.ServicerContext[Any, Any]
    Recheck = Callable[[], Awaitable[None]]
    Changes = AsyncGenerator[ExecutionChange | None]
    Subscribe = Callable[[Reader, float, Recheck], Changes]
    # None: the subscription has begun, or nothing has changed.
    Responses = AsyncGenerator[bytes | None]

_RESPONSE = "grpc"
_FEW_EVENTS = 8  # serialized in a tenth of a millisecond


class WatchMethods(Admitting, ExecutionServiceServicer):
    """See `ExecutionService`. Responses are serialized once for all callers who get the same."""

    def WatchExecution(  # type: ignore[override]  # bytes: already serialized messages
        self, request: pb.WatchExecutionRequest, context: Context
    ) -> Responses:
        def subscribe(reader: Reader, deadline: float, recheck: Recheck) -> Changes:
            parse.require(request, "key")
            key = parse.execution_key(request.key, "key")
            return reader.watch_execution(key, after=_after(request), deadline=deadline, recheck=recheck)

        return self._watch(context, subscribe)

    def WatchExecutions(  # type: ignore[override]  # as above
        self, request: pb.WatchExecutionsRequest, context: Context
    ) -> Responses:
        def subscribe(reader: Reader, deadline: float, recheck: Recheck) -> Changes:
            wanted = search.search_input(request.filter)
            return reader.watch_executions(wanted, after=_after(request), deadline=deadline, recheck=recheck)

        return self._watch(context, subscribe)

    async def _watch(self, context: Context, subscribe: Subscribe) -> Responses:
        reader = await self._admit_counted(context)
        token = authorization(context)
        recheck = partial(self._admission.recheck, reader, lambda: token, self._certificate(context))
        changes = subscribe(reader, self._deadline(context), recheck)
        async with aclosing(changes):
            async for change in changes:
                yield None if change is None else await self._response(change, reader)

    async def _response(self, change: ExecutionChange, reader: Reader) -> bytes:
        """Both methods' responses have the same bytes."""
        key = _RESPONSE, reader.scope.version
        if len(change.events) > _FEW_EVENTS and key not in change.rendered:
            await self._loop_budget.take()
        response: bytes | None = change.rendered.get(key)  # perhaps somebody else's, meanwhile
        if response is None:
            account = reader.scope.account_of(change.execution)
            message = pb.WatchExecutionResponse(
                change=execution_pb2.ExecutionChange(
                    cursor=reader.cursor_of(change),
                    execution=to_execution(change.execution, account, {}),
                    events=map(to_event, change.events),
                )
            )
            response = change.rendered[key] = message.SerializeToString()
        return response


def _after(request: pb.WatchExecutionRequest | pb.WatchExecutionsRequest) -> str | None:
    return request.after if request.HasField("after") else None
