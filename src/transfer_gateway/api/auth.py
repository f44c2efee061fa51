"""Who may come in at either door, and what they see there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from transfer_gateway.domain.caller import ANONYMOUS, Caller
from transfer_gateway.domain.errors import Unauthenticated

if TYPE_CHECKING:
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.core.reader import Reader
    from transfer_gateway.domain.policy import Policy

_SCHEME = "bearer "


class Tokens(Protocol):
    """What tells a token's caller."""

    async def authenticate(self, token: str) -> Caller:
        """Raises: Unauthenticated, UpstreamUnavailable."""


class Admission:
    """`tokens` None: nobody is asked who they are. `policy` None: everybody who comes in sees all."""

    def __init__(
        self, gateway: Gateway, *, tokens: Tokens | None = None, policy: Policy | None = None
    ) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self.policy = policy

    async def caller(self, authorization: str | None) -> Caller:
        """Whose request it is, by its header. Raises: Unauthenticated, UpstreamUnavailable."""
        if self._tokens is None:
            return ANONYMOUS
        if authorization is None:
            raise Unauthenticated("A bearer token is required in the header `authorization`.")
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("The header `authorization` must be `Bearer` and a token.")
        return await self._tokens.authenticate(authorization[len(_SCHEME) :].strip())

    def reader_of(self, caller: Caller) -> Reader:
        """The use cases as this caller may use them."""
        gateway = self._gateway
        if self.policy is None:
            return gateway.reader()
        return gateway.reader(self.policy.scope(caller, gateway.accounts))

    async def reader(self, authorization: str | None) -> Reader:
        """Raises: Unauthenticated, UpstreamUnavailable."""
        return self.reader_of(await self.caller(authorization))
