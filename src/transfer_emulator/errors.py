"""What AWS says when it refuses: one failure, spelled for both of its protocols.

    AwsError
    ├── refused before the operation is looked at   MISSING_TOKEN … BAD_SIGNATURE, EXPIRED_TOKEN
    ├── refused by the operation's own rules        INVALID_INPUT, DENIED, RESOURCE_NOT_FOUND …
    └── refused by a fault that somebody asked for  THROTTLED, INTERNAL, UNAVAILABLE, any other

awsJson says nearly everything with HTTP 400; the query protocol uses 403 for who you are.
A failure that the service models itself is shaped by that model (`model.Service.error_body`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """The code and HTTP status of one failure, in awsJson's and in the query protocol's words."""

    json_code: str
    json_status: int
    query_code: str
    query_status: int

    @classmethod
    def of(cls, code: str, status: int) -> "Failure":
        """A failure that both protocols call by the same name."""
        return cls(code, status, code, status)


class AwsError(Exception):
    """Ends a request with AWS's error answer; `members` are what the service's model adds to the message."""

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
RESOURCE_NOT_FOUND = Failure.of("ResourceNotFoundException", 400)


def unknown_key() -> AwsError:
    return AwsError(UNKNOWN_KEY, "The security token included in the request is invalid.")


def expired_token() -> AwsError:
    return AwsError(EXPIRED_TOKEN, "The security token included in the request is expired")


def not_authorized(caller_arn: str, action: str, resource: str, reason: str = "") -> AwsError:
    """AWS's one wording for whatever a policy does not allow; it does not tell what would have."""
    said = f"User: {caller_arn} is not authorized to perform: {action} on resource: {resource}{reason}"
    return AwsError(DENIED, said)


def not_found(resource_type: str, resource: str) -> AwsError:
    return AwsError(
        RESOURCE_NOT_FOUND,
        f"Unknown {resource_type.lower()}",
        Resource=resource,
        ResourceType=resource_type,
    )
