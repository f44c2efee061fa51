"""botocore's clients: few, opened once, shared by every account.

One Transfer client a region serves all accounts, because a client for each costs about 36 ms of CPU and
1 MB (docs/decisions/0001). Whose call it is, is said by the credentials it is signed with: per call, from
a context variable. A call without them fails; it is never signed with the service's own.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession

from transfer_gateway.aws.data import data_loader
from transfer_gateway.aws.errors import Service, foreign_configuration
from transfer_gateway.aws.receiving import MAX_ANSWER_BYTES, bounded_http
from transfer_gateway.aws.sending import send_directly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from botocore.credentials import ReadOnlyCredentials
    from botocore.loaders import Loader

    from transfer_gateway.domain.identity import Region

_signer: ContextVar[ReadOnlyCredentials | None] = ContextVar("signer", default=None)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Limits of every connection to AWS, in seconds, and of every answer."""

    connect_timeout_s: float
    read_timeout_s: float
    max_answer_bytes: int = MAX_ANSWER_BYTES


class UnsignedCall(Exception):
    """A call that nobody gave credentials for: a fault of ours."""


@contextmanager
def signed_with(credentials: ReadOnlyCredentials) -> Iterator[None]:
    """Sign every call of this context with these credentials; STS's, which has its own, aside."""
    before = _signer.set(credentials)
    try:
        yield
    finally:
        _signer.reset(before)


class _CallersCredentials(AioCredentials):  # type: ignore[misc]  # botocore is untyped
    """What a client holds in place of credentials of its own: whatever `signed_with` set."""

    def __init__(self) -> None:
        super().__init__(access_key="per-call", secret_key="per-call", method="per-call")  # noqa: S106  no secret

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        credentials = _signer.get()
        if credentials is None:
            raise UnsignedCall("a call outside of signed_with()")
        return credentials


class _CallersCredentialsProvider:
    """The credential chain of a session that has no chain."""

    async def load_credentials(self) -> _CallersCredentials:
        return _CallersCredentials()


class RegionalClients:
    """A service's client of each region. `open` before first use; closing closes all."""

    def __init__(
        self,
        service: Service,
        connection: ConnectionSettings,
        *,
        attempts: int = 1,
        max_answer_bytes: int | None = None,
    ) -> None:
        """`max_answer_bytes`: where the service's answers are smaller than the connection may take."""
        self._service = service
        self._sends_directly = None if attempts == 1 else False  # None: a self-test will tell
        self._config = client_config(connection, attempts=attempts, max_answer_bytes=max_answer_bytes)
        self._clients: dict[Region, Any] = {}
        self._open = AsyncExitStack()

    @cached_property
    def _session(self) -> AioSession:
        """Made when a client is: 10 ms of CPU that most services' Organizations never need."""
        return session(_CallersCredentialsProvider())

    async def open(self, regions: Iterable[Region]) -> None:
        """Make sure that each region has its client. Raises: ConfigurationError."""
        for region in regions:
            if region not in self._clients:
                with foreign_configuration():
                    client = self._session.create_client(
                        self._service.value, region_name=region, config=self._config
                    )
                    opened = await self._open.enter_async_context(client)
                if self._sends_directly is not False:
                    untested = self._sends_directly is None
                    self._sends_directly = await send_directly(opened, self_test=untested)
                self._clients[region] = opened

    def __getitem__(self, region: Region) -> Any:  # noqa: ANN401  botocore's clients are untyped
        return self._clients[region]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


class TransferClients(RegionalClients):
    """Transfer's."""

    def __init__(self, connection: ConnectionSettings) -> None:
        super().__init__(Service.TRANSFER, connection)


def session(credential_provider: object) -> AioSession:
    """A session whose credentials come from there, and whose data of AWS all of them share."""
    made = AioSession()
    made.register_component("credential_provider", credential_provider)
    made.lazy_register_component("data_loader", _data)  # reads configuration, which may be wrong
    return made


@cache
def _data() -> Loader:
    return data_loader()


def client_config(
    connection: ConnectionSettings, *, attempts: int = 1, max_answer_bytes: int | None = None
) -> AioConfig:
    """The one configuration of all our clients.

    No retries in botocore where accounts share a client: its quotas are per client, so one account's
    throttling would spend another's. `attempts` is for a client that only one account's calls go through.
    A fixed user agent, and no validation of what was validated on the way in: 15 to 20 % of a call's CPU.
    """
    return AioConfig(
        connect_timeout=connection.connect_timeout_s,
        read_timeout=connection.read_timeout_s,
        max_pool_connections=0,  # no limit: calls that hang would use it up for every account
        retries={"mode": "standard", "total_max_attempts": attempts},
        parameter_validation=False,
        user_agent=f"transfer-gateway/{version('transfer-gateway')}",
        http_session_cls=bounded_http(
            min(max_answer_bytes or connection.max_answer_bytes, connection.max_answer_bytes)
        ),
    )
