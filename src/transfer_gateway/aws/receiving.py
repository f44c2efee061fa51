"""Limits on AWS's responses: bytes and values, no redirects, no cookies. The endpoint may not be AWS.

aiohttp limits the headers: 128 of 8 KB. Nothing is decompressed. A response over a limit closes its connection.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

from transfer_gateway.aws.botocore_internals import SharedTlsSession, check_http_session
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MAX_ANSWER_BYTES = 4_194_304
# For errors and for STS, whose responses have 1 KB: botocore parses them slowly, in Python.
MAX_SMALL_ANSWER_BYTES = 65_536
# Parsing 1 MB takes 5 ms of the event loop, but 100 ms if it is full of tiny values. Real values have 40 bytes or more.
_BYTES_PER_VALUE = 40
_FAILED = 300  # and above, as in botocore
# A JSON string, or the beginning of one to the body's end: linear, as a search never resumes within a match.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


class AnswerRejected(aiohttp.ClientError):
    """A rejected response. `why` completes the sentence "AWS's answer …"."""

    def __init__(self, why: str, aws_request_id: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.aws_request_id = aws_request_id


class _BoundedAnswer(aiohttp.ClientResponse):
    """aiohttp's response, with limits."""

    max_bytes: ClassVar[int] = MAX_ANSWER_BYTES
    _content: bytes | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Raises: AnswerRejected, for a redirect that aiohttp would follow with our signature."""
        await super().start(connection)
        if "Location" in self.headers and _FAILED <= self.status < 400:  # noqa: PLR2004  HTTP's redirects
            raise self._rejection("is a redirect")
        return self

    async def read(self) -> bytes:
        """Raises: AnswerRejected, if the limit is or will be exceeded."""
        if self._content is None:
            try:
                self._content = await self._read_bounded()
            except BaseException:
                self.close()
                raise
        return self._content

    async def _read_bounded(self) -> bytes:
        max_bytes = self.max_bytes if self.status < _FAILED else min(self.max_bytes, MAX_SMALL_ANSWER_BYTES)
        content = self.content
        body = await content.readany()
        if not content.at_eof():
            if (self.content_length or 0) > max_bytes:
                raise self._rejection(f"is larger than {max_bytes} bytes")
            pieces = bytearray(body)
            while len(pieces) <= max_bytes and not content.at_eof():
                pieces += await content.readany()
            body = bytes(pieces)
        if len(body) > max_bytes:
            raise self._rejection(f"is larger than {max_bytes} bytes")
        if len(body) > MAX_SMALL_ANSWER_BYTES and _has_more_values(body, self.max_bytes // _BYTES_PER_VALUE):
            raise self._rejection(f"has more than {self.max_bytes // _BYTES_PER_VALUE} values")
        return body

    def _rejection(self, why: str) -> AnswerRejected:
        return AnswerRejected(why, self.headers.get("x-amzn-requestid"))


def _has_more_values(body: bytes, most: int) -> bool:
    """Whether that JSON has more values. A log's message is JSON in a string, which is one value.

    To leave strings out takes 60 ms for 4 MB, but more if they are tiny. Each value has at most its name and itself.
    """
    if _values_in(body) <= most:
        return False
    strings = (body.count(b'"') - body.count(b'\\"')) // 2
    return strings > 2 * most or _values_in(_STRING.sub(b"", body)) > most


def _values_in(body: bytes) -> int:
    """An upper bound of the number of values in that JSON."""
    return body.count(b",") + body.count(b"{") + body.count(b"[")


def bounded_http(max_answer_bytes: int) -> type[AIOHTTPSession]:
    """The `http_session_cls` of clients that accept responses of at most `max_answer_bytes`."""
    with Check(
        "aiobotocore",
        fallback="aiobotocore's HTTP session, which has no limits on responses and follows redirects",
    ) as check:
        check_http_session()
    return _bounded_session(max_answer_bytes) if check.passed else AIOHTTPSession


@cache
def _bounded_session(max_answer_bytes: int) -> type[SharedTlsSession]:
    answer = type("_BoundedAnswer", (_BoundedAnswer,), {"max_bytes": max_answer_bytes})
    return type("_BoundedHttp", (SharedTlsSession,), {"answer": answer})
