"""Authenticates and authorizes callers of both servers."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.core.quota import CHARGED_QUOTA
from transfer_gateway.domain.caller import ANONYMOUS, Caller
from transfer_gateway.domain.errors import (
    AuditLogUnavailable,
    GatewayError,
    Unauthenticated,
    UpstreamUnavailable,
)
from transfer_gateway.telemetry import audit_problem, counter, current_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.core.account_directory import AccountDirectory
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.core.quota import Quotas
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.domain.policy import Policy

_SCHEME = "bearer "
_WAITS = 0.95  # of the caller's remaining time; the rest is for sending the response
_GOOD, _REFUSED, _MISSING, _UNVERIFIED = ("good",), ("refused",), ("missing",), ("keys_unavailable",)


class Tokens(Protocol):
    """Verifies tokens."""

    async def authenticate(self, token: str) -> Caller:
        """Raises: Unauthenticated, UpstreamUnavailable."""


class Admission:
    """`tokens` None: no authentication. `policy` None: callers see everything. `quotas` None: no limits.

    Requests wait for the first account discovery, `request_timeout_s` at most.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        directory: AccountDirectory,
        request_timeout_s: float,
        tokens: Tokens | None = None,
        policy: Policy | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._request_timeout_s = request_timeout_s
        self._tokens = tokens
        self._quotas = quotas
        self.policy = policy
        self._outcomes: Counter[tuple[str]] = Counter()

    async def caller(self, authorization: str | None, certificate: str | None = None) -> Caller:
        """The caller, from the `authorization` header or, without one, the name in the client certificate.

        Raises: Unauthenticated, UpstreamUnavailable.
        """
        if self._tokens is None:
            return ANONYMOUS
        if authorization is None:
            if certificate is not None:
                return Caller(certificate)
            self._outcomes[_MISSING] += 1
            raise Unauthenticated("A bearer token is required in the header `authorization`.")
        try:
            if authorization[: len(_SCHEME)].lower() != _SCHEME:
                raise Unauthenticated("The header `authorization` must be `Bearer` followed by a token.")
            caller = await self._tokens.authenticate(authorization[len(_SCHEME) :].strip())
        except GatewayError as error:
            self._outcomes[_REFUSED if isinstance(error, Unauthenticated) else _UNVERIFIED] += 1
            raise
        self._outcomes[_GOOD] += 1
        return caller

    def admit(self, caller: Caller, door: str, remote: Callable[[], str | None]) -> Reader:
        """The use cases for one request of this caller. Raises: AuditLogUnavailable, Throttled."""
        if (problem := audit_problem()) is not None:
            raise AuditLogUnavailable.because(problem)
        quota = None
        if self._quotas is not None and caller is not ANONYMOUS:
            quota = self._quotas.of(caller)
            quota.take_request(current_request())
            CHARGED_QUOTA.set(quota)  # for this request's task and the tasks that it starts
        scope = self._gateway.scope_of(caller, self.policy) if self.policy else None
        return self._gateway.reader(AuditTrail(caller, door, remote), scope, quota)

    async def recheck(
        self, reader: Reader, authorization: Callable[[], str | None], certificate: Callable[[], str | None]
    ) -> None:
        """For streams: verify the caller's token again, and update the reader's scope to the current policy.

        While the issuer's keys can't be fetched, the previous identity stays valid. Raises: Unauthenticated.
        """
        if self._tokens is not None:
            token = authorization()
            with suppress(UpstreamUnavailable):
                await self.caller(token, certificate() if token is None else None)
        policy, gateway = self.policy, self._gateway
        reader.scope = gateway.everything if policy is None else gateway.scope_of(reader.caller, policy)

    async def enter(
        self,
        authorization: Callable[[], str | None],
        door: str,
        remote: Callable[[], str | None],
        *,
        certificate: Callable[[], str | None] = lambda: None,
        time_remaining: Callable[[], float | None] = lambda: None,
    ) -> Reader:
        """`caller`, then `admit`, once the accounts are known; `time_remaining` is the caller's, in seconds.

        Raises: as these, and UpstreamUnavailable if the accounts stay unknown.
        """
        caller = ANONYMOUS
        if self._tokens is not None:
            token = authorization()
            caller = await self.caller(token, certificate() if token is None else None)
        if not self._directory.is_known:
            remaining_s = time_remaining()
            timeout_s = self._request_timeout_s
            if remaining_s is not None:
                timeout_s = min(timeout_s, remaining_s * _WAITS)
            await self._directory.wait_until_known(timeout_s)
        return self.admit(caller, door, remote)

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "tokens",
            "Verified tokens, by result. keys_unavailable: the issuer's keys could not be fetched.",
            ("outcome",),
            self._outcomes,
        )
