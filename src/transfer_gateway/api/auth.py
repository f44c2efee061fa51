"""Who may come in at either door, and what they see there."""

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
from transfer_gateway.telemetry import audit_lack, counter, current_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.core.account_directory import AccountDirectory
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.core.quota import Quotas
    from transfer_gateway.core.reader import Reader
    from transfer_gateway.domain.policy import Policy

_SCHEME = "bearer "
_WAITS = 0.95  # of the caller's time; the rest is for the answer's way back
_GOOD, _REFUSED, _MISSING, _UNVERIFIED = ("good",), ("refused",), ("missing",), ("keys_unavailable",)


class Tokens(Protocol):
    """What tells a token's caller."""

    async def authenticate(self, token: str) -> Caller:
        """Raises: Unauthenticated, UpstreamUnavailable."""


class Admission:
    """`tokens` None: nobody is asked who they are. `policy` None: who comes in sees all. `quotas` None: at any rate.

    A request waits for the first discovery of accounts, for `request_timeout_s` at most.
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
        """Whose request it is, by its header; without one, by the name in its client's certificate, if there is one.

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
                raise Unauthenticated("The header `authorization` must be `Bearer` and a token.")
            caller = await self._tokens.authenticate(authorization[len(_SCHEME) :].strip())
        except GatewayError as error:
            self._outcomes[_REFUSED if isinstance(error, Unauthenticated) else _UNVERIFIED] += 1
            raise
        self._outcomes[_GOOD] += 1
        return caller

    def admit(self, caller: Caller, door: str, remote: Callable[[], str | None]) -> Reader:
        """The use cases as this caller may use them, for one request. Raises: AuditLogUnavailable, Throttled."""
        if (lack := audit_lack()) is not None:
            raise AuditLogUnavailable.because(lack)
        quota = None
        if self._quotas is not None and caller is not ANONYMOUS:
            quota = self._quotas.of(caller)
            quota.take_request(current_request())
            CHARGED_QUOTA.set(quota)  # for this request's task and the tasks that it starts
        scope = self._gateway.scope_of(caller, self.policy) if self.policy else None
        return self._gateway.reader(AuditTrail(caller, door, remote), scope, quota)

    async def judge_again(
        self, reader: Reader, authorization: Callable[[], str | None], certificate: Callable[[], str | None]
    ) -> None:
        """For what lasts: whether the reader's caller may still come in, and what it sees by today's policy.

        Where an issuer's keys can't be had the caller is judged by what was known before, as it would be if it had
        only waited. Raises: Unauthenticated.
        """
        if self._tokens is None:
            return
        token = authorization()
        with suppress(UpstreamUnavailable):
            await self.caller(token, certificate() if token is None else None)
        if self.policy is not None:
            reader.scope = self._gateway.scope_of(reader.caller, self.policy)

    async def enter(
        self,
        authorization: Callable[[], str | None],
        door: str,
        remote: Callable[[], str | None],
        *,
        certificate: Callable[[], str | None] = lambda: None,
        time_remaining: Callable[[], float | None] = lambda: None,
    ) -> Reader:
        """`admit` for whoever `caller` says, when the accounts are known; `time_remaining` is the caller's, in seconds.

        Raises: as these, and UpstreamUnavailable while the accounts are not known.
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
