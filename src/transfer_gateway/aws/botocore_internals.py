"""Every private part of botocore, aiobotocore and aiohttp that the AWS layer uses.

Of aiobotocore's client (`AioBaseClient`, most of it botocore's `BaseClient`), for `sending.py`:

- `_make_api_call(operation_name, api_params)`: called by every method of a client. Replaced in the instance.
- `_resolve_endpoint_ruleset`, `_convert_to_request_dict`: build an operation's request, once.
- `_serializer.serialize_to_request`: builds the body of each later request.
- `_get_credentials`: the credentials to sign with.
- `_endpoint.http_session`: the client's HTTP session.

Of aiobotocore's `AIOHTTPSession`: `_get_session(proxy_url)`, the aiohttp session for a proxy or none;
`_proxy_config`, the proxy's URL and headers; `_build_verify_context` and `_verify`, the TLS context and what it trusts.

Of botocore's `SigV4Auth`: `_modify_request_before_signing`, which adds the headers that are signed; and, undocumented,
`canonical_request`, `signed_headers`, `headers_to_sign`, and `AWSRequest.context["timestamp"]`. Of
`AioResponseParserFactory`: `set_parser_defaults`, `create_parser`, whose parser's `parse` is a coroutine.

Of botocore's providers of credentials, for `own_credentials.py`: `_prompter` and `_profile_provider_builder` of
`AssumeRoleProvider`, `_popen` of `ProcessProvider`. Of `BotoCoreError`: `fmt`, the message's form in subclasses.

Of botocore's `Loader`: `file_loader`, a `JSONFileLoader` whose `load_file(file_path)` is overridden in
`botocore_data.py`.

Of aiohttp's `ClientSession`: `_response_class`, `_cookie_jar`, and `ATTRS`, which names such attributes. aiobotocore
makes the session and has no option for either. Of `ClientResponse`: `start(connection)`, which reads the head,
overridden in `receiving.py`.

Fallbacks: for the client and the signature, botocore's own call, which takes three times the CPU. For the HTTP session
and aiohttp's parts, aiobotocore's own session: responses then have no size limit, redirects are followed, cookies are
kept, and each client has its own TLS context. For the loader, botocore's own, which takes 9 MB more memory. For
credentials, the unchanged providers: a profile with `mfa_serial` prompts.
"""

# ruff: noqa: SLF001  the purpose of this module

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from aiobotocore.credentials import AioAssumeRoleProvider, AioProcessProvider, AioProfileProviderBuilder
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioResponseParserFactory
from botocore.auth import EMPTY_SHA256_HASH, SigV4Auth
from botocore.awsrequest import AWSRequest, create_request_object
from botocore.credentials import ReadOnlyCredentials
from botocore.loaders import JSONFileLoader

from transfer_gateway.library_checks import expect, require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ssl import SSLContext

    from botocore.loaders import Loader
    from botocore.model import OperationModel

    ApiCall = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

_TIME, _TOKEN = "\0time", "\0token"  # placeholders that cannot occur in a header


class ClientInternals:
    """A client's private parts. The constructor raises PartDiffers."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  botocore's clients are untyped
        require(
            client,
            "_make_api_call(operation_name, api_params)",
            "_resolve_endpoint_ruleset(operation_model, params, request_context)",
            "_convert_to_request_dict(api_params, operation_model, endpoint_url, context, headers)",
            "_serializer.serialize_to_request(parameters, operation_model)",
            "_get_credentials()",
            "_endpoint.http_session._get_session(proxy_url)",
            "_endpoint.http_session._proxy_config.proxy_url_for(url)",
            "_endpoint.http_session._proxy_config.proxy_headers_for(proxy_url)",
            "exceptions.from_code",
        )
        self._client = client
        self._http = client._endpoint.http_session
        self.meta = client.meta
        self.credentials: Callable[[], Any] = client._get_credentials
        self.serialize: Callable[[dict[str, Any], OperationModel], dict[str, Any]] = (
            client._serializer.serialize_to_request
        )
        self.exception: Callable[[str | None], Callable[..., Exception]] = client.exceptions.from_code

    async def request(
        self, model: OperationModel, api_params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """An unsigned request as botocore builds it, and its signing properties."""
        context: dict[str, Any] = {"client_region": self.meta.region_name, "client_config": self.meta.config}
        url, headers, _ = await self._client._resolve_endpoint_ruleset(model, api_params, context)
        request = await self._client._convert_to_request_dict(api_params, model, url, context, headers)
        return request, context.get("signing", {})

    async def http_session(self, url: str) -> tuple[aiohttp.ClientSession, dict[str, Any]]:
        """The session for the URL, and the options of its requests."""
        proxy_url = self._http._proxy_config.proxy_url_for(url)
        proxy_headers = self._http._proxy_config.proxy_headers_for(url)
        session = await self._http._get_session(proxy_url)
        return session, {"proxy": proxy_url, "proxy_headers": proxy_headers}

    def replace_calls(self, call: ApiCall) -> None:
        """Make the client's methods use `call`."""
        self._client._make_api_call = call


def text_to_sign(
    method: str, url: str, headers: dict[str, str], service: str, region: str, *, has_token: bool
) -> tuple[str, str, str, str]:
    """The canonical request split before the time, the token and the body's hash, and its `SignedHeaders`.

    Without a token the second part is empty.
    """
    auth = SigV4Auth(ReadOnlyCredentials("", "", _TOKEN if has_token else None), service, region)
    request = AWSRequest(method, url, data=b"", headers=headers)
    request.context["timestamp"] = _TIME
    auth._modify_request_before_signing(request)
    text = auth.canonical_request(request).removesuffix(EMPTY_SHA256_HASH)
    until_time, _, rest = text.partition(_TIME)
    until_token, _, until_body = rest.partition(_TOKEN) if has_token else (rest, "", "")
    return until_time, until_token, until_body, auth.signed_headers(auth.headers_to_sign(request))


def sign(
    request: dict[str, Any], credentials: ReadOnlyCredentials, service: str, region: str
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request of `ClientInternals.request`, signed and serialized by botocore's public API."""
    signed = create_request_object(request)
    SigV4Auth(credentials, service, region).add_auth(signed)
    body = signed.prepare().body  # str in the query protocol
    return dict(signed.headers.items()), body.encode() if isinstance(body, str) else body


def parser_of(protocol: str, timestamp_parser: Callable[[Any], Any]) -> Any:  # noqa: ANN401  botocore is untyped
    """A parser of the protocol's responses; its `parse` is a coroutine."""
    parsers = AioResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=timestamp_parser)
    return parsers.create_parser(protocol)


class SharedTlsSession(AIOHTTPSession):  # type: ignore[misc]  # botocore is untyped
    """aiobotocore's HTTP session with our response class, no cookies, and one TLS context for all clients.

    A context takes 1 MB, and 30 ms to load the CA certificates. Sharing it is safe, since no client has a client
    certificate or proxy TLS settings.
    """

    answer: ClassVar[type[aiohttp.ClientResponse]] = aiohttp.ClientResponse
    _contexts: ClassVar[dict[object, SSLContext]] = {}

    def _build_verify_context(self) -> SSLContext:
        context = self._contexts.get(self._verify)
        if context is None:
            context = self._contexts[self._verify] = super()._build_verify_context()
        return context

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if session._response_class is not self.answer:
            session._response_class = self.answer
            session._cookie_jar = aiohttp.DummyCookieJar()  # the default jar stores every cookie
        return session


def check_http_session() -> None:
    """Raises: PartDiffers, if `SharedTlsSession` would not work."""
    require(AIOHTTPSession, "_build_verify_context(self)", "_get_session(self, proxy_url)")
    require(AIOHTTPSession(), "_verify", "_proxy_config.proxy_url_for", "_proxy_config.proxy_headers_for")
    require(aiohttp.ClientResponse, "start(self, connection)", "read(self)")
    for name in ("_response_class", "_cookie_jar"):
        expect(f"ClientSession.{name} is missing", holds=name in aiohttp.ClientSession.ATTRS)


def check_loader(loader: Loader) -> None:
    """Raises: PartDiffers."""
    require(loader, "file_loader.load_file(file_path)")
    expect("Loader.file_loader is no JSONFileLoader", holds=isinstance(loader.file_loader, JSONFileLoader))


def change_credential_providers(
    session: Any,  # noqa: ANN401  botocore is untyped
    providers: list[Any],
    *,
    prompt: Callable[[str], str],
    start: Callable[..., Awaitable[object]],
) -> None:
    """Make providers request MFA codes by `prompt`, and start processes by `start`. Raises: PartDiffers."""

    class Profiles(AioProfileProviderBuilder):  # type: ignore[misc]  # botocore is untyped
        """Builds the providers of a `source_profile`."""

        def providers(self, *args: Any, **options: Any) -> list[Any]:  # noqa: ANN401  botocore's own
            made: list[Any] = super().providers(*args, **options)
            for provider in made:
                change(provider)
            return made

    def change(provider: Any) -> None:  # noqa: ANN401  as above
        if isinstance(provider, AioAssumeRoleProvider):
            require(provider, "_prompter", "_profile_provider_builder.providers")
            provider._prompter, provider._profile_provider_builder = prompt, Profiles(session)
        elif isinstance(provider, AioProcessProvider):
            require(provider, "_popen")
            provider._popen = start

    for provider in providers:
        change(provider)
