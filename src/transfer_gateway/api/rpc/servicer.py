"""The service's methods: a request becomes domain values, a use case answers, its answer becomes a message."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.api.rpc import parse
from transfer_gateway.api.rpc.active_calls import LARGE_BYTES
from transfer_gateway.api.rpc.convert import to_account, to_execution, to_failures, to_workflow
from transfer_gateway.api.rpc.errors import to_error
from transfer_gateway.api.rpc.repeated import Lookups
from transfer_gateway.api.rpc.stream_queue import StreamQueue
from transfer_gateway.api.rpc.tls import certificate_name
from transfer_gateway.core.reader import DEFAULT_MAX_AGE_S, DEFAULT_PAGE, DEFAULT_WORKFLOW_MAX_AGE_S
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import AccountNotAvailable, GatewayError
from transfer_gateway.domain.identity import AccountId, ExecutionId, Region, WorkflowId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    import grpc

    from transfer_api.v1 import execution_pb2, workflow_pb2
    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.rpc.repeated import Lookup
    from transfer_gateway.core.reader import Definitions, Reader
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.page import Entry
    from transfer_gateway.domain.workflow import Workflow

    Context = grpc.aio.ServicerContext[Any, Any]

# Of one caller: each holds its keys in memory, and at the service's end its answers are waited for.
_STREAMS_AT_ONCE = 8
_JUDGE_EVERY_S = 2.0  # as open WebSockets are
# Of the caller's time, what the answer may need to get back: a partial answer is better than none.
_WAY_BACK = 0.05
_WAY_BACK_AT_MOST_S = 0.2


class ExecutionService(ExecutionServiceServicer):
    """Every method raises GatewayErrors; `calls.py` makes statuses of them.

    `answers_to` is told a call's caller, and the size of a large answer that is made already.
    `by_certificate`: clients have certificates, and who sends no token is who its certificate says.
    """

    def __init__(
        self,
        admission: Admission,
        answers_to: Callable[[str, int], None],
        request_timeout_s: float,
        *,
        by_certificate: bool = False,
    ) -> None:
        self._admission = admission
        self._answers_to = answers_to
        self._request_timeout_s = request_timeout_s
        self._by_certificate = by_certificate
        self._loop_budget, self.stream_queue = LoopBudget(), StreamQueue(_STREAMS_AT_ONCE)
        self.lookups = Lookups()  # which read the requests of GetExecution

    async def GetExecution(  # type: ignore[override]  # bytes are a message that is made already
        self, request: Lookup, context: Context
    ) -> pb.GetExecutionResponse | bytes:
        reader = await self._admit(context)
        key, max_age_s, with_definitions = request.asked()
        execution = None if with_definitions else reader.recall(key, max_age_s=max_age_s)
        if execution is None:
            deadline = self._deadline(context)
            execution = await reader.describe(key, max_age_s=max_age_s, deadline=deadline)
            if with_definitions:
                self._answers_to(reader.caller.name, 0)
                definitions = await reader.define_steps([execution], deadline=deadline)
                return pb.GetExecutionResponse(execution=_execution(execution, reader, definitions))
        answer = self.lookups.answer(request, execution, reader.accounts.find(key.account_id))
        if len(answer) > LARGE_BYTES:
            self._answers_to(reader.caller.name, len(answer))
        return answer

    async def BatchGetExecutions(
        self, request: pb.BatchGetExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.BatchGetExecutionsResponse]:
        reader, deadline = await self._admit_named(context), self._deadline(context)
        reader.take_keys(len(request.keys))
        if reader.caller is ANONYMOUS:
            in_line: AbstractAsyncContextManager[object] = nullcontext()  # nobody's place
        else:
            in_line = self.stream_queue.slot(reader.caller.name, deadline=deadline)
        async with in_line:
            keys = await self._loop_budget.each(parse.indexed_execution_key, enumerate(request.keys))
            coming = reader.describe_each(
                keys,
                max_age_s=parse.max_age_s(request, DEFAULT_MAX_AGE_S),
                with_definitions=request.with_definitions,
                deadline=deadline,
            )
            del request  # of many keys it is larger than all else that waits while the client does not read
            judged_at = asyncio.get_running_loop().time()
            async with aclosing(coming):
                async for index, outcome in coming:
                    now = asyncio.get_running_loop().time()
                    if now - judged_at >= _JUDGE_EVERY_S:
                        judged_at = now
                        await self._judge_again(reader, context)
                    await self._loop_budget.take()
                    yield _outcome(index, keys[index], outcome, reader)

    async def FindExecution(
        self, request: pb.FindExecutionRequest, context: Context
    ) -> pb.FindExecutionResponse:
        reader, deadline = await self._admit_named(context), self._deadline(context)
        workflow_id = None
        if request.HasField("workflow_id"):
            workflow_id = parse.identifier(WorkflowId, request.workflow_id, "workflow_id")
        found = await reader.find(
            parse.identifier(ExecutionId, request.execution_id, "execution_id"),
            workflow_id,
            parse.identifiers(AccountId, request.account_ids, "account_ids"),
            parse.identifiers(Region, request.regions, "regions"),
            deadline=deadline,
        )
        execution = found.execution
        definitions = await _definitions(reader, request, [execution] if execution else [], deadline)
        return pb.FindExecutionResponse(
            execution=_execution(execution, reader, definitions) if execution else None,
            targets_asked=found.targets_asked,
            target_failures=to_failures(found.failures),
        )

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: Context
    ) -> pb.ListExecutionsResponse:
        reader, deadline = await self._admit_named(context), self._deadline(context)
        page = await reader.in_progress(
            parse.execution_filter(request.filter),
            **_page(request),
            with_details=request.with_details or request.with_definitions,
            deadline=deadline,
        )
        definitions = await _definitions(reader, request, (entry.node for entry in page.entries), deadline)

        def listed(entry: Entry[Execution]) -> pb.ListedExecution:
            return pb.ListedExecution(
                execution=_execution(entry.node, reader, definitions),
                details_error=to_error(entry.missing) if entry.missing else None,
            )

        return pb.ListExecutionsResponse(
            executions=await self._loop_budget.each(listed, page.entries),
            next_page_token=page.entries[-1].cursor if page.has_next else None,
            target_failures=to_failures(page.failures),
        )

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        reader, deadline = await self._admit_named(context), self._deadline(context)
        parse.require(request, "key")
        workflow = await reader.describe_workflow(
            parse.workflow_key(request.key, "key"),
            max_age_s=parse.max_age_s(request, DEFAULT_WORKFLOW_MAX_AGE_S),
            deadline=deadline,
        )
        return pb.GetWorkflowResponse(workflow=_workflow(workflow, reader))

    async def ListWorkflows(
        self, request: pb.ListWorkflowsRequest, context: Context
    ) -> pb.ListWorkflowsResponse:
        reader, deadline = await self._admit_named(context), self._deadline(context)
        page = await reader.list_workflows(
            parse.workflow_filter(request.filter),
            **_page(request),
            with_details=request.with_details,
            deadline=deadline,
        )

        def listed(entry: Entry[Workflow]) -> pb.ListedWorkflow:
            return pb.ListedWorkflow(
                workflow=_workflow(entry.node, reader),
                details_error=to_error(entry.missing) if entry.missing else None,
            )

        return pb.ListWorkflowsResponse(
            workflows=await self._loop_budget.each(listed, page.entries),
            next_page_token=page.entries[-1].cursor if page.has_next else None,
            target_failures=to_failures(page.failures),
        )

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        reader = await self._admit_named(context)
        return pb.ListAccountsResponse(accounts=[to_account(account) for account in reader.list_accounts()])

    async def _judge_again(self, reader: Reader, context: Context) -> None:
        """For what lasts. Raises: Unauthenticated."""
        await self._admission.judge_again(
            reader, partial(_authorization, context), self._certificate(context)
        )

    def _deadline(self, context: Context) -> float:
        """In the loop's time: the caller's, but no later than our own."""
        left_s = context.time_remaining()
        timeout_s = self._request_timeout_s
        if left_s is not None:
            timeout_s = min(timeout_s, left_s - min(left_s * _WAY_BACK, _WAY_BACK_AT_MOST_S))
        return asyncio.get_running_loop().time() + timeout_s

    def _admit(self, context: Context) -> Awaitable[Reader]:
        return self._admission.enter(
            partial(_authorization, context),
            "grpc",
            context.peer,
            certificate=self._certificate(context),
            time_remaining=context.time_remaining,
        )

    async def _admit_named(self, context: Context) -> Reader:
        """For answers that may be large: what of them waits for the client is counted as the caller's."""
        reader = await self._admit(context)
        self._answers_to(reader.caller.name, 0)
        return reader

    def _certificate(self, context: Context) -> Callable[[], str | None]:
        return partial(certificate_name, context) if self._by_certificate else _none


def _outcome(
    index: int, key: ExecutionKey, outcome: tuple[Execution, Definitions] | GatewayError, reader: Reader
) -> pb.BatchGetExecutionsResponse:
    """An outcome as the reader may see it now, which may be less than when it was made."""
    if not isinstance(outcome, GatewayError) and not reader.accounts.cover(key):
        outcome = AccountNotAvailable.of(key.account_id, key.region)
    if isinstance(outcome, GatewayError):
        return pb.BatchGetExecutionsResponse(index=index, error=to_error(outcome))
    execution, definitions = outcome
    return pb.BatchGetExecutionsResponse(
        index=index, execution=_execution(reader.scope.shown(execution), reader, definitions)
    )


def _authorization(context: Context) -> str | None:
    metadata: Any = context.invocation_metadata()  # text, where the name doesn't end in -bin
    return next((text for name, text in metadata if name == "authorization"), None)


def _none() -> None:
    return None


async def _definitions(
    reader: Reader,
    request: Any,  # noqa: ANN401  any that has the option
    executions: Iterable[Execution],
    deadline: float,
) -> Definitions:
    return await reader.define_steps(executions if request.with_definitions else (), deadline=deadline)


def _page(request: Any) -> dict[str, Any]:  # noqa: ANN401  any that has pages
    return {
        "first": request.page_size if request.HasField("page_size") else DEFAULT_PAGE,
        "after": request.page_token if request.HasField("page_token") else None,
    }


def _execution(execution: Execution, reader: Reader, definitions: Definitions) -> execution_pb2.Execution:
    return to_execution(execution, reader.accounts.find(execution.account_id), definitions)


def _workflow(workflow: Workflow, reader: Reader) -> workflow_pb2.Workflow:
    return to_workflow(workflow, reader.accounts.find(workflow.account_id))
