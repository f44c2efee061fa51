"""Runs the service: starts everything, handles signals, and shuts down in order.

Start with `running`, which is the whole program. `build.py` builds its parts, `listen.py` binds its addresses.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from transfer_gateway.api.auth import Admission
from transfer_gateway.api.descriptors import share_descriptors
from transfer_gateway.api.executions_page import DOCUMENTS, EXECUTIONS_PAGE
from transfer_gateway.api.graphiql_page import GraphiqlOptions
from transfer_gateway.api.health import Readiness
from transfer_gateway.api.http import create_app
from transfer_gateway.api.http_tls import HttpTls
from transfer_gateway.api.plain_http_server import http_server
from transfer_gateway.api.unread import UnreadBytes
from transfer_gateway.build import build_core, build_quotas, build_tokens, build_tracing, check_sources
from transfer_gateway.build_servers import (
    DisabledRpcServer,
    build_rpc_server,
    connection_limits,
    graphql_options,
)
from transfer_gateway.core.account_directory import AccountDirectory
from transfer_gateway.listen import BACKLOG, listen, listen_rpc, url_of
from transfer_gateway.reload import reload_accounts, reload_policy, reload_tls
from transfer_gateway.settings import AccountsFile, PolicyFile, TlsFiles
from transfer_gateway.signals import Parent, SignalHandlers
from transfer_gateway.telemetry import (
    AwsCalls,
    LogMetrics,
    Metrics,
    Reloads,
    Requests,
    WorkerMetrics,
    audit_problem,
    check_log,
    get_logger,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_gateway.api.plain_http_server import HttpServing
    from transfer_gateway.api.rpc.server import RpcServer
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.settings import Settings, Worker

_log = get_logger(__name__)
# A fan-out has a hundred thousand live objects. With Python's default of 700 the garbage collector scans them again and
# again: a third of the CPU of a fan-out over 1,000 accounts with a warm cache. Peak memory is the same.
_COLLECTIONS = (10_000, 10, 10)
_LOOK_AT_LOG_S = 0.25  # /readyz and requests check it directly; this is for gRPC's health service and the log


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its core, the HTTP server's URL, and the gRPC server's address if it is enabled."""

    gateway: Gateway
    admission: Admission
    url: str
    grpc: str
    stop_now: Callable[[], None]  # during shutdown: stop waiting for requests in progress


async def serve(
    settings: Settings,
    *,
    worker: Worker | None = None,
    live_examples: bool = False,
    on_ready: Callable[[Service], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or SIGINT, then let requests in progress finish; a second signal cancels them.

    `worker`: which one of several this process is, whose parent passes signals on. `on_ready` is called once, when the
    servers are listening. `live_examples`: as in GraphiqlOptions.
    Raises: ConfigurationError, PortNotAvailable; nothing is left running then.
    """
    signals, loop = _Signals(asyncio.Event()), asyncio.get_running_loop()
    with (
        SignalHandlers(signals.first.set if worker else signals.arrived, loop.call_soon_threadsafe),
        Parent(loop, signals.first.set, signals.arrived) if worker else nullcontext() as parent,
    ):
        async with running(settings, worker=worker, live_examples=live_examples) as service:
            signals.on_second = service.stop_now
            # Objects created at start-up (botocore's models, the schema) stay: exclude them from garbage collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECTIONS)
            on_ready(service)
            if parent is not None:
                parent.tell_alive()
            await signals.first.wait()
    _log.info("stopped", tasks_left=_tasks_left())


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    worker: Worker | None = None,
    live_examples: bool = False,
    page_directory: Path = EXECUTIONS_PAGE,
) -> AsyncIterator[Service]:
    """The whole service for as long as the context lasts. Raises: ConfigurationError, PortNotAvailable."""
    accounts_file = AccountsFile(settings.accounts_file)
    sources = accounts_file.load()
    policy_file = PolicyFile(settings.policy_file) if settings.policy_file else None
    policy = policy_file.load() if policy_file else None
    http_files, grpc_files = TlsFiles.of(settings, "http"), TlsFiles.of(settings, "grpc")
    http_tls = HttpTls(http_files.load()) if http_files else None
    grpc_tls = grpc_files.load() if grpc_files else None
    shares = share_descriptors(
        http=settings.http_max_connections,
        grpc=settings.grpc_max_connections,
        aws=settings.aws_max_in_flight + settings.assume_role_max_concurrency,
    )
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(
            listen(settings.http_host, settings.http_port, shared=worker is not None)
        )
        # Closed last, so that it exports all spans.
        tracing = await stack.enter_async_context(build_tracing())
        requests = Requests(slow_s=settings.slow_request_s, tracing=tracing)
        reloads = Reloads(
            "accounts",
            *(["policy"] if policy_file else []),
            *(f"{files.door}_tls" for files in (http_files, grpc_files) if files),
        )
        core = await stack.enter_async_context(
            build_core(settings, sources, AwsCalls(tracing), folder=worker.folder if worker else None)
        )
        directory = AccountDirectory(sources, core.organizations, core.gateway.use_accounts)
        tokens = await stack.enter_async_context(build_tokens(settings))
        admission = Admission(
            core.gateway,
            directory=directory,
            request_timeout_s=settings.request_timeout_s,
            tokens=tokens,
            policy=policy,
            quotas=build_quotas(settings, core.gateway.fleet),
        )
        unread = UnreadBytes(
            max_bytes=settings.max_unread_bytes, max_bytes_per_caller=settings.caller_max_unread_bytes
        )
        metrics = Metrics(
            requests,
            reloads,
            admission,
            directory,
            unread,
            *core.collectors,
            *([tokens] if tokens else []),
            LogMetrics(),
        )
        all_metrics = (
            WorkerMetrics(metrics, worker.number, worker.metrics_sockets(settings.workers), worker.folder)
            if worker
            else None
        )
        rpc = (
            build_rpc_server(
                settings,
                shares.grpc,
                admission,
                requests,
                unread=unread,
                tls=grpc_tls,
                shared=worker is not None,
            )
            if settings.grpc
            else DisabledRpcServer()
        )
        grpc = (
            ""
            if isinstance(rpc, DisabledRpcServer)
            else listen_rpc(rpc, settings.grpc_host, settings.grpc_port, shared=worker is not None)
        )
        readiness = Readiness(on_change=rpc.set_ready)
        http = http_server(
            create_app(
                admission,
                readiness,
                requests,
                all_metrics or metrics,
                unread,
                options=graphql_options(settings, page_directory / DOCUMENTS),
                graphiql=GraphiqlOptions(live_examples) if settings.graphiql else None,
                executions=page_directory if settings.page else None,
                loopback_hosts_only=settings.auth == "none",
            ),
            grace_s=settings.shutdown_grace_s,
            keepalive_s=settings.http_keepalive_s,
            max_message_bytes=settings.http_max_body_bytes,
            limits=connection_limits(settings, shares.http),
            tls=http_tls,
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        background = (
            tasks.create_task(
                reload_accounts(
                    accounts_file,
                    directory,
                    reloads,
                    settings.accounts_reload_s,
                    check=partial(check_sources, sts=core.sts, organizations=core.organizations),
                )
            ),
            tasks.create_task(reload_policy(policy_file, admission, reloads, settings.accounts_reload_s)),
            tasks.create_task(reload_tls(http_files, http_tls, reloads, settings.accounts_reload_s)),
            tasks.create_task(reload_tls(grpc_files, rpc.tls, reloads, settings.accounts_reload_s)),
            tasks.create_task(_discover_organization(directory, readiness)),
            tasks.create_task(_watch_audit_log(readiness)),
            tasks.create_task(metrics.measure_loop_lag()),
        )
        answering = tasks.create_task(all_metrics.answer_others()) if all_metrics else None
        await rpc.start()
        # If the gRPC server ends, so does the process, to be restarted.
        watching = tasks.create_task(rpc.until_ended())
        listener.listen(BACKLOG)
        serving = tasks.create_task(http.serve(sockets=[listener]))
        await readiness.update(None if sources.discovery is None else "discovering accounts")
        url, stopping_now = url_of(listener, "https" if http_tls else "http"), asyncio.Event()

        def stop_now() -> None:
            stopping_now.set()
            http.stop_now()
            rpc.stop_now()

        if settings.auth == "none":
            _log.warning("authentication_disabled", auth="none")
        _log.info("serving", http=url, grpc=grpc, accounts=len(directory.accounts), auth=settings.auth)
        try:
            yield Service(core.gateway, admission, url, grpc, stop_now)
        finally:
            for task in (*background, watching):
                task.cancel()
            await _drain(settings, readiness, http, rpc, stopping_now)
            await serving
            if answering is not None:
                answering.cancel()


async def _drain(
    settings: Settings,
    readiness: Readiness,
    http: HttpServing,
    rpc: RpcServer | DisabledRpcServer,
    stopping_now: asyncio.Event,
) -> None:
    await readiness.update("shutting down")
    _log.info("shutting_down", delay_s=settings.shutdown_delay_s, grace_s=settings.shutdown_grace_s)
    with suppress(TimeoutError):  # until load balancers have removed this instance
        await asyncio.wait_for(stopping_now.wait(), settings.shutdown_delay_s)
    http.should_exit = True
    await rpc.stop()


async def _discover_organization(directory: AccountDirectory, readiness: Readiness) -> None:
    """Run discovery periodically. Ready after the first run, if there are accounts to serve."""
    while True:
        wait_s = await directory.discover()
        await readiness.update(directory.not_ready_reason)
        await directory.rest(wait_s)


async def _watch_audit_log(readiness: Readiness) -> None:
    """Not ready while the audit log can't be written; ready again once it can."""
    problem = None
    while True:
        await asyncio.sleep(_LOOK_AT_LOG_S)
        check_log()
        before, problem = problem, audit_problem()
        if (problem is None) == (before is None):
            continue
        if problem is None:
            _log.warning("audit_log_available")
        else:
            _log.error("audit_log_unavailable", detail=problem)
        await readiness.publish()


@dataclass(slots=True)
class _Signals:
    """SIGTERM and SIGINT: `first` is set by the first signal, `on_second` called at each further one."""

    first: asyncio.Event
    on_second: Callable[[], None] | None = None

    def arrived(self) -> None:
        if self.first.is_set() and self.on_second is not None:
            self.on_second()
        self.first.set()


def _tasks_left() -> list[str]:
    """Other tasks that are still running. Any is a bug."""
    return sorted(repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task())
