"""botocore's clients, shared by all accounts.

One Transfer client per region serves all accounts, because a client per account costs about 36 ms of CPU and 1 MB
(docs/decisions/0001). Each call is signed with the credentials in a context variable. A call without them fails; it is
never signed with the service's own.
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

from transfer_gateway.aws.botocore_data import data_loader
from transfer_gateway.aws.errors import Service, foreign_configuration
from transfer_gateway.aws.receiving import MAX_ANSWER_BYTES, bounded_http
from transfer_gateway.aws.sending import send_directly
from transfer_gateway.aws.urls import check_urls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from botocore.credentials import ReadOnlyCredentials
    from botocore.loaders import Loader

    from transfer_gateway.domain.identity import Region

_signer: ContextVar[ReadOnlyCredentials | None] = ContextVar("signer", default=None)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Timeouts of every connection to AWS, in seconds, and the maximum response size."""

    connect_timeout_s: float
    read_timeout_s: float
    max_answer_bytes: int = MAX_ANSWER_BYTES


class UnsignedCall(Exception):
    """A call outside `signed_with`: a bug."""


@contextmanager
def signed_with(credentials: ReadOnlyCredentials) -> Iterator[None]:
    """Sign every call in this context with these credentials, except STS calls."""
    before = _signer.set(credentials)
    try:
        yield
    finally:
        _signer.reset(before)


class _CallersCredentials(AioCredentials):  # type: ignore[misc]  # botocore is untyped
    """The credentials of shared clients: those that `signed_with` has set."""

    def __init__(self) -> None:
        super().__init__(access_key="per-call", secret_key="per-call", method="per-call")  # noqa: S106  no secret

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        credentials = _signer.get()
        if credentials is None:
            raise UnsignedCall("a call outside of signed_with()")
        return credentials


class _CallersCredentialsProvider:
    """Replaces the credential chain of a session."""

    async def load_credentials(self) -> _CallersCredentials:
        return _CallersCredentials()


class RegionalClients:
    """One client per region for a service. Call `open` before first use; closing closes all."""

    def __init__(
        self,
        service: Service,
        connection: ConnectionSettings,
        *,
        attempts: int = 1,
        max_answer_bytes: int | None = None,
    ) -> None:
        """`max_answer_bytes`: a limit for this service that is smaller than the connection's."""
        self._service = service
        self._sends_directly = None if attempts == 1 else False  # None: until the self-test has run
        self._config = client_config(connection, attempts=attempts, max_answer_bytes=max_answer_bytes)
        self._clients: dict[Region, Any] = {}
        self._open = AsyncExitStack()

    @cached_property
    def _session(self) -> AioSession:
        """Created lazily: it takes 10 ms of CPU, and most gateways never call Organizations."""
        return session(_CallersCredentialsProvider())

    async def open(self, regions: Iterable[Region]) -> None:
        """Open the clients of these regions. Raises: ConfigurationError."""
        for region in regions:
            if region not in self._clients:
                with foreign_configuration():
                    client = self._session.create_client(
                        self._service.value, region_name=region, config=self._config
                    )
                    opened = await self._open.enter_async_context(client)
                check_urls(opened)
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
    """Transfer's clients."""

    def __init__(self, connection: ConnectionSettings) -> None:
        super().__init__(Service.TRANSFER, connection)


def session(credential_provider: object) -> AioSession:
    """A session with that credential provider, and a data loader shared by all sessions."""
    made = AioSession()
    made.register_component("credential_provider", credential_provider)
    # Lazily, because it reads configuration that may be invalid.
    made.lazy_register_component("data_loader", data)
    return made


@cache
def data() -> Loader:
    """The loader of botocore's data files."""
    return data_loader()


def client_config(
    connection: ConnectionSettings, *, attempts: int = 1, max_answer_bytes: int | None = None
) -> AioConfig:
    """The configuration of all clients.

    No botocore retries where accounts share a client: its retry quota is per client, so one account's throttling would
    use up the others' quota. `attempts` is for a client that makes only one account's calls. A fixed user agent and no
    parameter validation (input is validated already) save 15 to 20 % of a call's CPU.
    """
    return AioConfig(
        connect_timeout=connection.connect_timeout_s,
        read_timeout=connection.read_timeout_s,
        max_pool_connections=0,  # unlimited, so that calls that hang don't block other accounts
        retries={"mode": "standard", "total_max_attempts": attempts},
        parameter_validation=False,
        user_agent=f"transfer-gateway/{version('transfer-gateway')}",
        http_session_cls=bounded_http(
            min(max_answer_bytes or connection.max_answer_bytes, connection.max_answer_bytes)
        ),
    )
