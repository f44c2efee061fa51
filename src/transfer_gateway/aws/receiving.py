"""What is taken of an answer: so many bytes and values, no redirect, no cookie. Whoever is at AWS's address may lie.

aiohttp bounds the head: 128 headers of 8 KB. Nothing is decompressed. An answer over a bound ends its connection.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

from transfer_gateway.aws.botocore_internals import SharedTlsSession, check_http_session
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MAX_ANSWER_BYTES = 4_194_304
# Of an error and of STS, which have 1 KB: botocore reads those in Python, slowly.
MAX_SMALL_ANSWER_BYTES = 65_536
# Reading 1 MB takes 5 ms of the event loop, unless it is full of tiny values: then, 100. Ours have 40 bytes and more.
_BYTES_PER_VALUE = 40
_FAILED = 300  # and above, as botocore has it


class AnswerRefused(aiohttp.ClientError):
    """An answer that is not taken, and why: the rest of "AWS's answer …"."""

    def __init__(self, why: str, aws_request_id: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.aws_request_id = aws_request_id


class _BoundedAnswer(aiohttp.ClientResponse):
    """aiohttp's, with bounds to what it reads."""

    max_bytes: ClassVar[int] = MAX_ANSWER_BYTES
    _content: bytes | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Raises: AnswerRefused, for what aiohttp would follow with our signature."""
        await super().start(connection)
        if "Location" in self.headers and _FAILED <= self.status < 400:  # noqa: PLR2004  HTTP's redirects
            raise self._refusal("is a redirect")
        return self

    async def read(self) -> bytes:
        """Raises: AnswerRefused, when the bound is passed or is going to be."""
        if self._content is None:
            try:
                self._content = await self._read_bounded()
            except BaseException:
                self.close()
                raise
        return self._content

    async def _read_bounded(self) -> bytes:
        most = self.max_bytes if self.status < _FAILED else min(self.max_bytes, MAX_SMALL_ANSWER_BYTES)
        content = self.content
        body = await content.readany()
        if not content.at_eof():
            if (self.content_length or 0) > most:
                raise self._refusal(f"is larger than {most} bytes")
            pieces = bytearray(body)
            while len(pieces) <= most and not content.at_eof():
                pieces += await content.readany()
            body = bytes(pieces)
        if len(body) > most:
            raise self._refusal(f"is larger than {most} bytes")
        if len(body) > MAX_SMALL_ANSWER_BYTES and _values_in(body) > self.max_bytes // _BYTES_PER_VALUE:
            raise self._refusal(f"has more than {self.max_bytes // _BYTES_PER_VALUE} values")
        return body

    def _refusal(self, why: str) -> AnswerRefused:
        return AnswerRefused(why, self.headers.get("x-amzn-requestid"))


def _values_in(body: bytes) -> int:
    """No fewer than there are in that JSON, whatever its texts hold."""
    return body.count(b",") + body.count(b"{") + body.count(b"[")


def bounded_http(max_answer_bytes: int) -> type[AIOHTTPSession]:
    """The `http_session_cls` of clients whose answers have at most so many bytes."""
    with Check(
        "aiobotocore",
        fallback="aiobotocore's HTTP session: without limits of AWS's answers, and it follows redirects",
    ) as check:
        check_http_session()
    return _bounded_session(max_answer_bytes) if check.passed else AIOHTTPSession


@cache
def _bounded_session(max_answer_bytes: int) -> type[SharedTlsSession]:
    answer = type("_BoundedAnswer", (_BoundedAnswer,), {"max_bytes": max_answer_bytes})
    return type("_BoundedHttp", (SharedTlsSession,), {"answer": answer})
