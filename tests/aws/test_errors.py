"""The table of errors is complete: every error of botocore's is either mapped or known to be a bug of ours."""

from __future__ import annotations

import inspect
from typing import Any

import aiobotocore.response
import aiohttp
import botocore.exceptions
import botocore.parsers
import botocore.session
import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from transfer_gateway.aws.errors import CODES, EXCEPTIONS, Call, Service, foreign_errors, kind_of
from transfer_gateway.aws.organizations import LISTS
from transfer_gateway.domain.errors import GatewayError, RoleNotAssumable, Throttled, UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId

CALL = Call(Service.TRANSFER, "DescribeExecution", AccountId("111111111111"))

# What only a wrong call, a wrong client set-up or a service other than ours makes botocore raise.
# Left to the doors, which mask it as INTERNAL_SERVER_ERROR. A class that is new in botocore goes here or
# into the table.
OURS = {
    "AliasConflictParameterError", "ApiVersionNotFoundError", "AwsChunkedWrapperError",
    "BaseEndpointResolverError", "BotoCoreError", "CapacityNotAvailableError", "ChecksumError",
    "DataNotFoundError", "EndpointProviderError", "EndpointResolutionError",
    "EndpointVariantError", "FlexibleChecksumError", "InvalidChecksumConfigError", "InvalidDNSNameError",
    "InvalidDefaultsMode", "InvalidEndpointConfigurationError", "InvalidEndpointDiscoveryConfigurationError",
    "InvalidExpressionError", "InvalidHostLabelError", "InvalidIMDSEndpointError",
    "InvalidIMDSEndpointModeError", "InvalidMaxRetryAttemptsError", "InvalidRegionError",
    "InvalidRetryConfigurationError", "InvalidRetryModeError", "InvalidS3AddressingStyleError",
    "InvalidS3UsEast1RegionalEndpointConfigError", "InvalidSTSRegionalEndpointsConfigError",
    "MD5UnavailableError", "MissingParametersError", "MissingServiceIdError",
    "NoAuthTokenError", "NoRegionError", "OperationNotPageableError", "ParamValidationError",
    "RangeError", "ServiceNotInRegionError", "StubAssertionError",
    "StubResponseError", "UnStubbedResponseError", "UndefinedModelAttributeError",
    "UnknownClientMethodError", "UnknownEndpointError",
    "UnknownEndpointResolutionBuiltInName", "UnknownFIPSEndpointError", "UnknownKeyError",
    "UnknownParameterError", "UnknownServiceError", "UnknownServiceStyle", "UnknownSignatureVersionError",
    "UnknownTokenProviderError", "UnseekableStreamError", "UnsupportedOutpostResourceError",
    "UnsupportedS3AccesspointConfigurationError", "UnsupportedS3ArnError", "UnsupportedS3ConfigurationError",
    "UnsupportedS3ControlArnError", "UnsupportedS3ControlConfigurationError",
    "UnsupportedServiceProtocolsError", "UnsupportedSignatureVersionError", "UnknownRegionError",
    "ValidationError", "WaiterConfigError", "WaiterError",
}  # fmt: skip


def exceptions_of(*modules: Any) -> list[type[Exception]]:
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]


def is_mapped(kind: type[Exception]) -> bool:
    return issubclass(kind, (botocore.exceptions.ClientError, *(k for kinds, _ in EXCEPTIONS for k in kinds)))


def test_every_exception_is_mapped_or_ours() -> None:
    """A new or removed exception class of botocore fails this test until it is handled."""
    left = {
        kind.__name__
        for kind in exceptions_of(botocore.exceptions, botocore.parsers, aiobotocore.response)
        if not is_mapped(kind)
    }
    in_event_streams = {"NoInitialResponseError", "ParseError"}  # which neither service has
    assert left - in_event_streams == OURS


def test_every_exception_of_the_http_client_is_mapped() -> None:
    """aiohttp's errors are mapped too, in case aiobotocore raises one."""
    clients = [kind for kind in exceptions_of(aiohttp) if issubclass(kind, aiohttp.ClientError)]
    assert len(clients) > 10
    assert [kind.__name__ for kind in clients if not is_mapped(kind)] == []


@pytest.mark.parametrize("service", [Service.TRANSFER, Service.STS, Service.LOGS])
def test_every_modelled_code_is_mapped(service: Service) -> None:
    """Every error shape of the services' models is in the table, by its code on the wire."""
    model = botocore.session.get_session().get_service_model(service)
    shapes = [model.shape_for(name) for name in model.shape_names]
    codes = {code_of(shape) for shape in shapes if shape.metadata.get("exception")}
    assert codes - set(CODES) == set()


@pytest.mark.parametrize("operation", LISTS)
def test_every_code_of_organizations_in_use_is_mapped(operation: str) -> None:
    """So are Organizations' error shapes, for the operations in use."""
    model = botocore.session.get_session().get_service_model(Service.ORGANIZATIONS)
    operation_model = model.operation_model(operation)
    assert {code_of(shape) for shape in operation_model.error_shapes} - set(CODES) == set()
    assert LISTS[operation] in operation_model.output_shape.members


def code_of(shape: Any) -> str:
    return str(shape.metadata.get("error", {}).get("code", shape.name))


def test_every_retryable_code_of_botocore_is_retryable_here() -> None:
    """Codes that botocore retries as throttled or transient are such in our table, too."""
    throttled = ThrottledRetryableChecker._THROTTLED_ERROR_CODES
    assert [code for code in throttled if CODES.get(code) is not Throttled] == []
    transient = TransientRetryableChecker._TRANSIENT_ERROR_CODES
    assert [code for code in transient if CODES.get(code) not in {UpstreamUnavailable, Throttled}] == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_sts_never_speaks_of_the_execution(code: str) -> None:
    """Any error of STS means that the role can't be assumed, or that STS is unavailable."""
    assert kind_of(Service.STS, code, 400).code in {
        "ROLE_NOT_ASSUMABLE",
        "THROTTLED",
        "UPSTREAM_UNAVAILABLE",
        "INTERNAL_SERVER_ERROR",
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (botocore.exceptions.NoCredentialsError(), "ROLE_NOT_ASSUMABLE"),
        (botocore.exceptions.CredentialRetrievalError(provider="p", error_msg="m"), "ROLE_NOT_ASSUMABLE"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="u"), "UPSTREAM_UNAVAILABLE"),
        (botocore.exceptions.SSLError(endpoint_url="u", error="e"), "UPSTREAM_UNAVAILABLE"),
        (botocore.parsers.ResponseParserError("garbage"), "UPSTREAM_UNAVAILABLE"),
        (aiohttp.ClientPayloadError("short"), "UPSTREAM_UNAVAILABLE"),
        (ConnectionResetError("reset"), "UPSTREAM_UNAVAILABLE"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_exceptions_cross_the_border(error: Exception, code: str) -> None:
    """A foreign exception becomes ours, with the account and the cause."""
    with pytest.raises(GatewayError) as caught, foreign_errors(CALL):
        raise error
    assert (caught.value.code, caught.value.account_id) == (code, "111111111111")
    assert caught.value.__cause__ is error


def test_faults_of_ours_pass() -> None:
    """An error that AWS did not cause is not converted."""
    with pytest.raises(ZeroDivisionError), foreign_errors(CALL):
        _ = 1 / 0


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        ({"RetryAfterSeconds": "7"}, 7.0),
        ({"ResponseMetadata": {"HTTPHeaders": {"retry-after": "2.5"}}}, 2.5),
        ({"ResponseMetadata": {"HTTPHeaders": {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}}}, None),
        ({}, None),
    ],
)
def test_retry_after(response: dict[str, Any], seconds: float | None) -> None:
    """If AWS returns a delay, callers get it."""
    answer = {"Error": {"Code": "ThrottlingException", "Message": ""}} | response
    with pytest.raises(Throttled) as caught, foreign_errors(CALL):
        raise botocore.exceptions.ClientError(answer, "DescribeExecution")
    assert caught.value.retry_after_s == seconds


def test_aws_words_go_to_the_log_only() -> None:
    """AWS's message may name roles, so it is in `detail`, not in `message`."""
    answer = {"Error": {"Code": "AccessDenied", "Message": "arn:aws:iam::1:role/Secret may not"}}
    with (
        pytest.raises(RoleNotAssumable) as caught,
        foreign_errors(Call(Service.STS, "AssumeRole", CALL.account_id)),
    ):
        raise botocore.exceptions.ClientError(answer, "AssumeRole")
    assert "Secret" not in caught.value.message
    assert "Secret" in (caught.value.detail or "")
