"""`transfer-gateway check-config`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.cli.output import explained, printing, say, tell
from transfer_gateway.cli.program import load_settings, or_exit, run
from transfer_gateway.domain.errors import GatewayError, UpstreamUnavailable
from transfer_gateway.domain.partition import partition_of
from transfer_gateway.history import check_history_files
from transfer_gateway.settings import (
    AccountsFile,
    ConfigurationError,
    PolicyFile,
    TlsFiles,
    load_documents,
    unknown_settings,
)
from transfer_gateway.telemetry import AwsCalls, configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.build import Core
    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.discovery import AccountSources
    from transfer_gateway.settings import Settings
    from transfer_gateway.settings.tls_files import DoorTls

T = TypeVar("T")


def check_config(*, assume: bool) -> None:
    """Check settings and files without starting the service; with --assume, also check every account and region."""
    for name, nearest in unknown_settings().items():
        suggestion = f"; did you mean {nearest}?" if nearest else ""
        tell(f"warning: {name} is not a setting and has no effect{suggestion}")
    settings = load_settings()
    if weakness := settings.history_weakness:
        tell(f"warning: {weakness}")
    sources: AccountSources = or_exit(lambda: _check_files(settings))
    if assume:
        if settings.log_level != "debug":  # the table reports the rest
            configure_logging("critical", settings.log_format)
        run(lambda: _check_targets(settings, sources))


def _check_files(settings: Settings) -> AccountSources:
    """Read every file, and print which are good. Raises: ConfigurationError, with the problems of all."""
    from transfer_gateway.build import build_oidc, check_sts_region  # noqa: PLC0415  as in `serve`

    refused: list[ConfigurationError] = []

    def checked(step: Callable[[], T], good: Callable[[T], str | None]) -> T | None:
        try:
            value = step()
        except ConfigurationError as error:
            refused.append(error)
            return None
        if line := good(value):
            say(f"{line}: ok")
        return value

    checked(lambda: build_oidc(settings), lambda _: None)
    if (policy := settings.policy_file) is not None:
        checked(PolicyFile(policy).load, lambda _: str(policy))
    if (documents := settings.graphql_trusted_documents_path) is not None:
        checked(lambda: load_documents(documents), lambda _: str(documents))
    for door in ("http", "grpc"):
        if (files := TlsFiles.of(settings, door)) is not None:
            checked(files.load, partial(_certificate, files))
    checked(
        lambda: check_history_files(settings.history_url, settings.history_password_file),
        lambda path: path and str(path),
    )
    sources: AccountSources | None = checked(
        AccountsFile(settings.accounts_file).load, partial(_listed, settings)
    )
    if sources is not None:
        _warn_of_unknown_regions(settings, sources)
        checked(partial(check_sts_region, settings, sources, AwsCalls()), lambda _: None)
    if refused or sources is None:
        hints = dict.fromkeys(hint for error in refused for hint in error.hints)
        raise ConfigurationError([line for error in refused for line in error.problems], hints=tuple(hints))
    return sources


def _warn_of_unknown_regions(settings: Settings, sources: AccountSources) -> None:
    """AWS rejects the credentials in a region that is none, which looks like missing permissions."""
    from transfer_gateway.aws.known_regions import unknown_regions  # noqa: PLC0415  as above

    given = [*sources.regions(), *([settings.sts_region] if settings.sts_region else [])]
    for region in unknown_regions(given):
        tell(
            f"warning: region {region} is not in botocore's list of partition {partition_of(region).id}: "
            "it is misspelt, or newer than this release"
        )


def _certificate(files: TlsFiles, tls: DoorTls) -> str:
    return f"{files.certificate}: certificate, valid until {tls.valid_until:%Y-%m-%d %H:%M} UTC"


def _listed(settings: Settings, sources: AccountSources) -> str:
    discovery = ", discovery from AWS Organizations" if sources.discovery else ""
    accounts, regions = _count(len(sources.listed), "account"), _count(len(sources.regions()), "region")
    return f"{settings.accounts_file}: {accounts}, {regions}{discovery}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def _check_targets(settings: Settings, sources: AccountSources) -> None:
    """Check every target and print one row each; exit code 1 if any check failed.

    With a history, also check whether what ends is logged and can be read. What is missing for it is no failure.
    """
    from transfer_gateway.build import build_core  # noqa: PLC0415
    from transfer_gateway.cli import check_report  # noqa: PLC0415  keeps its libraries out of the service's memory
    from transfer_gateway.core.history_check import HistoryAws  # noqa: PLC0415
    from transfer_gateway.core.target_check import check_targets  # noqa: PLC0415

    issuers, history = await _try_issuers(settings), await _try_history(settings)
    async with build_core(settings, sources, AwsCalls(), with_history=False) as core:
        if (error := core.sts.startup_error) is not None:  # every account would fail for the same reason
            say(f"AWS credentials: {error.code}: {error.detail or error.message}")
            sys.exit(1)
        accounts, discovered = await _discover(core, sources)
        own_account = await _own_account(core, accounts)
        targets = sum(len(account.regions) for account in accounts)
        with check_report.progress(targets) as advance:
            checks = await check_targets(
                accounts,
                core.transfer,
                own_account=own_account,
                on_checked=lambda _: advance(),
                history=HistoryAws(core.transfer, core.servers, core.logs) if core.logs else None,
            )
    with printing():
        check_report.print_checked(checks)
    for warning in core.sessions.warnings(accounts):
        tell(f"warning: {warning}")
    if not (issuers and history and discovered) or any(checked.failure for checked in checks):
        sys.exit(1)


async def _own_account(core: Core, accounts: Accounts) -> str | None:
    """The account of the gateway's own credentials, if an account is read with them and AWS says it."""
    if all(account.role_arn is not None for account in accounts):
        return None
    try:
        return await core.sts.own_account()
    except GatewayError as error:
        tell(
            f"warning: the account of the gateway's own credentials is not known, so accounts with role_arn null "
            f"are not compared with it: {error.code}: {error.detail or error.message}"
        )
        return None


async def _try_issuers(settings: Settings) -> bool:
    """Fetch every issuer's keys and print the result. Returns: whether all succeeded."""
    from transfer_gateway.build import build_oidc  # noqa: PLC0415

    oidc = build_oidc(settings)
    if oidc is None:
        return True
    async with oidc:
        tried = await oidc.try_issuers()
    for issuer, result in tried.items():
        say(f"{issuer}: {_count(result, 'key') + ': ok' if isinstance(result, int) else result}")
    return all(isinstance(result, int) for result in tried.values())


async def _try_history(settings: Settings) -> bool:
    """Connect to the history's database and print the result. Returns: whether it can be used."""
    if settings.history_url in {"off", "sqlite://"}:
        return True
    from transfer_gateway.aws.database_token import database_password  # noqa: PLC0415  slow to import
    from transfer_gateway.history.migrate import try_history  # noqa: PLC0415  as above

    try:
        await try_history(
            settings.history_url,
            settings.history_password_file,
            settings.history_timeout_s,
            database_password(settings),
        )
    except UpstreamUnavailable as error:
        say(f"history: {error.code}: {explained(error)}")
        return False
    say("history: ok")
    return True


async def _discover(core: Core, sources: AccountSources) -> tuple[Accounts, bool]:
    """The accounts to check, and whether discovery succeeded."""
    if sources.discovery is None:
        return sources.listed, True
    try:
        accounts = sources.merge(await core.organizations.list_members(sources.discovery))
    except GatewayError as error:
        say(f"discovery: {error.code}: {error.detail or error.message}")
        return sources.listed, False
    say(f"discovery: {len(accounts) - len(sources.listed)} more accounts: ok")
    return accounts, True
