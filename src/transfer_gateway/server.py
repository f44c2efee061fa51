"""The composition root: builds everything, owns the signals, and takes it all down in order.

Read `running` top to bottom: that is the program.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_gateway.api.auth import Admission
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.descriptors import share_descriptors
from transfer_gateway.api.graphiql_page import GraphiqlOptions
from transfer_gateway.api.graphql.limits import Limits
from transfer_gateway.api.graphql.trusted import TrustedDocuments
from transfer_gateway.api.graphql.view import GraphQLOptions
from transfer_gateway.api.health import Readiness
from transfer_gateway.api.http import create_app
from transfer_gateway.api.http_server import HttpServer, HttpTls
from transfer_gateway.api.unread import UnreadBytes
from transfer_gateway.aws.client import ConnectionSettings, RegionalClients, TransferClients
from transfer_gateway.aws.credentials import SessionCache
from transfer_gateway.aws.errors import Service as AwsService
from transfer_gateway.aws.organizations import ATTEMPTS, MAX_ANSWER_BYTES, Organizations
from transfer_gateway.aws.sts import Sts
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.core.account_directory import AccountDirectory
from transfer_gateway.core.gateway import Gateway
from transfer_gateway.core.pacing import Pacing, PacingLimits
from transfer_gateway.core.quota import QuotaLimits, Quotas
from transfer_gateway.reload import reload_accounts, reload_policy, reload_tls
from transfer_gateway.settings import (
    AccountsFile,
    PolicyFile,
    TlsFiles,
    exports_traces,
    load_documents,
)
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.signals import SignalHandlers
from transfer_gateway.telemetry import (
    AwsCalls,
    LogMetrics,
    Metrics,
    Reloads,
    Requests,
    audit_lack,
    get_logger,
    judge_log,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from prometheus_client.registry import Collector

    from transfer_gateway.api.rpc.server import RpcServer
    from transfer_gateway.auth import Oidc
    from transfer_gateway.domain.discovery import AccountSources
    from transfer_gateway.settings import DoorTls, Settings
    from transfer_gateway.telemetry.tracing import Tracing

_log = get_logger(__name__)
# A fan-out has a hundred thousand objects in use, none of them garbage. Python's own 700 has all of them looked at
# again and again: a third of the CPU of a warm one over 1,000 accounts, whose peak of memory stays the same with this.
_COLLECTIONS = (10_000, 10, 10)
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LOOK_AT_LOG_S = 0.25  # /readyz and requests know at once; this is for gRPC's health checks and the log
_KEYS_MAX_AGE_S = 30.0  # how long a key that its issuer has withdrawn is still good


class PortNotAvailable(Exception):
    """The address can't be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its core, the URL of its HTTP door, and the address of its gRPC door if that is open."""

    gateway: Gateway
    admission: Admission
    url: str
    grpc: str
    hurry: Callable[[], None]  # while it drains: wait no longer


@dataclass(frozen=True, slots=True)
class Core:
    """What the doors and `check-config` share."""

    gateway: Gateway
    transfer: Transfer
    organizations: Organizations
    collectors: tuple[Collector, ...]  # of its metrics


async def serve(
    settings: Settings,
    *,
    live_examples: bool = False,
    on_ready: Callable[[Service], None] = lambda _: None,
) -> None:
    """Run until SIGTERM or SIGINT, then let requests under way finish; a second signal ends them at once.

    `on_ready` is called once, when the doors are open. `live_examples`: as in GraphiqlOptions.
    Raises: ConfigurationError, PortNotAvailable; nothing is left running then.
    """
    with _signals() as signals:
        async with running(settings, live_examples=live_examples) as service:
            signals.on_second = service.hurry
            # What start-up made (botocore's models, the schema) stays: collections need not look at it again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECTIONS)
            on_ready(service)
            await signals.first.wait()
    _log.info("stopped", tasks_left=_tasks_left())


@asynccontextmanager
async def running(settings: Settings, *, live_examples: bool = False) -> AsyncIterator[Service]:
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
        listener = stack.enter_context(_listen(settings.http_host, settings.http_port))
        tracing = await stack.enter_async_context(_tracing())  # closes last: there are spans until then
        requests = Requests(slow_s=settings.slow_request_s, tracing=tracing)
        reloads = Reloads(
            "accounts",
            *(["policy"] if policy_file else []),
            *(f"{files.door}_tls" for files in (http_files, grpc_files) if files),
        )
        core = await stack.enter_async_context(build_core(settings, sources, AwsCalls(tracing)))
        gateway, directory = (
            core.gateway,
            AccountDirectory(sources, core.organizations, core.gateway.use_accounts),
        )
        tokens = await stack.enter_async_context(_tokens(settings))
        admission = Admission(
            gateway,
            directory=directory,
            request_timeout_s=settings.request_timeout_s,
            tokens=tokens,
            policy=policy,
            quotas=_quotas(settings),
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
        rpc = (
            _rpc_server(settings, shares.grpc, admission, requests, unread=unread, tls=grpc_tls)
            if settings.grpc
            else _ClosedDoor()
        )
        grpc = _listen_rpc(rpc, settings.grpc_host, settings.grpc_port)
        readiness = Readiness(follow=rpc.set_ready)
        http = HttpServer(
            create_app(
                admission,
                readiness,
                requests,
                metrics,
                unread,
                options=_graphql_options(settings),
                page=GraphiqlOptions(live_examples) if settings.graphiql else None,
                loopback_hosts_only=settings.auth == "none",
            ),
            grace_s=settings.shutdown_grace_s,
            keepalive_s=settings.http_keepalive_s,
            max_message_bytes=settings.http_max_body_bytes,
            limits=_connection_limits(settings, shares.http),
            tls=http_tls,
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = (
            tasks.create_task(reload_accounts(accounts_file, directory, reloads, settings.accounts_reload_s)),
            tasks.create_task(reload_policy(policy_file, admission, reloads, settings.accounts_reload_s)),
            tasks.create_task(reload_tls(http_files, http_tls, reloads, settings.accounts_reload_s)),
            tasks.create_task(reload_tls(grpc_files, rpc.tls, reloads, settings.accounts_reload_s)),
            tasks.create_task(_discover_organization(directory, readiness)),
            tasks.create_task(_follow_audit_log(readiness)),
            tasks.create_task(metrics.watch_the_loop()),
        )
        await rpc.start()
        # Without its door the process ends, to be started anew.
        watching = tasks.create_task(rpc.until_ended())
        serving = tasks.create_task(http.serve(sockets=[listener]))
        await readiness.change(None if sources.discovery is None else "discovering accounts")
        url, hurried = _url(listener, "https" if http_tls else "http"), asyncio.Event()

        def hurry() -> None:
            hurried.set()
            http.hurry()
            rpc.hurry()

        if settings.auth == "none":
            _log.warning("nobody_is_asked_who_they_are", auth="none")
        _log.info("serving", http=url, grpc=grpc, accounts=len(directory.accounts), auth=settings.auth)
        try:
            yield Service(gateway, admission, url, grpc, hurry)
        finally:
            for task in (*following, watching):
                task.cancel()
            await readiness.change("shutting down")
            _log.info("shutting_down", delay_s=settings.shutdown_delay_s, grace_s=settings.shutdown_grace_s)
            with suppress(TimeoutError):  # until nobody sends anything here any more
                await asyncio.wait_for(hurried.wait(), settings.shutdown_delay_s)
            http.should_exit = True
            await rpc.stop()
            await serving


@asynccontextmanager
async def build_core(settings: Settings, sources: AccountSources, calls: AwsCalls) -> AsyncIterator[Core]:
    """The core with its AWS clients, which close last. Its calls to AWS are told to `calls`."""
    connection = _connection(settings)
    sts = Sts(connection, calls, region=settings.sts_region, fallback_region=sources.regions()[0])
    async with (
        sts,
        TransferClients(connection) as clients,
        RegionalClients(
            AwsService.ORGANIZATIONS, connection, attempts=ATTEMPTS, max_answer_bytes=MAX_ANSWER_BYTES
        ) as organizations_clients,
        SharedTasks() as shared_tasks,
    ):
        sessions = SessionCache(
            sts,
            shared_tasks,
            session_name=settings.role_session_name,
            source_identity=settings.role_source_identity,
            session_tags=settings.role_session_tags,
            max_concurrency=settings.assume_role_max_concurrency,
        )
        await clients.open(sources.regions())
        transfer = Transfer(clients, sessions, calls)
        pacing = Pacing(_limits(settings))
        gateway = Gateway(
            sources.listed,
            transfer=transfer,
            clients=clients,
            sessions=sessions,
            pacing=pacing,
            calls=calls,
            shared_tasks=shared_tasks,
            request_timeout_s=settings.request_timeout_s,
            max_list_rows=settings.aws_max_list_rows,
            snapshots_max_entries=settings.snapshots_max_entries,
            snapshots_max_bytes=settings.snapshots_max_bytes,
            cursor_secret=settings.cursor_secret.get_secret_value() if settings.cursor_secret else None,
        )
        organizations = Organizations(organizations_clients, sts, sessions, calls)
        yield Core(gateway, transfer, organizations, (gateway, calls, sessions, pacing))


def _connection(settings: Settings) -> ConnectionSettings:
    return ConnectionSettings(
        connect_timeout_s=settings.aws_connect_timeout_s,
        read_timeout_s=settings.aws_read_timeout_s,
        max_answer_bytes=settings.aws_max_answer_bytes,
    )


def _connection_limits(settings: Settings, max_connections: int) -> ConnectionLimits:
    return ConnectionLimits(
        max_head_bytes=settings.http_max_head_bytes,
        head_timeout_s=settings.http_head_timeout_s,
        max_pipelined_requests=settings.http_max_pipelined_requests,
        max_connections=max_connections,
        max_connections_per_address=settings.http_max_connections_per_address,
        stall_timeout_s=settings.request_timeout_s,
        write_timeout_s=settings.http_write_timeout_s,
    )


def _limits(settings: Settings) -> PacingLimits:
    return PacingLimits(
        rate_per_s=settings.target_rate_per_s,
        burst=settings.target_burst,
        max_in_flight=settings.target_max_in_flight,
        max_in_flight_overall=settings.aws_max_in_flight,
    )


@asynccontextmanager
async def _tracing() -> AsyncIterator[Tracing | None]:
    """The way of traces to whoever collects them, where OpenTelemetry's variables name one."""
    if not exports_traces():
        yield None
        return
    from transfer_gateway.telemetry.tracing import Tracing  # noqa: PLC0415  the SDK: 10 MB that nobody else needs

    tracing = Tracing()
    try:
        yield tracing
    finally:
        await tracing.close()


@asynccontextmanager
async def _tokens(settings: Settings) -> AsyncIterator[Oidc | None]:
    oidc = build_oidc(settings)
    if oidc is None:
        yield None
        return
    async with oidc:
        yield oidc


def build_oidc(settings: Settings) -> Oidc | None:
    """What verifies tokens, where callers have them. Raises: ConfigurationError."""
    if settings.auth == "none":
        return None
    from transfer_gateway.auth import Issuer, Oidc  # noqa: PLC0415  9 MB that nobody else needs

    issuers = [
        Issuer(url, ca_file=_POD / "ca.crt", token_file=_POD / "token")
        if url == settings.oidc_cluster_issuer
        else Issuer(url, ca_file=settings.oidc_ca_file)
        for url in settings.oidc_issuers
    ]
    return Oidc(
        issuers,
        settings.oidc_audiences,
        settings.oidc_algorithms,
        settings.oidc_groups_claim,
        settings.oidc_leeway_s,
        keys_max_age_s=_KEYS_MAX_AGE_S,
    )


def _quotas(settings: Settings) -> Quotas:
    return Quotas(
        QuotaLimits(
            requests_per_s=settings.caller_requests_per_s,
            requests_burst=settings.caller_requests_burst,
            concurrent_requests=settings.caller_max_concurrent_requests,
            rows_per_s=settings.caller_rows_per_s,
            rows_burst=settings.caller_rows_burst,
            aws_calls_per_s=settings.caller_aws_calls_per_s,
            aws_calls_burst=settings.caller_aws_calls_burst,
        )
    )


def _graphql_options(settings: Settings) -> GraphQLOptions:
    path = settings.graphql_trusted_documents_path
    limits = {limit.name: getattr(settings, f"graphql_{limit.name}") for limit in fields(Limits)}
    return GraphQLOptions(
        limits=Limits(**limits),
        request_timeout_s=settings.request_timeout_s,
        max_body_bytes=settings.http_max_body_bytes,
        answers_max_bytes=settings.graphql_answers_max_bytes,
        cors_origins=settings.http_cors_origins,
        introspection=settings.graphql_introspection,
        suggestions=settings.graphql_suggestions,
        trusted=TrustedDocuments(settings.graphql_trusted_documents, load_documents(path) if path else {}),
    )


class _ClosedDoor:
    """What stands in for the gRPC server where nobody calls it."""

    tls = None

    async def start(self) -> None: ...
    async def until_ended(self) -> None: ...
    async def set_ready(self, _ready: bool) -> None: ...  # noqa: FBT001  as the server's
    async def stop(self) -> None: ...
    def hurry(self) -> None: ...


def _rpc_server(
    settings: Settings,
    max_connections: int,
    admission: Admission,
    requests: Requests,
    *,
    unread: UnreadBytes,
    tls: DoorTls | None,
) -> RpcServer:
    from transfer_gateway.api.rpc.server import RpcLimits, RpcServer  # noqa: PLC0415  16 MB that not everybody needs
    from transfer_gateway.api.rpc.tls import RpcTls  # noqa: PLC0415  as above

    return RpcServer(
        admission,
        RpcLimits(
            max_message_bytes=settings.grpc_max_message_bytes,
            max_connections=max_connections,
            max_concurrent_rpcs=settings.grpc_max_concurrent_rpcs,
            max_concurrent_streams=settings.grpc_max_concurrent_streams,
            max_public_streams=settings.grpc_max_public_streams,
            message_timeout_s=settings.grpc_message_timeout_s,
            keepalive_s=settings.grpc_keepalive_s,
            max_connection_age_s=settings.grpc_max_connection_age_s,
            max_connection_idle_s=settings.grpc_max_connection_idle_s,
            handshake_timeout_s=settings.grpc_handshake_timeout_s,
        ),
        requests,
        unread,
        request_timeout_s=settings.request_timeout_s,
        grace_s=settings.shutdown_grace_s,
        tls=RpcTls(tls) if tls else None,
    )


async def _discover_organization(directory: AccountDirectory, readiness: Readiness) -> None:
    """Discover again and again. Ready when it has been tried once, if there is any account to serve."""
    while True:
        again_in_s = await directory.discover()
        await readiness.change(directory.lack)
        await directory.rest(again_in_s)


async def _follow_audit_log(readiness: Readiness) -> None:
    """Not ready while lines of the audit can't be written; it comes back by itself."""
    lack = None
    while True:
        await asyncio.sleep(_LOOK_AT_LOG_S)
        judge_log()
        before, lack = lack, audit_lack()
        if (lack is None) == (before is None):
            continue
        if lack is None:
            _log.warning("audit_log_available")
        else:
            _log.error("audit_log_unavailable", detail=lack)
        await readiness.tell()


@dataclass(slots=True)
class _Signals:
    first: asyncio.Event
    on_second: Callable[[], None] | None = None

    def arrived(self) -> None:
        if self.first.is_set() and self.on_second is not None:
            self.on_second()
        self.first.set()


def _tasks_left() -> list[str]:
    """What still runs beside this task: nothing, unless something was forgotten."""
    return sorted(repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task())


@contextmanager
def _signals() -> Iterator[_Signals]:
    """SIGTERM and SIGINT, ours for as long as the context lasts."""
    signals = _Signals(asyncio.Event())
    with SignalHandlers(signals.arrived, asyncio.get_running_loop().call_soon_threadsafe):
        yield signals


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Port 0: any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield listener


def _listen_rpc(rpc: RpcServer | _ClosedDoor, host: str, port: int) -> str:
    """The gRPC door's address, bound; none if it stays closed."""
    if isinstance(rpc, _ClosedDoor):
        return ""
    with _listen(host, port):
        pass  # it can be had: gRPC takes no socket of ours, and says less clearly what is wrong
    try:
        port = rpc.listen(host, port)
    except OSError as error:
        raise PortNotAvailable(f"cannot listen on {host}:{port}: {error}") from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
