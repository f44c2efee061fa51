"""Shared tasks inherit nothing from the caller that starts them, except what it passes explicitly."""

from __future__ import annotations

import ast
import asyncio
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_gateway.core.quota import CHARGED_QUOTA, Quota, QuotaLimits
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.telemetry import LOG_IDS, Requests, context_of, current_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer_gateway.telemetry import Request

SOURCE = Path(__file__).parents[1] / "src" / "transfer_gateway"
LIMITS = QuotaLimits(1, 1, 1, 1, 1, 1, 1, 1)
SECRET: ContextVar[str | None] = ContextVar("secret", default=None)
# Tasks that are cancelled and awaited by the function that starts them, or that start with the service.
OWNED = {
    "api/graphql/exchange.py",
    "api/graphql/websocket.py",
    "api/http_server.py",
    "api/rpc/calls.py",
    "api/rpc/grpc_internals.py",
    "api/rpc/server.py",
    "aws/organizations.py",
    "aws/own_credentials.py",
    "core/fanout.py",
    "core/find.py",
    "core/follower.py",
    "history/sqlite.py",
    "server.py",
    "telemetry/worker_metrics.py",
    "workers.py",
}


async def seen() -> tuple[str | None, Quota | None, Request | None, Mapping[str, str]]:
    return SECRET.get(), CHARGED_QUOTA.get(), current_request(), LOG_IDS.get()


async def test_a_shared_task_has_no_caller() -> None:
    """Neither the starter's credentials, nor its quota, nor its request: other callers may wait for it."""
    request = Requests(slow_s=1).begin("graphql", "execution", "first")
    SECRET.set("the first caller's")
    CHARGED_QUOTA.set(Quota(LIMITS))
    LOG_IDS.set(request.ids())
    async with SharedTasks() as tasks:
        assert await tasks.start(seen(), name="shared") == (None, None, None, {})


async def test_a_shared_task_has_the_request_that_it_is_given() -> None:
    """Calls and log lines count for the request that started them, if the starter passes it; nothing else does."""
    request = Requests(slow_s=1).begin("graphql", "execution", "first")
    SECRET.set("the first caller's")
    CHARGED_QUOTA.set(Quota(LIMITS))
    async with SharedTasks() as tasks:
        found = await tasks.start(seen(), name="shared", context=context_of(request))
    assert found == (None, None, request, {"request_id": "first"})


async def test_a_shared_task_changes_no_context_but_its_own() -> None:
    """Variables that it sets stay in its context."""

    async def change() -> None:
        SECRET.set("the task's")

    async with SharedTasks() as tasks:
        await tasks.start(change(), name="shared")
        await asyncio.sleep(0)
    assert SECRET.get() is None


def test_tasks_are_shared_or_owned() -> None:
    """Any other module that starts tasks has to use SharedTasks, or to be reviewed and added to OWNED."""
    starting = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    }
    assert starting == OWNED | {"shared_tasks.py"}
