"""The base class of all errors that a caller may see, and the error that ids raise. `errors.py` has the others."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
_QUOTED_CHARACTERS = 80


def quote(value: object) -> str:
    """A caller's value for a message: JSON, at most 80 characters."""
    text = ""
    # Piece by piece: of a large value only the beginning is encoded.
    for piece in _JSON.iterencode(value[:_QUOTED_CHARACTERS] if isinstance(value, str) else value):
        text += piece
        if len(text) > _QUOTED_CHARACTERS:
            return text[: _QUOTED_CHARACTERS - 1] + "…"
    return text


class ErrorCode(StrEnum):
    """Stable error codes for callers. Never rename one."""

    EXECUTION_NOT_FOUND = "EXECUTION_NOT_FOUND"
    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    SERVER_NOT_FOUND = "SERVER_NOT_FOUND"
    LOG_GROUP_NOT_FOUND = "LOG_GROUP_NOT_FOUND"
    ACCOUNT_NOT_AVAILABLE = "ACCOUNT_NOT_AVAILABLE"
    ACCESS_DENIED = "ACCESS_DENIED"
    ROLE_NOT_ASSUMABLE = "ROLE_NOT_ASSUMABLE"
    THROTTLED = "THROTTLED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    AUDIT_LOG_UNAVAILABLE = "AUDIT_LOG_UNAVAILABLE"
    HISTORY_OFF = "HISTORY_OFF"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class GatewayError(Exception):
    """A failure that a caller may see.

    `message` is for the caller. `detail` is only logged: it may contain AWS's own message, with role ARNs.
    `retry_after_s`: seconds from now; None: unknown. `resource`: the global id of what was not found.
    """

    code: ClassVar[ErrorCode]

    def __init__(
        self,
        message: str,
        *,
        account_id: str | None = None,
        region: str | None = None,
        aws_request_id: str | None = None,
        retry_after_s: float | None = None,
        detail: str | None = None,
        resource: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.account_id = account_id
        self.region = region
        self.aws_request_id = aws_request_id
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.resource = resource

    def copy(self, *, region: str | None = None, retry_after_s: float | None = None) -> Self:
        """The same error for another caller, with that caller's `region`.

        An exception raised twice would collect both stack traces.
        """
        return type(self)(
            self.message,
            account_id=self.account_id,
            region=region or self.region,
            aws_request_id=self.aws_request_id,
            retry_after_s=self.retry_after_s if retry_after_s is None else retry_after_s,
            detail=self.detail,
            resource=self.resource,
        )


class BadUserInput(GatewayError, ValueError):
    """Also a ValueError, so that pydantic reports it with its location in a file.

    `field`: the invalid field; the message starts with its name, which GraphQL and gRPC spell differently. `other`: the
    field that it contradicts, with whose name the message ends.
    """

    code = ErrorCode.BAD_USER_INPUT
    field: str | None = None
    other: str | None = None

    @classmethod
    def of(cls, field: str, rule: str, *, other: str | None = None) -> BadUserInput:
        error = cls(f"{field} {rule}" if other is None else f"{field} {rule} {other}.")
        error.field, error.other = field, other
        return error

    def message_with(self, spell: Callable[[str], str]) -> str:
        """The message with the fields' names spelled as in the caller's API."""
        message = self.message
        if self.other is not None:
            message = f"{message.removesuffix(f'{self.other}.')}{spell(self.other)}."
        return message if self.field is None else spell(self.field) + message[len(self.field) :]
