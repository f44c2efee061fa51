"""botocore → GatewayError: one table of error codes, one of exceptions, and the border that applies them.

Matched on the code, never on botocore's exception class: AWS returns codes that its own model lacks.
Sources: botocore's models of Transfer, STS and Organizations; AWS's lists of common errors.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from transfer_gateway.aws.own_credentials import OwnCredentialsError
from transfer_gateway.aws.receiving import AnswerRefused
from transfer_gateway.domain.errors import (
    AccessDenied,
    BadUserInput,
    ExecutionNotFound,
    GatewayError,
    InternalServerError,
    RoleNotAssumable,
    Throttled,
    UpstreamUnavailable,
    WorkflowNotFound,
)
from transfer_gateway.domain.identity import WorkflowKey
from transfer_gateway.settings import ConfigurationError
from transfer_gateway.telemetry import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region


class SessionNoLongerGood(AccessDenied):
    """AWS no longer takes these credentials. Assume the role again and try once more."""


class SessionOver(SessionNoLongerGood):
    """They have expired, or were revoked: in every region, and the role's next session is as good as any."""


class DurationRefused(RoleNotAssumable):
    """STS gives sessions of that length to nobody, or not to us. Ask for the shortest maximum there is."""


class DurationRefusedToRoles(DurationRefused):
    """Not to us, because the gateway's own credentials are a role's: AWS's limit for chained roles, for every role."""


class Service(StrEnum):
    TRANSFER = "transfer"
    STS = "sts"
    ORGANIZATIONS = "organizations"


CODES: dict[str, type[GatewayError]] = {
    "ResourceNotFoundException": ExecutionNotFound,
    # Our ids fit AWS's patterns, so what AWS still calls invalid only the caller can mend.
    "InvalidRequestException": BadUserInput,
    "ValidationException": BadUserInput,
    "ValidationError": BadUserInput,
    "AccessDenied": AccessDenied,
    "AccessDeniedException": AccessDenied,
    "UnauthorizedOperation": AccessDenied,
    "NotAuthorized": AccessDenied,
    "OptInRequired": AccessDenied,
    "SubscriptionRequiredException": AccessDenied,
    # A signature that AWS refuses: a skewed clock, or a credential that was tampered with.
    "IncompleteSignature": AccessDenied,
    "IncompleteSignatureException": AccessDenied,
    "InvalidSignatureException": AccessDenied,
    "MissingAuthenticationToken": AccessDenied,
    "MissingAuthenticationTokenException": AccessDenied,
    "RequestExpired": AccessDenied,
    "SignatureDoesNotMatch": AccessDenied,
    "ExpiredToken": SessionOver,
    "ExpiredTokenException": SessionOver,
    "InvalidClientTokenId": SessionNoLongerGood,
    "UnrecognizedClientException": SessionNoLongerGood,
    # STS's own refusals: of AssumeRole, and of the calls by which the service gets its own credentials.
    "ExpiredTradeInTokenException": RoleNotAssumable,
    "IDPRejectedClaim": RoleNotAssumable,
    "InvalidAuthorizationMessageException": RoleNotAssumable,
    "InvalidIdentityToken": RoleNotAssumable,
    "JWTPayloadSizeExceededException": RoleNotAssumable,
    "MalformedPolicyDocument": RoleNotAssumable,
    "OutboundWebIdentityFederationDisabledException": RoleNotAssumable,
    "PackedPolicyTooLarge": RoleNotAssumable,
    "RegionDisabledException": RoleNotAssumable,
    "SessionDurationEscalationException": RoleNotAssumable,
    "IDPCommunicationError": UpstreamUnavailable,
    # Organizations': an account or an OU in the configuration that is not what it is taken for.
    "AWSOrganizationsNotInUseException": BadUserInput,
    "InvalidInputException": BadUserInput,
    "ParentNotFoundException": BadUserInput,
    # botocore's own list of codes that mean throttling.
    "BandwidthLimitExceeded": Throttled,
    "EC2ThrottledException": Throttled,
    "LimitExceededException": Throttled,
    "PriorRequestNotComplete": Throttled,
    "ProvisionedThroughputExceededException": Throttled,
    "RequestLimitExceeded": Throttled,
    "RequestThrottled": Throttled,
    "RequestThrottledException": Throttled,
    "SlowDown": Throttled,
    "ThrottledException": Throttled,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "TransactionInProgressException": Throttled,
    "InternalFailure": UpstreamUnavailable,
    "InternalServerError": UpstreamUnavailable,
    "InternalServiceError": UpstreamUnavailable,
    "ServiceException": UpstreamUnavailable,
    "RequestTimeout": UpstreamUnavailable,
    "RequestTimeoutException": UpstreamUnavailable,
    "ServiceUnavailable": UpstreamUnavailable,
    "ServiceUnavailableException": UpstreamUnavailable,
    # Nothing that reads answers so: whoever is at that address is not the AWS we know.
    "ConflictException": UpstreamUnavailable,
    "InvalidAction": UpstreamUnavailable,
    "InvalidNextTokenException": UpstreamUnavailable,  # the token was AWS's own, a moment ago
    "ResourceExistsException": UpstreamUnavailable,
    "UnknownOperationException": UpstreamUnavailable,
    "SerializationException": InternalServerError,
}

# First match wins. What is in neither table is a fault of ours and is left to the door to mask.
EXCEPTIONS: tuple[tuple[tuple[type[Exception], ...], type[GatewayError]], ...] = (
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            OwnCredentialsError,
            boto.CredentialRetrievalError,
            boto.InvalidConfigError,
            boto.ConfigNotFound,
            boto.ConfigParseError,
            boto.MissingDependencyException,
            boto.UnknownCredentialError,
            boto.LoginError,
            boto.ProfileNotFound,
            boto.RefreshWithMFAUnsupportedError,
            boto.MetadataRetrievalError,
            boto.SSOError,
            boto.TokenRetrievalError,
        ),
        RoleNotAssumable,  # the service's own credentials: nothing can be signed
    ),
    (
        (
            boto.ConnectionError,
            boto.HTTPClientError,
            boto.IncompleteReadError,
            boto.InvalidProxiesConfigError,
            boto.PaginationError,  # the same page again and again
            ResponseParserError,
            aiohttp.ClientError,
            OSError,
        ),
        UpstreamUnavailable,
    ),
)

_SAYS: dict[type[GatewayError], str] = {
    WorkflowNotFound: "AWS has no such workflow in {place}.",
    AccessDenied: "AWS refused {action} in {place}: the gateway's role there lacks the permission.",
    SessionNoLongerGood: "AWS refused {action} in {place}: it does not accept the role's session.",
    SessionOver: "AWS refused {action} in {place}: the role's session has expired or was revoked.",
    BadUserInput: "AWS rejected the request as invalid: {aws}",
    RoleNotAssumable: "The gateway's role in {place} cannot be assumed.",
    DurationRefused: "The gateway's role in {place} cannot be assumed for as long as configured.",
    DurationRefusedToRoles: "The gateway's role in {place} cannot be assumed for as long as configured.",
    Throttled: "AWS throttles {action} in {place}.",
    UpstreamUnavailable: "AWS could not answer {action} in {place}.",
    InternalServerError: "AWS could not read the gateway's request.",
}


@dataclass(frozen=True, slots=True)
class Call:
    """What is being asked of AWS, and about whom: no account means the organization.

    `key` where the call is about one execution or one workflow.
    """

    service: Service
    operation: str
    account_id: AccountId | None
    region: Region | None = None
    key: ExecutionKey | WorkflowKey | None = None

    @property
    def action(self) -> str:
        """As IAM calls it."""
        return f"{self.service}:{self.operation}"

    def failed(self, kind: type[GatewayError], *, aws_said: str = "", **known: Any) -> GatewayError:  # noqa: ANN401  GatewayError's own
        """The error for callers, in our words. AWS's go into `detail`, where they may name roles."""
        if kind is ExecutionNotFound and self.key is not None:
            if isinstance(self.key, WorkflowKey):  # the operations about workflows have the same code
                return WorkflowNotFound.of(self.key, aws_request_id=known.get("aws_request_id"))
            return ExecutionNotFound.of(self.key, aws_request_id=known.get("aws_request_id"))
        if kind is ExecutionNotFound:
            kind = WorkflowNotFound
        message = _SAYS[kind].format(action=self.action, place=self._place, aws=_shown(aws_said))
        if (detail := known.pop("detail", None)) is not None:
            known["detail"] = _shown(detail)
        return kind(message, account_id=self.account_id, region=self.region, **known)

    def refused(self, refused: AnswerRefused) -> UpstreamUnavailable:
        """What callers are told of an answer that is not taken."""
        return UpstreamUnavailable(
            f"AWS's answer to {self.action} in {self._place} was refused: it {refused.why}.",
            account_id=self.account_id,
            region=self.region,
            aws_request_id=refused.aws_request_id,
            detail=_shown(f"{type(refused).__name__}: {refused}"),
        )

    @property
    def _place(self) -> str:
        place = f"account {self.account_id}" if self.account_id else "the organization"
        return place + (f", region {self.region}" if self.region else "")


_MAX_DETAIL_CHARACTERS = 2000
# What botocore's parsers, and our reading of their results, stumble with over an answer that makes no sense.
_GARBAGE = (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


@contextmanager
def foreign_errors(call: Call) -> Iterator[None]:
    """The border: a foreign error raised inside leaves as a GatewayError about that call.

    Put nothing inside but the call and the reading of its answer: their stumbling counts as AWS's garbage.
    """
    try:
        yield
    except GatewayError:
        raise
    except boto.ClientError as error:
        raise _from_answer(call, error.response) from error
    except tuple(kind for kinds, _ in EXCEPTIONS for kind in kinds) as error:
        ours = next(ours for kinds, ours in EXCEPTIONS if isinstance(error, kinds))
        refused = error.kwargs.get("error") if isinstance(error, boto.HTTPClientError) else error
        if isinstance(refused, AnswerRefused):
            raise call.refused(refused) from error
        raise call.failed(ours, detail=f"{type(error).__name__}: {error}") from error
    except boto.BotoCoreError:  # some are ValueErrors, but a wrong call or set-up is a fault of ours
        raise
    except _GARBAGE as error:
        raise call.failed(UpstreamUnavailable, detail=f"{type(error).__name__}: {error}") from error


@contextmanager
def foreign_configuration() -> Iterator[None]:
    """Where botocore reads AWS's variables and files. Raises: ConfigurationError."""
    try:
        yield
    except (boto.BotoCoreError, ValueError) as error:
        raise ConfigurationError([f"AWS configuration: {error}"]) from error


def kind_of(service: Service, code: str, status: int) -> type[GatewayError]:
    """What an AWS error code means; an unknown one is judged by its HTTP status.

    `code` is the status itself where the body held none (an HTML page, an empty body).
    """
    kind = CODES.get(code)
    if kind is None:
        throttled, unauthorized = status == 429, status in (401, 403)  # noqa: PLR2004  HTTP's own numbers
        kind = Throttled if throttled else AccessDenied if unauthorized else UpstreamUnavailable
    if service is Service.STS and issubclass(kind, AccessDenied | BadUserInput | ExecutionNotFound):
        return RoleNotAssumable
    return kind


def _shown(said: str) -> str:
    """Another's words as they may be passed on: without secrets, and not endless."""
    said = redacted(said)
    return said if len(said) <= _MAX_DETAIL_CHARACTERS else f"{said[:_MAX_DETAIL_CHARACTERS]}…"


def _from_answer(call: Call, answer: dict[str, Any]) -> GatewayError:
    error, meta = answer.get("Error") or {}, answer.get("ResponseMetadata") or {}
    code, said = str(error.get("Code", "")), str(error.get("Message", ""))
    kind = kind_of(call.service, code, int(meta.get("HTTPStatusCode", 0)))
    if kind is RoleNotAssumable and "DurationSeconds exceeds" in said:  # AWS has no code of its own for it
        kind = DurationRefusedToRoles if "role chaining" in said else DurationRefused
    return call.failed(
        kind,
        aws_said=said,
        aws_request_id=meta.get("RequestId"),
        retry_after_s=_retry_after_s(answer),
        detail=f"{code}: {said}",
    )


def _retry_after_s(response: dict[str, Any]) -> float | None:
    """Seconds from a modelled `RetryAfterSeconds` or a Retry-After header; a date there is ignored."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        told_s = float(response.get("RetryAfterSeconds") or headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
    return max(0.0, told_s) if math.isfinite(told_s) else None
