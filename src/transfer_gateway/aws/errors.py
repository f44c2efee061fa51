"""Maps botocore's errors to GatewayErrors: a table of error codes, a table of exceptions, and a context manager.

Errors are matched by code, never by botocore's exception class, since AWS returns codes that its own model lacks.
Sources: botocore's models of Transfer, STS, Organizations and CloudWatch Logs; AWS's lists of common errors.
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
from transfer_gateway.aws.receiving import AnswerRejected
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
    not_found,
)
from transfer_gateway.settings import ConfigurationError
from transfer_gateway.telemetry import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway.domain.errors import Key
    from transfer_gateway.domain.identity import AccountId, Region


class SessionRejected(AccessDenied):
    """AWS no longer accepts these credentials. Assume the role again and retry once."""


class SessionExpired(SessionRejected):
    """The credentials have expired or were revoked, in every region. A new session of the role may work."""


class DurationRejected(RoleNotAssumable):
    """STS rejects that session duration. Retry with one hour, which every role allows."""


class ChainedDurationRejected(DurationRejected):
    """Rejected for every role, because AWS limits role chaining and the gateway's own credentials are a role's."""


class Service(StrEnum):
    TRANSFER = "transfer"
    STS = "sts"
    ORGANIZATIONS = "organizations"
    LOGS = "logs"


CODES: dict[str, type[GatewayError]] = {
    "ResourceNotFoundException": ExecutionNotFound,
    # Our ids match AWS's patterns, so only the caller can correct what AWS still rejects.
    "InvalidParameterException": BadUserInput,
    "InvalidRequestException": BadUserInput,
    "ValidationException": BadUserInput,
    "ValidationError": BadUserInput,
    "AccessDenied": AccessDenied,
    "AccessDeniedException": AccessDenied,
    "UnauthorizedOperation": AccessDenied,
    "NotAuthorized": AccessDenied,
    "OptInRequired": AccessDenied,
    "SubscriptionRequiredException": AccessDenied,
    # A rejected signature: a skewed clock or a corrupted credential.
    "IncompleteSignature": AccessDenied,
    "IncompleteSignatureException": AccessDenied,
    "InvalidSignatureException": AccessDenied,
    "MissingAuthenticationToken": AccessDenied,
    "MissingAuthenticationTokenException": AccessDenied,
    "RequestExpired": AccessDenied,
    "SignatureDoesNotMatch": AccessDenied,
    "ExpiredToken": SessionExpired,
    "ExpiredTokenException": SessionExpired,
    "InvalidClientTokenId": SessionRejected,
    "UnrecognizedClientException": SessionRejected,
    # STS only: AssumeRole, and the calls that get the service's own credentials.
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
    # Organizations only: an account or OU in the configuration is wrong.
    "AWSOrganizationsNotInUseException": BadUserInput,
    "InvalidInputException": BadUserInput,
    "ParentNotFoundException": BadUserInput,
    # botocore's list of throttling codes.
    "BandwidthLimitExceeded": Throttled,
    "EC2ThrottledException": Throttled,
    "LimitExceededException": Throttled,
    "PriorRequestNotComplete": Throttled,
    "ProvisionedThroughputExceededException": Throttled,
    "RequestLimitExceeded": Throttled,
    "RequestThrottled": Throttled,
    "RequestThrottledException": Throttled,
    "ServiceQuotaExceededException": Throttled,
    "SlowDown": Throttled,
    "ThrottledException": Throttled,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "TransactionInProgressException": Throttled,
    "InternalFailure": UpstreamUnavailable,
    "InternalServerError": UpstreamUnavailable,
    "InternalServerException": UpstreamUnavailable,
    "InternalServiceError": UpstreamUnavailable,
    "ServiceException": UpstreamUnavailable,
    "RequestTimeout": UpstreamUnavailable,
    "RequestTimeoutException": UpstreamUnavailable,
    "ServiceUnavailable": UpstreamUnavailable,
    "ServiceUnavailableException": UpstreamUnavailable,
    # Never returned by the operations that we call, so the endpoint is probably not AWS.
    "ConflictException": UpstreamUnavailable,
    "DataAlreadyAcceptedException": UpstreamUnavailable,
    "InternalStreamingException": UpstreamUnavailable,
    "InvalidAction": UpstreamUnavailable,
    "InvalidNextTokenException": UpstreamUnavailable,  # AWS issued the token a moment ago
    "InvalidOperationException": UpstreamUnavailable,
    "InvalidSequenceTokenException": UpstreamUnavailable,
    "MalformedQueryException": UpstreamUnavailable,
    "OperationAbortedException": UpstreamUnavailable,
    "ResourceAlreadyExistsException": UpstreamUnavailable,
    "ResourceExistsException": UpstreamUnavailable,
    "SessionStreamingException": UpstreamUnavailable,
    "SessionTimeoutException": UpstreamUnavailable,
    "TooManyTagsException": UpstreamUnavailable,
    "UnknownOperationException": UpstreamUnavailable,
    "SerializationException": InternalServerError,
}

# First match wins. An exception in neither table is a bug; the HTTP or gRPC server masks it.
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
            boto.PaginationError,  # a repeated page token
            ResponseParserError,
            aiohttp.ClientError,
            OSError,
        ),
        UpstreamUnavailable,
    ),
)

_MESSAGES: dict[type[GatewayError], str] = {
    WorkflowNotFound: "AWS has no such workflow in {target}.",
    AccessDenied: "AWS denied {action} in {target}: the gateway's role there lacks the permission.",
    SessionRejected: "AWS denied {action} in {target}: it does not accept the role's session.",
    SessionExpired: "AWS denied {action} in {target}: the role's session has expired or was revoked.",
    BadUserInput: "AWS rejected the request as invalid: {aws}",
    RoleNotAssumable: "The gateway's role in {target} cannot be assumed.",
    DurationRejected: "The gateway's role in {target} cannot be assumed for as long as configured.",
    ChainedDurationRejected: "The gateway's role in {target} cannot be assumed for as long as configured.",
    Throttled: "AWS throttles {action} in {target}.",
    UpstreamUnavailable: "AWS could not answer {action} in {target}.",
    InternalServerError: "AWS could not read the gateway's request.",
}


@dataclass(frozen=True, slots=True)
class Call:
    """An AWS call: the operation and its target. No account means the organization.

    `key` is set if the call is about one object, such as an execution.
    """

    service: Service
    operation: str
    account_id: AccountId | None
    region: Region | None = None
    key: Key | None = None

    @property
    def action(self) -> str:
        """The IAM action."""
        return f"{self.service}:{self.operation}"

    def failed(self, kind: type[GatewayError], *, aws_message: str = "", **known: Any) -> GatewayError:  # noqa: ANN401  GatewayError's own
        """The error for callers, with our message. AWS's message goes into `detail`, since it may name roles."""
        if kind is ExecutionNotFound:
            if self.key is not None:
                return not_found(self.key, aws_request_id=known.get("aws_request_id"))
            kind = WorkflowNotFound
        message = _MESSAGES[kind].format(
            action=self.action, target=self._target_label, aws=_shown(aws_message)
        )
        if (detail := known.pop("detail", None)) is not None:
            known["detail"] = _shown(detail)
        return kind(message, account_id=self.account_id, region=self.region, **known)

    def rejected(self, rejected: AnswerRejected) -> UpstreamUnavailable:
        """The error for callers when we reject AWS's response."""
        return UpstreamUnavailable(
            f"AWS's answer to {self.action} in {self._target_label} was rejected: it {rejected.why}.",
            account_id=self.account_id,
            region=self.region,
            aws_request_id=rejected.aws_request_id,
            detail=_shown(f"{type(rejected).__name__}: {rejected}"),
        )

    @property
    def _target_label(self) -> str:
        account = f"account {self.account_id}" if self.account_id else "the organization"
        return account + (f", region {self.region}" if self.region else "")


_MAX_DETAIL_CHARACTERS = 2000
# Raised by botocore's parsers, and by our decoding, for malformed responses.
_MALFORMED = (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


@contextmanager
def foreign_errors(call: Call) -> Iterator[None]:
    """Convert errors raised inside to GatewayErrors about that call.

    Put only the call and the decoding of its response inside: errors such as ValueError count as a malformed response.
    """
    try:
        yield
    except GatewayError:
        raise
    except boto.ClientError as error:
        raise _from_answer(call, error.response) from error
    except tuple(kind for kinds, _ in EXCEPTIONS for kind in kinds) as error:
        ours = next(ours for kinds, ours in EXCEPTIONS if isinstance(error, kinds))
        rejected = error.kwargs.get("error") if isinstance(error, boto.HTTPClientError) else error
        if isinstance(rejected, AnswerRejected):
            raise call.rejected(rejected) from error
        raise call.failed(ours, detail=f"{type(error).__name__}: {error}") from error
    except boto.BotoCoreError:  # some are ValueErrors, but an invalid call or set-up is a bug
        raise
    except _MALFORMED as error:
        raise call.failed(UpstreamUnavailable, detail=f"{type(error).__name__}: {error}") from error


@contextmanager
def foreign_configuration() -> Iterator[None]:
    """For code in which botocore reads AWS's environment variables and files. Raises: ConfigurationError."""
    try:
        yield
    except (boto.BotoCoreError, ValueError) as error:
        raise ConfigurationError([f"AWS configuration: {error}"]) from error


def kind_of(service: Service, code: str, status: int) -> type[GatewayError]:
    """The error for an AWS error code; for an unknown code, by its HTTP status.

    `code` is the status itself if the body has no code (an HTML page, an empty body).
    """
    kind = CODES.get(code)
    if kind is None:
        throttled, unauthorized = status == 429, status in (401, 403)  # noqa: PLR2004  HTTP status codes
        kind = Throttled if throttled else AccessDenied if unauthorized else UpstreamUnavailable
    if service is Service.STS and issubclass(kind, AccessDenied | BadUserInput | ExecutionNotFound):
        return RoleNotAssumable
    return kind


def _shown(text: str) -> str:
    """A foreign message without secrets, and truncated."""
    text = redacted(text)
    return text if len(text) <= _MAX_DETAIL_CHARACTERS else f"{text[:_MAX_DETAIL_CHARACTERS]}…"


def _from_answer(call: Call, answer: dict[str, Any]) -> GatewayError:
    error, meta = answer.get("Error") or {}, answer.get("ResponseMetadata") or {}
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    kind = kind_of(call.service, code, int(meta.get("HTTPStatusCode", 0)))
    if kind is RoleNotAssumable and "DurationSeconds exceeds" in message:  # AWS has no separate code for it
        kind = ChainedDurationRejected if "role chaining" in message else DurationRejected
    return call.failed(
        kind,
        aws_message=message,
        aws_request_id=meta.get("RequestId"),
        retry_after_s=_retry_after_s(answer),
        detail=f"{code}: {message}",
    )


def _retry_after_s(response: dict[str, Any]) -> float | None:
    """Seconds from a modelled `RetryAfterSeconds` or the Retry-After header; None for a date."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        seconds = float(response.get("RetryAfterSeconds") or headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
