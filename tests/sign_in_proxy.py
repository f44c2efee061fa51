"""What oauth2-proxy does in front of the gateway, with a provider that signs everybody in at once.

Source: oauth2-proxy 7.15, `Proxy`, `isAjax` and `doOAuthStart` of oauthproxy.go, with the settings of
k8s/components/oauth2-proxy.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

COOKIE = "sign-in"
_CALLBACK, _PROVIDER = "/oauth2/callback", "/the-providers-page"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade"}


class SignInProxy:
    """`new_token`: the ID token of who signs in. `expire` ends all sessions. `sign_ins`: the URLs that led to one."""

    def __init__(self, gateway: str, new_token: Callable[[], str], *, below: str = "") -> None:
        self.sign_ins: list[str] = []
        self.authorizations: list[str | None] = []
        self._gateway, self._new_token, self._below = gateway, new_token, below
        self._sessions: dict[str, str] = {}
        self._returns: dict[str, str] = {}

    def expire(self) -> None:
        self._sessions.clear()

    def replace_tokens(self, token: str) -> None:
        """As of a session that was not refreshed in time."""
        self._sessions = dict.fromkeys(self._sessions, token)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._below}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == _PROVIDER:
            if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
                return web.Response(
                    status=403
                )  # it is another origin, which a page's policy lets nothing load from
            return _found(f"{_CALLBACK}?{urlencode({'state': request.query['state']})}")
        if request.path == _CALLBACK:
            session = secrets.token_urlsafe()
            self._sessions[session] = self._new_token()
            response = _found(self._returns.pop(request.query["state"]))
            response.set_cookie(COOKIE, session, httponly=True, samesite="Lax")
            return response
        token = self._sessions.get(request.cookies.get(COOKIE, ""))
        if token is None:
            return self._to_sign_in(request)
        return await self._passed_on(request, token)

    def _to_sign_in(self, request: web.BaseRequest) -> web.StreamResponse:
        accepted = {item.strip() for line in request.headers.getall("accept", []) for item in line.split(",")}
        if "application/json" in accepted:  # exactly so
            return web.json_response({}, status=401)
        state = secrets.token_urlsafe()
        self._returns[state] = request.path_qs
        self.sign_ins.append(request.path_qs)
        return _found(f"{_PROVIDER}?{urlencode({'state': state})}")

    async def _passed_on(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("authorization"))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        target = f"{self._gateway}{request.path_qs.removeprefix(self._below)}"
        async with self._http.request(
            request.method,
            target,
            data=await request.read(),
            headers=headers | {"authorization": f"Bearer {token}"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(),
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for piece in answer.content.iter_any():  # as it comes: streams
                await response.write(piece)
            await response.write_eof()
        return response


def _found(location: str) -> web.Response:
    return web.Response(status=302, headers={"location": location})
