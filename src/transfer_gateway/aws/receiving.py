"""What is taken of an answer: so many bytes and values, no redirect, no cookie. Whoever is at AWS's address may lie.

aiohttp bounds the head: 128 headers of 8 KB. Nothing is decompressed. An answer over a bound ends its connection.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

if TYPE_CHECKING:
    from ssl import SSLContext

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

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Raises: AnswerRefused, for what aiohttp would follow with our signature."""
        await super().start(connection)
        if "Location" in self.headers and _FAILED <= self.status < 400:  # noqa: PLR2004  HTTP's redirects
            raise self._refusal("is a redirect")
        return self

    async def read(self) -> bytes:
        """Raises: AnswerRefused, when the bound is passed or is going to be."""
        if self._body is None:
            try:
                self._body = await self._read_bounded()
            except BaseException:
                self.close()
                raise
        return await super().read()

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


class SharedTls(AIOHTTPSession):  # type: ignore[misc]  # botocore is untyped
    """aiobotocore's HTTP, but with bounds, and one TLS context for all clients.

    Each context takes 1 MB, and 30 ms to read authorities. None of our clients has what would be added to its context,
    a certificate of its own or a proxy's settings.
    """

    answer: ClassVar[type[_BoundedAnswer]] = _BoundedAnswer
    _contexts: ClassVar[dict[object, SSLContext]] = {}

    def _build_verify_context(self) -> SSLContext:
        context = self._contexts.get(self._verify)
        if context is None:
            context = self._contexts[self._verify] = super()._build_verify_context()
        return context

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        """aiobotocore makes it, and has no way to say how: hence private parts of aiohttp's."""
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if session._response_class is not self.answer:  # noqa: SLF001
            session._response_class = self.answer  # noqa: SLF001
            session._cookie_jar = aiohttp.DummyCookieJar()  # noqa: SLF001  it would keep all it is sent
        return session


@cache
def bounded_http(max_answer_bytes: int) -> type[SharedTls]:
    """What clients send by whose answers have so many bytes at most."""
    answer = type("_BoundedAnswer", (_BoundedAnswer,), {"max_bytes": max_answer_bytes})
    return type("_BoundedHttp", (SharedTls,), {"answer": answer})
