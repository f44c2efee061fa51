"""STS: assumes roles. One client and one connection pool for all accounts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from botocore.credentials import ReadOnlyCredentials

from transfer_gateway.aws.client import client_config, session
from transfer_gateway.aws.decode import request_id
from transfer_gateway.aws.errors import Call, Service, foreign_configuration, foreign_errors
from transfer_gateway.aws.own_credentials import PERMANENT, OwnCredentials
from transfer_gateway.aws.receiving import MAX_SMALL_ANSWER_BYTES, AnswerRejected
from transfer_gateway.aws.sending import send_directly
from transfer_gateway.aws.urls import check_urls
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.settings import ConfigurationError
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from types import TracebackType

    from transfer_gateway.aws.client import ConnectionSettings
    from transfer_gateway.domain.identity import AccountId, Region
    from transfer_gateway.telemetry import AwsCalls

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Role:
    """AssumeRole's parameters. Also the cache key of sessions, so accounts share one only if all parameters match."""

    arn: str
    external_id: str | None = field(repr=False)
    session_name: str
    duration_s: int
    source_identity: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Assumed:
    """STS's response; `expires_at` in seconds since the epoch."""

    credentials: ReadOnlyCredentials = field(repr=False)
    expires_at: float


class Sts:
    """AssumeRole, signed with the service's own credentials."""

    def __init__(
        self,
        connection: ConnectionSettings,
        calls: AwsCalls,
        *,
        region: Region | None,
        fallback_region: Region,
    ) -> None:
        self._calls = calls
        self.own = OwnCredentials()
        self._session = session(self.own)
        self._config = client_config(connection, max_answer_bytes=MAX_SMALL_ANSWER_BYTES)
        self._region, self.region = region, str(region or fallback_region)
        self._fallback_region = fallback_region
        self._client: Any = None
        self._open = AsyncExitStack()
        self.startup_error: GatewayError | None = None  # why there were no credentials at start

    async def assume_role(self, role: Role, account_id: AccountId) -> Assumed:
        """A new session of the role.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable. Source: STS AssumeRole.
        """
        params: dict[str, Any] = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "DurationSeconds": role.duration_s,
        }
        if role.external_id is not None:
            params["ExternalId"] = role.external_id
        if role.source_identity is not None:
            params["SourceIdentity"] = role.source_identity
        if role.tags:
            params["Tags"] = [{"Key": key, "Value": value} for key, value in role.tags]
        call = Call(Service.STS, "AssumeRole", account_id)
        region = self._client.meta.region_name
        with self._calls.watch(call.action, account_id, region) as seen, foreign_errors(call):
            answer = await self._client.assume_role(**params)
            seen.request_id = request_id(answer)
            _check_role(answer, role)
            credentials = answer["Credentials"]
            return Assumed(
                ReadOnlyCredentials(
                    credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
                ),
                credentials["Expiration"].timestamp(),
            )

    async def own_account(self) -> str:
        """The account of the service's own credentials, which needs no permission.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable. Source: STS GetCallerIdentity.
        """
        with foreign_errors(Call(Service.STS, "GetCallerIdentity", None)):
            answer = await self._client.get_caller_identity()
            return str(answer["Account"])

    async def own_credentials(
        self, account_id: AccountId | None = None, region: Region | None = None
    ) -> ReadOnlyCredentials:
        """The service's own credentials, refreshed by botocore's chain; for accounts without a role.

        Raises: RoleNotAssumable if the chain has none, or none in time.
        """
        with foreign_errors(Call(Service.STS, "own credentials", account_id, region)):
            return await self.own.get_frozen_credentials()

    def resolve_region(self) -> str:
        """Set `region` by the settings, else by AWS's configuration. Raises: ConfigurationError."""
        with foreign_configuration():
            region = self._region or self._session.get_config_variable("region") or self._fallback_region
        self.region = str(region)
        return self.region

    async def __aenter__(self) -> Self:
        region = self.resolve_region()
        with foreign_configuration():
            client = self._session.create_client("sts", region_name=region, config=self._config)
            self._client = await self._open.enter_async_context(client)
        check_urls(self._client)
        await send_directly(self._client)
        try:
            await self.own_credentials()
        except GatewayError as error:
            if isinstance(error.__cause__, PERMANENT):
                raise ConfigurationError([f"AWS configuration: {error.__cause__}"]) from error
            self.startup_error = error  # not fatal: credentials may become available
            _log.warning("own_credentials_missing", detail=error.detail)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


def _check_role(answer: Any, role: Role) -> None:  # noqa: ANN401  botocore's answers are untyped
    """Raises: AnswerRejected, for a session in another account. The response's `AssumedRoleUser` is optional."""
    arn = answer.get("AssumedRoleUser", {}).get("Arn")
    if arn is not None and arn.split(":")[4:5] != role.arn.split(":")[4:5]:
        raise AnswerRejected("is about another account's role than requested", request_id(answer))
