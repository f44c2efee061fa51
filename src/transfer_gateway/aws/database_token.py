"""Passwords for PostgreSQL in RDS and Aurora: tokens of AWS IAM, signed here, without a call to AWS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from transfer_gateway.aws.errors import Call, Service, foreign_errors
from transfer_gateway.aws.own_credentials import OwnCredentials
from transfer_gateway.settings import DatabaseUrl
from transfer_gateway.telemetry import hide_briefly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.settings import MigrationSettings, Settings

_EXPIRES_S = 900  # for new connections; open ones stay


def database_password(
    settings: Settings | MigrationSettings, own: OwnCredentials | None = None
) -> Callable[[], Awaitable[str]] | None:
    """Makes the password of a connection to the history; None without `history_iam_auth`. `own`: credentials in use."""
    if not settings.history_iam_auth:
        return None
    url = DatabaseUrl.of(settings.history_url)
    region = settings.history_iam_region or url.region
    return partial(
        database_token,
        own or OwnCredentials(),
        url.hosts[0],
        url.port,
        user=str(url.user),
        region=str(region),
    )


async def database_token(own: OwnCredentials, host: str, port: int, *, user: str, region: str) -> str:
    """A new token, as botocore's `generate_db_auth_token` makes it, whose client of RDS would take 5 MB.

    Raises: RoleNotAssumable, if there are no credentials. Source: RDS, IAM database authentication; rds-db:connect.
    """
    with foreign_errors(Call(Service.STS, "own credentials", None)):
        credentials = await own.get_frozen_credentials()
    params = {"Action": "connect", "DBUser": user}
    request = AWSRequest("GET", f"https://{host}:{port}/", params=params)
    SigV4QueryAuth(credentials, "rds-db", region, expires=_EXPIRES_S).add_auth(request)
    signature = request.url.rpartition("=")[2]  # the rest is redacted by its form
    hide_briefly(signature)
    return str(request.url.removeprefix("https://"))
