"""Builds the service's parts from the settings: the core with its AWS clients, the history, tokens, tracing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_gateway.aws.assumed_roles import SessionCache
from transfer_gateway.aws.client import ConnectionSettings, RegionalClients, TransferClients
from transfer_gateway.aws.database_token import database_password
from transfer_gateway.aws.errors import Service as AwsService
from transfer_gateway.aws.logs import Logs
from transfer_gateway.aws.organizations import ATTEMPTS, MAX_ANSWER_BYTES, Organizations
from transfer_gateway.aws.servers import Servers
from transfer_gateway.aws.sts import Sts
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.core.clock import Clock
from transfer_gateway.core.follower import FollowerOptions
from transfer_gateway.core.gateway import Gateway
from transfer_gateway.core.pacing import Pacing, PacingLimits
from transfer_gateway.core.quota import QuotaLimits, Quotas
from transfer_gateway.domain.partition import partition_of
from transfer_gateway.settings import ENV_PREFIX, ConfigurationError, exports_traces
from transfer_gateway.shared_tasks import SharedTasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from prometheus_client.registry import Collector

    from transfer_gateway.auth import Oidc
    from transfer_gateway.aws.own_credentials import OwnCredentials
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.domain.discovery import AccountSources
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.settings import Settings
    from transfer_gateway.telemetry import AwsCalls
    from transfer_gateway.telemetry.tracing import Tracing
    from transfer_gateway.temporary_folder import TemporaryFolder

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_KEYS_MAX_AGE_S = 30.0  # how long a withdrawn key stays valid


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that both servers and `check-config` use. `logs` None: without history."""

    gateway: Gateway
    sts: Sts
    sessions: SessionCache
    transfer: Transfer
    servers: Servers
    logs: Logs | None
    organizations: Organizations
    collectors: tuple[Collector, ...]  # of its metrics


@asynccontextmanager
async def build_core(
    settings: Settings,
    sources: AccountSources,
    calls: AwsCalls,
    clock: Clock | None = None,
    *,
    with_history: bool = True,
    folder: TemporaryFolder | None = None,
) -> AsyncIterator[Core]:
    """The core with its AWS clients, which are closed last. `calls` records its AWS calls.

    `with_history`: keep a history, if the settings don't switch it off. `folder`: of several workers.
    """
    connection = _connection(settings)
    sts = _build_sts(settings, sources, calls)
    async with (
        sts,
        build_history(settings, sts.own, folder) if with_history else nullcontext() as store,
        TransferClients(connection) as clients,
        RegionalClients(
            AwsService.ORGANIZATIONS, connection, attempts=ATTEMPTS, max_answer_bytes=MAX_ANSWER_BYTES
        ) as organizations_clients,
        RegionalClients(AwsService.LOGS, connection) as logs_clients,
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
        organizations = Organizations(organizations_clients, sts, sessions, calls)
        await check_sources(sources, sts, organizations)
        reads_logs = settings.history_url != "off"
        regional = (clients, logs_clients) if reads_logs else (clients,)
        for each in regional:
            await each.open(sources.regions())
        if store is not None:
            shared_tasks.start(store.maintain(), name="maintain the history")
        clock = clock or Clock(monotonic=asyncio.get_running_loop().time)
        transfer = Transfer(clients, sessions, calls, clock.now)
        servers = Servers(clients, sessions, calls, clock.now)
        logs = Logs(logs_clients, sessions, calls)
        pacing = Pacing(_limits(settings))
        gateway = Gateway(
            sources.listed,
            transfer=transfer,
            servers=servers,
            logs=logs,
            clients=regional,
            sessions=sessions,
            pacing=pacing,
            calls=calls,
            shared_tasks=shared_tasks,
            clock=clock,
            request_timeout_s=settings.request_timeout_s,
            max_list_rows=settings.aws_max_list_rows,
            snapshots_max_entries=settings.snapshots_max_entries,
            snapshots_max_bytes=settings.snapshots_max_bytes,
            cursor_secret=settings.cursor_secret.get_secret_value() if settings.cursor_secret else None,
            store=store,
            following=FollowerOptions(
                interval_s=settings.history_interval_s,
                backfill=timedelta(hours=settings.history_backfill_hours),
                max_reads_per_s=settings.history_max_reads_per_s,
            ),
            live_interval_s=settings.live_interval_s,
            max_subscriptions=settings.live_max_subscriptions,
        )
        yield Core(
            gateway,
            sts,
            sessions,
            transfer,
            servers,
            logs if reads_logs else None,
            organizations,
            (gateway, calls, sessions, pacing),
        )


def _build_sts(settings: Settings, sources: AccountSources, calls: AwsCalls) -> Sts:
    return Sts(_connection(settings), calls, region=settings.sts_region, fallback_region=sources.regions()[0])


async def check_sources(sources: AccountSources, sts: Sts, organizations: Organizations) -> None:
    """What the accounts file alone can't tell, at start and at each reload. Raises: ConfigurationError."""
    _check_partition(sts.region, sources)
    if sources.discovery is not None:
        await organizations.open(sources.discovery)


def check_sts_region(settings: Settings, sources: AccountSources, calls: AwsCalls) -> None:
    """Raises: ConfigurationError, as `build_core` would."""
    _check_partition(_build_sts(settings, sources, calls).resolve_region(), sources)


def _check_partition(sts_region: str, sources: AccountSources) -> None:
    """Raises: ConfigurationError, if the STS region is in another partition than the accounts."""
    partition, regions = partition_of(sts_region), sources.regions()
    if all(partition_of(region) is not partition for region in regions):
        problem = (
            f"{ENV_PREFIX}STS_REGION, or AWS_DEFAULT_REGION: {sts_region} is in partition {partition.id}, "
            f"but the accounts' {regions[0]} is in {partition_of(regions[0]).id}"
        )
        raise ConfigurationError([problem])


def _connection(settings: Settings) -> ConnectionSettings:
    return ConnectionSettings(
        connect_timeout_s=settings.aws_connect_timeout_s,
        read_timeout_s=settings.aws_read_timeout_s,
        max_answer_bytes=settings.aws_max_answer_bytes,
    )


def _limits(settings: Settings) -> PacingLimits:
    return PacingLimits(
        rate_per_s=settings.target_rate_per_s,
        burst=settings.target_burst,
        max_in_flight=settings.target_max_in_flight,
        max_in_flight_overall=settings.aws_max_in_flight,
    )


@asynccontextmanager
async def build_history(
    settings: Settings, own: OwnCredentials, folder: TemporaryFolder | None
) -> AsyncIterator[HistoryStore | None]:
    """The history's store, which is not connected to before its first use. Raises: ConfigurationError."""
    if settings.history_url == "off":
        yield None
        return
    from transfer_gateway.history.store import open_store  # noqa: PLC0415  takes 25 MB

    async with open_store(
        settings.history_url,
        password_file=settings.history_password_file,
        password=database_password(settings, own),
        max_bytes=settings.history_max_bytes,
        retention_days=settings.history_retention_days,
        pool_size=settings.history_pool_size,
        timeout_s=settings.history_timeout_s,
        is_shared=settings.workers > 1,
        folder=folder,
    ) as store:
        yield store


@asynccontextmanager
async def build_tracing() -> AsyncIterator[Tracing | None]:
    """The export of traces, if OpenTelemetry's environment variables configure an endpoint."""
    if not exports_traces():
        yield None
        return
    from transfer_gateway.telemetry.tracing import Tracing  # noqa: PLC0415  the SDK takes 10 MB

    tracing = Tracing()
    try:
        yield tracing
    finally:
        await tracing.close()


@asynccontextmanager
async def build_tokens(settings: Settings) -> AsyncIterator[Oidc | None]:
    oidc = build_oidc(settings)
    if oidc is None:
        yield None
        return
    async with oidc:
        yield oidc


def build_oidc(settings: Settings) -> Oidc | None:
    """The token verifier; None without authentication. Raises: ConfigurationError."""
    if settings.auth == "none":
        return None
    from transfer_gateway.auth import Issuer, Oidc  # noqa: PLC0415  takes 9 MB

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


def build_quotas(settings: Settings, fleet: Fleet) -> Quotas:
    quotas = Quotas(
        QuotaLimits(
            requests_per_s=settings.caller_requests_per_s,
            requests_burst=settings.caller_requests_burst,
            concurrent_requests=settings.caller_max_concurrent_requests,
            rows_per_s=settings.caller_rows_per_s,
            rows_burst=settings.caller_rows_burst,
            aws_calls_per_s=settings.caller_aws_calls_per_s,
            aws_calls_burst=settings.caller_aws_calls_burst,
            subscriptions=settings.caller_max_subscriptions,
        )
    )
    fleet.on_change(lambda: quotas.use_share(fleet.share))
    return quotas
