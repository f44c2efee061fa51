"""STS: turns a role into a session. One client, one connection pool, for all accounts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from transfer_gateway.aws.client import client_config
from transfer_gateway.aws.errors import Call, Service, foreign_errors
from transfer_gateway.domain.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from transfer_gateway.aws.client import ConnectionSettings
    from transfer_gateway.domain.identity import AccountId, Region


@dataclass(frozen=True, slots=True)
class Role:
    """All that AssumeRole is told, so that two roles that differ in any of it never share a session."""

    arn: str
    external_id: str | None = field(repr=False)
    session_name: str
    duration_s: int


@dataclass(frozen=True, slots=True)
class Assumed:
    """STS's answer."""

    credentials: ReadOnlyCredentials = field(repr=False)
    expires_at: datetime


class Sts:
    """AssumeRole, signed with the service's own credentials from botocore's ordinary chain."""

    def __init__(
        self, connection: ConnectionSettings, *, region: Region | None, fallback_region: Region
    ) -> None:
        self._session = AioSession()
        self._config = client_config(connection)
        self._region = region or self._session.get_config_variable("region") or fallback_region
        self._client: Any = None
        self._own: Any = None
        self._open = AsyncExitStack()

    async def assume_role(self, role: Role, account_id: AccountId) -> Assumed:
        """A new session of the role.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable. Source: STS AssumeRole.
        """
        asked: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "DurationSeconds": role.duration_s,
        }
        if role.external_id is not None:
            asked["ExternalId"] = role.external_id
        with foreign_errors(Call(Service.STS, "AssumeRole", account_id)):
            answer = await self._client.assume_role(**asked)
        try:
            given = answer["Credentials"]
            return Assumed(
                ReadOnlyCredentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
                given["Expiration"],
            )
        except KeyError as error:
            raise UpstreamUnavailable(
                f"STS answered without {error.args[0]} for account {account_id}.", account_id=account_id
            ) from error

    async def own_credentials(self, account_id: AccountId, region: Region | None) -> ReadOnlyCredentials:
        """The service's own credentials, refreshed by botocore's chain; for accounts without a role.

        Raises: RoleNotAssumable when the chain has none.
        """
        with foreign_errors(Call(Service.STS, "own credentials", account_id, region)):
            if self._own is None:
                raise NoCredentialsError
            frozen: ReadOnlyCredentials = await self._own.get_frozen_credentials()
            return frozen

    async def __aenter__(self) -> Self:
        self._own = await self._session.get_credentials()
        client = self._session.create_client("sts", region_name=self._region, config=self._config)
        self._client = await self._open.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
