"""Reloads files when they change. An invalid version is logged and rejected, and the previous one stays in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from transfer_gateway.settings import ConfigurationError
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.http_tls import HttpTls
    from transfer_gateway.api.rpc.tls import RpcTls
    from transfer_gateway.core.account_directory import AccountDirectory
    from transfer_gateway.domain.discovery import AccountSources
    from transfer_gateway.settings import AccountsFile, PolicyFile, TlsFiles
    from transfer_gateway.telemetry import Reloads

_log = get_logger(__name__)


async def reload_accounts(
    file: AccountsFile,
    directory: AccountDirectory,
    reloads: Reloads,
    every_s: float,
    *,
    check: Callable[[AccountSources], Awaitable[None]],
) -> None:
    """Reload the accounts file when it changes. An invalid version is rejected; the current accounts stay in use.

    `check` raises ConfigurationError for what the file alone can't tell.
    """
    while True:
        await asyncio.sleep(every_s)
        try:
            sources = await asyncio.to_thread(file.load_if_changed)
            if sources is not None:
                await check(sources)
                await directory.use_sources(sources)
                reloads.succeeded("accounts")
                _log.info("accounts_file_reloaded", accounts=len(directory.accounts))
        except ConfigurationError as error:
            reloads.refused("accounts")
            _log.error("accounts_file_refused", problems=error.problems)


async def reload_policy(
    file: PolicyFile | None, admission: Admission, reloads: Reloads, every_s: float
) -> None:
    """Reload the policy file when it changes. An invalid version is rejected; the current policy stays in use."""
    while file is not None:
        await asyncio.sleep(every_s)
        try:
            policy = await asyncio.to_thread(file.load_if_changed)
            if policy is not None:
                admission.policy = policy
                reloads.succeeded("policy")
                _log.info("policy_file_reloaded")
        except ConfigurationError as error:
            reloads.refused("policy")
            _log.error("policy_file_refused", problems=error.problems)


async def reload_tls(
    files: TlsFiles | None, door: HttpTls | RpcTls | None, reloads: Reloads, every_s: float
) -> None:
    """Reload a door's certificates when they change. Invalid ones are rejected; the current ones stay in use."""
    if files is None or door is None:
        return
    reloads.set_certificate_expiry(files.door, door.valid_until)
    while True:
        await asyncio.sleep(every_s)
        try:
            tls = await asyncio.to_thread(files.load_if_changed)
            if tls is not None:
                door.use(tls)
                reloads.succeeded(f"{files.door}_tls")
                reloads.set_certificate_expiry(files.door, tls.valid_until)
                _log.info("tls_files_reloaded", door=files.door, valid_until=tls.valid_until.isoformat())
        except ConfigurationError as error:
            reloads.refused(f"{files.door}_tls")
            _log.error("tls_files_refused", door=files.door, problems=error.problems)
