"""The service's methods: parse the request, call the core, convert the result."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.rpc import parse, search
from transfer_gateway.api.rpc.active_calls import LARGE_BYTES
from transfer_gateway.api.rpc.convert import (
    to_account,
    to_event,
    to_execution,
    to_failures,
    to_server,
    to_workflow,
)
from transfer_gateway.api.rpc.errors import to_error
from transfer_gateway.api.rpc.lookup_cache import LookupCache
from transfer_gateway.api.rpc.stream_queue import StreamQueue
from transfer_gateway.api.rpc.watch import WatchMethods
from transfer_gateway.core.find_use_cases import DEFAULT_MAX_AGE_S, DEFAULT_PAGE
from transfer_gateway.core.history_use_cases import DEFAULT_EVENTS
from transfer_gateway.core.workflow_use_cases import DEFAULT_WORKFLOW_MAX_AGE_S
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import AccountNotAvailable, GatewayError
from transfer_gateway.domain.identity import AccountId, ExecutionId, Region, WorkflowId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    import grpc

    from transfer_api.v1 import execution_pb2, server_pb2, workflow_pb2
    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.rpc.lookup_cache import Lookup
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.core.workflow_use_cases import Definitions
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.page import Entry
    from transfer_gateway.domain.server import Server
    from transfer_gateway.domain.workflow import Workflow

    Context = grpc.aio.ServicerContext[Any, Any]

# Per caller: each stream holds its keys in memory, and shutdown waits for its responses.
_CONCURRENT_STREAMS = 8
_REAUTHENTICATE_EVERY_S = 2.0  # as for open WebSockets


class ExecutionService(WatchMethods):
    """Methods raise GatewayErrors; `calls.py` converts them to statuses."""

    def __init__(
        self,
        admission: Admission,
        set_caller: Callable[[str, int], None],
        request_timeout_s: float,
        *,
        by_certificate: bool = False,
    ) -> None:
        super().__init__(admission, set_caller, request_timeout_s, by_certificate=by_certificate)
        self.stream_queue = StreamQueue(_CONCURRENT_STREAMS)
        self.lookups = LookupCache()  # deserializes the requests of GetExecution

    async def GetExecution(  # type: ignore[override]  # bytes: an already serialized message
        self, request: Lookup, context: Context
    ) -> pb.GetExecutionResponse | bytes:
        reader = await self._admit(context)
        key, max_age_s, with_definitions, with_history, in_progress_only = request.parameters()
        joined = with_definitions or with_history
        execution = None if joined else reader.peek(key, max_age_s=max_age_s)
        if execution is None:
            deadline = self._deadline(context)
            reader.with_records = with_history
            execution = await reader.describe(
                key, max_age_s=max_age_s, deadline=deadline, in_progress_only=in_progress_only
            )
            if joined:
                self._set_caller(reader.caller.name, 0)
                definitions = await reader.define_steps(
                    [execution] if with_definitions else (), deadline=deadline
                )
                return pb.GetExecutionResponse(execution=_execution(execution, reader, definitions))
        response = self.lookups.respond(request, execution, reader.scope)
        if len(response) > LARGE_BYTES:
            self._set_caller(reader.caller.name, len(response))
        return response

    async def BatchGetExecutions(
        self, request: pb.BatchGetExecutionsRequest, context: Context
    ) -> AsyncIterator[pb.BatchGetExecutionsResponse]:
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        reader.take_keys(len(request.keys))
        if reader.caller is ANONYMOUS:
            slot: AbstractAsyncContextManager[object] = nullcontext()  # anonymous callers are not told apart
        else:
            slot = self.stream_queue.slot(reader.caller.name, deadline=deadline)
        async with slot:
            keys = await self._loop_budget.map(parse.indexed_execution_key, enumerate(request.keys))
            reader.with_records = request.with_history
            outcomes = reader.describe_each(
                keys,
                max_age_s=parse.max_age_s(request, DEFAULT_MAX_AGE_S),
                with_definitions=request.with_definitions,
                deadline=deadline,
                in_progress_only=request.in_progress_only,
            )
            del request  # with many keys, the largest object held while the client does not read
            authenticated_at = asyncio.get_running_loop().time()
            async with aclosing(outcomes):
                async for index, outcome in outcomes:
                    now = asyncio.get_running_loop().time()
                    if now - authenticated_at >= _REAUTHENTICATE_EVERY_S:
                        authenticated_at = now
                        await self._reauthenticate(reader, context)
                    await self._loop_budget.take()
                    yield _outcome(index, keys[index], outcome, reader)

    async def FindExecution(
        self, request: pb.FindExecutionRequest, context: Context
    ) -> pb.FindExecutionResponse:
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        workflow_id = None
        if request.HasField("workflow_id"):
            workflow_id = parse.identifier(WorkflowId, request.workflow_id, "workflow_id")
        reader.with_records = request.with_history
        found = await reader.find(
            parse.identifier(ExecutionId, request.execution_id, "execution_id"),
            workflow_id,
            parse.identifiers(AccountId, request.account_ids, "account_ids"),
            parse.identifiers(Region, request.regions, "regions"),
            deadline=deadline,
            max_age_s=parse.max_age_s(request, None),
            in_progress_only=request.in_progress_only,
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
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        reader.with_records = request.with_history
        with_details = request.with_details or request.with_definitions
        page = await reader.in_progress(
            parse.execution_filter(request.filter),
            **_page(request),
            with_details=with_details,
            with_results=with_details,
            max_age_s=parse.max_age_s(request, None),
            deadline=deadline,
        )
        definitions = await _definitions(reader, request, (entry.node for entry in page.entries), deadline)

        def listed(entry: Entry[Execution]) -> pb.ListedExecution:
            found = pb.ListedExecution(
                execution=_execution(entry.node, reader, definitions),
                details_error=to_error(entry.missing) if entry.missing else None,
            )
            if not with_details and not request.with_history:
                found.execution.ClearField("results")
            return found

        return pb.ListExecutionsResponse(
            executions=await self._loop_budget.map(listed, page.entries),
            next_page_token=page.end_cursor if page.has_next else None,
            target_failures=to_failures(page.failures),
            hidden_filters=search.to_hidden_filters(page.hidden_filters),
        )

    async def SearchExecutions(
        self, request: pb.SearchExecutionsRequest, context: Context
    ) -> pb.SearchExecutionsResponse:
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        page = await reader.search(
            search.search_input(request.filter),
            search.search_order(request.order_by),
            search.window(request),
            with_counts=request.with_counts,
            with_coverage=request.with_coverage,
            with_changes_cursor=request.with_changes_cursor,
            deadline=deadline,
        )
        executions = await self._loop_budget.map(
            lambda entry: _execution(entry.node, reader, {}), page.entries
        )
        return search.to_search_response(page, executions)

    async def ListCoverage(
        self, request: pb.ListCoverageRequest, context: Context
    ) -> pb.ListCoverageResponse:
        reader = await self._admit_counted(context)
        page, summary = reader.list_coverage(
            search.coverage_filter(request.filter), gaps_only=request.filter.gaps_only, **_page(request)
        )
        return pb.ListCoverageResponse(
            coverage=await self._loop_budget.map(lambda entry: search.to_coverage(entry.node), page.entries),
            next_page_token=page.entries[-1].cursor if page.has_next else None,
            summary=search.to_summary(summary),
        )

    async def GetViewer(self, request: pb.GetViewerRequest, context: Context) -> pb.GetViewerResponse:
        reader = await self._admit_counted(context)
        return pb.GetViewerResponse(viewer=search.to_viewer(reader.get_viewer()))

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        reader, deadline = await self._admit_counted(context), self._deadline(context)
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
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        page = await reader.list_workflows(
            parse.target_filter(request.filter),
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
            workflows=await self._loop_budget.map(listed, page.entries),
            next_page_token=page.end_cursor if page.has_next else None,
            target_failures=to_failures(page.failures),
        )

    async def ListExecutionEvents(
        self, request: pb.ListExecutionEventsRequest, context: Context
    ) -> pb.ListExecutionEventsResponse:
        reader = await self._admit_counted(context)
        parse.require(request, "key")
        page = await reader.list_events(
            parse.execution_key(request.key, "key"), **_page(request, DEFAULT_EVENTS)
        )
        return pb.ListExecutionEventsResponse(
            events=await self._loop_budget.map(to_event, [event for _, event in page.entries]),
            next_page_token=page.entries[-1][0] if page.has_next else None,
        )

    async def ListServers(self, request: pb.ListServersRequest, context: Context) -> pb.ListServersResponse:
        reader, deadline = await self._admit_counted(context), self._deadline(context)
        page = await reader.list_servers(
            parse.target_filter(request.filter), **_page(request), deadline=deadline
        )

        def listed(entry: Entry[Server]) -> server_pb2.Server:
            return to_server(entry.node, reader.scope.account_of(entry.node))

        return pb.ListServersResponse(
            servers=await self._loop_budget.map(listed, page.entries),
            next_page_token=page.end_cursor if page.has_next else None,
            target_failures=to_failures(page.failures),
        )

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        reader = await self._admit_counted(context)
        return pb.ListAccountsResponse(accounts=[to_account(account) for account in reader.list_accounts()])


def _outcome(
    index: int, key: ExecutionKey, outcome: tuple[Execution, Definitions] | GatewayError, reader: Reader
) -> pb.BatchGetExecutionsResponse:
    """An outcome as the reader may see it now: access may have been revoked since it was fetched."""
    if not isinstance(outcome, GatewayError) and not reader.scope.covers(key):
        outcome = AccountNotAvailable.of(key.account_id, key.region)
    if isinstance(outcome, GatewayError):
        return pb.BatchGetExecutionsResponse(index=index, error=to_error(outcome))
    execution, definitions = outcome
    return pb.BatchGetExecutionsResponse(
        index=index, execution=_execution(reader.scope.redact(execution), reader, definitions)
    )


async def _definitions(
    reader: Reader,
    request: Any,  # noqa: ANN401  any that has the option
    executions: Iterable[Execution],
    deadline: float,
) -> Definitions:
    return await reader.define_steps(executions if request.with_definitions else (), deadline=deadline)


def _page(request: Any, default: int = DEFAULT_PAGE) -> dict[str, Any]:  # noqa: ANN401  any that has pages
    return {
        "first": request.page_size if request.HasField("page_size") else default,
        "after": request.page_token if request.HasField("page_token") else None,
    }


def _execution(execution: Execution, reader: Reader, definitions: Definitions) -> execution_pb2.Execution:
    return to_execution(execution, reader.scope.account_of(execution), definitions)


def _workflow(workflow: Workflow, reader: Reader) -> workflow_pb2.Workflow:
    return to_workflow(workflow, reader.scope.account_of(workflow))
