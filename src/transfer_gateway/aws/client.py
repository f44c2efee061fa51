"""botocore's clients: few, opened at start-up, shared by every account.

One Transfer client a region serves all accounts, because a client for each costs about 36 ms of CPU and
1 MB (docs/decisions/0001). Whose call it is, is said by the credentials it is signed with: per call, from
a context variable. A call without them fails; it is never signed with the service's own.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from botocore.credentials import ReadOnlyCredentials

    from transfer_gateway.domain.identity import Region

_signer: ContextVar[ReadOnlyCredentials | None] = ContextVar("signer", default=None)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Limits of every connection to AWS, in seconds; `max_connections` is per region."""

    connect_timeout_s: float
    read_timeout_s: float
    max_connections: int


class UnsignedCall(RuntimeError):
    """A Transfer call that nobody gave credentials for: a fault of ours."""


@contextmanager
def signed_with(credentials: ReadOnlyCredentials) -> Iterator[None]:
    """Sign every Transfer call of this context with these credentials."""
    before = _signer.set(credentials)
    try:
        yield
    finally:
        _signer.reset(before)


class _CallersCredentials(AioCredentials):  # type: ignore[misc]  # botocore is untyped
    """What a Transfer client holds in place of credentials of its own: whatever `signed_with` set."""

    def __init__(self) -> None:
        super().__init__(access_key="per-call", secret_key="per-call", method="per-call")  # noqa: S106  no secret

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        credentials = _signer.get()
        if credentials is None:
            raise UnsignedCall("a Transfer call outside of signed_with()")
        return credentials


class _CallersCredentialsProvider:
    """The credential chain of a session that has no chain."""

    async def load_credentials(self) -> _CallersCredentials:
        return _CallersCredentials()


class TransferClients:
    """The Transfer client of each region. `open` before first use; closing closes all."""

    def __init__(self, connection: ConnectionSettings) -> None:
        self._session = AioSession()
        self._session.register_component("credential_provider", _CallersCredentialsProvider())
        self._config = client_config(connection)
        self._clients: dict[Region, Any] = {}
        self._open = AsyncExitStack()

    async def open(self, regions: Iterable[Region]) -> None:
        """Make sure that each region has its client."""
        for region in regions:
            if region not in self._clients:
                client = self._session.create_client("transfer", region_name=region, config=self._config)
                self._clients[region] = await self._open.enter_async_context(client)

    def __getitem__(self, region: Region) -> Any:  # noqa: ANN401  botocore's clients are untyped
        return self._clients[region]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


def client_config(connection: ConnectionSettings) -> AioConfig:
    """The one configuration of all our clients.

    No retries in botocore: its quotas are per client, so one account's throttling would spend another's.
    A fixed user agent, and no validation of what was validated on the way in: 15 to 20 % of a call's CPU.
    """
    return AioConfig(
        connect_timeout=connection.connect_timeout_s,
        read_timeout=connection.read_timeout_s,
        max_pool_connections=connection.max_connections,
        retries={"mode": "standard", "total_max_attempts": 1},
        parameter_validation=False,
        user_agent=f"transfer-gateway/{version('transfer-gateway')}",
    )
