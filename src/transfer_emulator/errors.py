"""AWS's error responses, for both protocols.

    AwsError
    ├── authentication failures            MISSING_TOKEN … BAD_SIGNATURE, EXPIRED_TOKEN
    ├── the operation's own errors         INVALID_INPUT, DENIED, RESOURCE_NOT_FOUND …
    └── injected faults                    THROTTLED, INTERNAL, UNAVAILABLE, any other

awsJson uses HTTP 400 for nearly all errors; the query protocol uses 403 for authentication and authorization.
Errors that the service's model defines are shaped by that model (`model.Service.error_body`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """The code and HTTP status of an error in awsJson and in the query protocol."""

    json_code: str
    json_status: int
    query_code: str
    query_status: int

    @classmethod
    def of(cls, code: str, status: int) -> "Failure":
        """An error with the same code and status in both protocols."""
        return cls(code, status, code, status)


class AwsError(Exception):
    """Ends a request with an AWS error response. `members`: further members that the service's model defines."""

    def __init__(self, failure: Failure, message: str | None = None, **members: str) -> None:
        super().__init__(failure.json_code, message)
        self.failure = failure
        self.message = message
        self.members = members


MISSING_TOKEN = Failure("MissingAuthenticationTokenException", 400, "MissingAuthenticationToken", 403)
INCOMPLETE_SIGNATURE = Failure("IncompleteSignatureException", 400, "IncompleteSignature", 400)
UNKNOWN_KEY = Failure("UnrecognizedClientException", 400, "InvalidClientTokenId", 403)
BAD_SIGNATURE = Failure("InvalidSignatureException", 400, "SignatureDoesNotMatch", 403)
EXPIRED_TOKEN = Failure("ExpiredTokenException", 400, "ExpiredToken", 403)
DENIED = Failure("AccessDeniedException", 400, "AccessDenied", 403)
THROTTLED = Failure("ThrottlingException", 400, "Throttling", 400)
UNKNOWN_OPERATION = Failure("UnknownOperationException", 400, "InvalidAction", 400)
MALFORMED = Failure("SerializationException", 400, "MalformedInput", 400)
INVALID_INPUT = Failure("ValidationException", 400, "ValidationError", 400)
INTERNAL = Failure("InternalServiceError", 500, "InternalFailure", 500)
UNAVAILABLE = Failure("ServiceUnavailableException", 503, "ServiceUnavailable", 503)

INVALID_NEXT_TOKEN = Failure.of("InvalidNextTokenException", 400)
INVALID_PARAMETER = Failure.of("InvalidParameterException", 400)
RESOURCE_NOT_FOUND = Failure.of("ResourceNotFoundException", 400)


def unknown_key() -> AwsError:
    return AwsError(UNKNOWN_KEY, "The security token included in the request is invalid.")


def expired_token() -> AwsError:
    return AwsError(EXPIRED_TOKEN, "The security token included in the request is expired")


def not_authorized(caller_arn: str, action: str, resource: str, reason: str = "") -> AwsError:
    """AWS's message for anything that no policy allows."""
    message = f"User: {caller_arn} is not authorized to perform: {action} on resource: {resource}{reason}"
    return AwsError(DENIED, message)


def not_found(resource_type: str, resource: str) -> AwsError:
    return AwsError(
        RESOURCE_NOT_FOUND,
        f"Unknown {resource_type.lower()}",
        Resource=resource,
        ResourceType=resource_type,
    )


def no_log_group() -> AwsError:
    return AwsError(RESOURCE_NOT_FOUND, "The specified log group does not exist.")
