"""`transfer-gateway migrate`."""

from __future__ import annotations

import sys

from transfer_gateway.cli.output import explained, say, tell
from transfer_gateway.cli.program import or_exit, run
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.settings import MigrationSettings
from transfer_gateway.telemetry import configure_logging


def migrate() -> None:
    """Create or update the history's tables. Safe to repeat, and to run in several places at once.

    Only PostgreSQL needs it, before the first start and before each upgrade: the service updates a SQLite file itself.
    """
    settings: MigrationSettings = or_exit(MigrationSettings.from_environment)
    configure_logging(settings.log_level, settings.log_format)
    if settings.history_url in {"off", "sqlite://"}:
        say(f"history: nothing to migrate: TRANSFER_GATEWAY_HISTORY_URL is {settings.history_url}")
        return
    run(lambda: _migrate(settings))


async def _migrate(settings: MigrationSettings) -> None:
    from transfer_gateway.history.migrate import migrate_history  # noqa: PLC0415  slow to import

    password = None
    if settings.history_iam_auth:
        from transfer_gateway.aws.database_token import database_password  # noqa: PLC0415  slow to import

        password = database_password(settings)
    try:
        before, after = await migrate_history(settings.history_url, settings.history_password_file, password)
    except UpstreamUnavailable as error:
        tell(f"error: {explained(error)}")
        sys.exit(1)
    say(
        f"history: revision {after}, up to date"
        if before == after
        else f"history: {before or 'empty'} → {after}"
    )
