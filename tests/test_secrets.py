"""Secrets of the environment: whatever goes wrong, none is in anything that the command writes or answers."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import grpc
import pytest

from command import run, started
from issuer import AUDIENCE
from receiver import receiver
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway.telemetry.redaction import HIDDEN, redacted, redacted_line
from wire import HOME, PLAIN, QUERY, REGION, calling, until

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator
    from pathlib import Path

    from transfer_emulator import Emulator

pytestmark = pytest.mark.early

KEY = {
    "accountId": PLAIN,
    "region": REGION,
    "workflowId": "w-00000000000000000",
    "executionId": "3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d",
}
PROXY, ENDPOINT, OTEL, HEADER, QUERIED = (
    "pröxy/p@ss#1",
    "endpoint'p\\ss",
    "otel-pass",
    "header-value",
    "query-value",
)
ACCESS, TOKEN, CURSOR = "wJalr/XUtnFEMI+K7MDENG", "IQoJb3JpZ2luX2VjEXAMPLETOKEN", "cursor secret of this test"
SECRETS = [PROXY, ENDPOINT, OTEL, HEADER, QUERIED, ACCESS, TOKEN, CURSOR]


def spellings(secret: str) -> set[str]:
    """As it may come up."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        repr(secret)[1:-1],
        base64.b64encode(f"user:{secret}".encode()).decode(),
    }


def assert_hidden(*outputs: str | bytes) -> None:
    for output in outputs:
        text = output.decode(errors="replace") if isinstance(output, bytes) else output
        for secret in SECRETS:
            assert [spelling for spelling in spellings(secret) if spelling in text] == []


@asynccontextmanager
async def proxy(status: int) -> AsyncIterator[str]:
    """One that answers everything so. Yields: host and port."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        body = b"You sent:\r\n" + asked  # the worst that it may say
        head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\nProxy-Authenticate: Basic\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        yield "{}:{}".format(*serving.sockets[0].getsockname())


def environment(proxy_url: str, accounts_file: Path) -> dict[str, str]:
    return {
        "HTTPS_PROXY": proxy_url,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": ACCESS,
        "AWS_SESSION_TOKEN": TOKEN,
        "TRANSFER_GATEWAY_CURSOR_SECRET": CURSOR,
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "2",  # less than the pause before a refused call is retried
    }


async def ask_both_doors(url: str, grpc_address: str) -> list[str | bytes]:
    """Everything that they answer."""
    async with calling(url) as gateway, grpc.aio.insecure_channel(grpc_address) as channel:
        async with asyncio.TaskGroup() as tasks:  # each waits for its attempts
            refused = tasks.create_task(ask_grpc(channel))
            asked = [
                tasks.create_task(gateway.post({"query": query, "variables": {"key": KEY}}))
                for query in (QUERY, "{ inProgressExecutions { edges { cursor } } }")
            ]
        return [
            *(task.result().body for task in asked),
            (await gateway.send("GET", "/readyz")).body,
            (await gateway.send("GET", "/metrics")).body,
            *refused.result(),
        ]


async def ask_grpc(channel: grpc.aio.Channel) -> list[str]:
    key = execution_pb2.ExecutionKey(
        account_id=PLAIN, region=REGION, workflow_id=KEY["workflowId"], execution_id=KEY["executionId"]
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await ExecutionServiceStub(channel).GetExecution(pb.GetExecutionRequest(key=key))
    return [repr(failed.value), str(failed.value.trailing_metadata())]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("status", [502, 407])
@pytest.mark.variants(keep=2)
async def test_a_proxy_that_refuses(accounts_file: Path, status: int, form: str) -> None:
    """The proxy's password is in no answer, no log line, no span and no metric."""
    async with proxy(status) as address, receiver() as collector:
        collected = collector.url.replace("http://", f"http://user:{OTEL}@") + f"?api_key={QUERIED}"
        given = environment(f"http://user:{quote(PROXY, safe='')}@{address}", accounts_file) | {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collected.replace("?", "/v1/traces?"),
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Basic%20{HEADER},x-api-key={HEADER}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "TRANSFER_GATEWAY_LOG_FORMAT": form,
        }
        async with started("serve", "--http-port", "0", **given) as serving:
            answers = await ask_both_doors(serving.url, serving.grpc)
            await until(lambda: collector.spans)
            code, log = await serving.stop()
        assert code == 0
        assert str(status) in log
        assert HIDDEN in log
        assert_hidden(serving.printed, log, collector.raw, *answers)

        code, out, err = await run("check-config", "--assume", **given)
        assert code == 1
        assert f"ClientHttpProxyError: {status}" in out
        assert_hidden(out, err)


async def test_a_proxy_without_scheme_or_encoding(accounts_file: Path) -> None:
    """So are passwords that were not encoded as in a URL, in a URL that has no scheme."""
    async with proxy(407) as address:
        code, out, err = await run(
            "check-config", "--assume", **environment(f"user:{PROXY}@{address}", accounts_file)
        )
    assert code == 2
    assert_hidden(out, err)


async def test_issuers_behind_a_proxy(accounts_file: Path, tmp_path: Path) -> None:
    """The same for an issuer's keys, and for an issuer whose URL has a password."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{ callers: { any: true }, accounts: { all: true } }]")
    async with proxy(407) as address:
        given = environment(f"http://user:{quote(PROXY, safe='')}@{address}", accounts_file) | {
            "TRANSFER_GATEWAY_AUTH": "oidc",
            "TRANSFER_GATEWAY_OIDC_AUDIENCES": AUDIENCE,
            "TRANSFER_GATEWAY_OIDC_ISSUERS": "https://sso.example.com",
            "TRANSFER_GATEWAY_POLICY_FILE": str(policy),
        }
        code, out, err = await run("check-config", "--assume", **given)
        assert (code, "https://sso.example.com: ClientHttpProxyError: 407" in out) == (1, True)
        assert_hidden(out, err)
        async with started("serve", "--http-port", "0", **given) as serving:
            await until(lambda: "issuer_keys_not_fetched" in serving.log_so_far())
            _, log = await serving.stop()
        assert_hidden(log)

    given["TRANSFER_GATEWAY_OIDC_ISSUERS"] = f"https://user:{quote(PROXY)}@sso.example.com"
    code, out, err = await run("check-config", **given)
    assert (code, f"error: issuer 'https://{HIDDEN}@sso.example.com' must be" in err) == (2, True)
    assert_hidden(out, err)


PASSWORD = "http://user:{}@127.0.0.1:1"
ENDPOINT_PROBLEMS = {
    PASSWORD: "must have no user and password",
    "nonsense://user:{}@127.0.0.1:1": "must have no user and password",
    "nonsense://127.0.0.1:1": "must be http:// or https:// with a host",
    "http://127.0.0.1:99999": "must be http:// or https:// with a host",
}


@pytest.mark.parametrize(
    ("service", "form"),
    [
        *(("_STS", form) for form in ENDPOINT_PROBLEMS),
        *((it, PASSWORD) for it in ("", "_TRANSFER", "_ORGANIZATIONS")),
    ],
)
@pytest.mark.variants(keep=2)
async def test_endpoints_that_cannot_work(
    aws: Emulator, accounts_file: Path, tmp_path: Path, service: str, form: str
) -> None:
    """An endpoint of AWS with which every call would fail is refused at start, and its password told nowhere."""
    accounts_file.write_text(
        f"""
defaults: {{ regions: [{REGION}] }}
discover: {{ organizations: {{}} }}
accounts: [{{ id: "{PLAIN}" }}, {{ id: "{HOME}", role_arn: null }}]
"""
    )
    given = {
        f"AWS_ENDPOINT_URL{service}": form.format(quote(ENDPOINT)),
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
    }
    if not service:
        given |= dict.fromkeys(("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_TRANSFER"), "")
    code, out, err = await run("serve", "--http-port", "0", **given)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: AWS configuration: AWS_ENDPOINT_URL{service or '_'}")
    assert ENDPOINT_PROBLEMS[form] in err
    assert_hidden(err)


async def test_a_collector_with_a_password(accounts_file: Path) -> None:
    """The same for a collector of traces that is not there."""
    given = environment("", accounts_file) | {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{OTEL}@127.0.0.1:1?api_key={QUERIED}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with started("serve", "--http-port", "0", **given) as serving:
        answers = await ask_both_doors(serving.url, serving.grpc)
        _, log = await serving.stop()
    assert "lookup_failed" in log
    assert_hidden(log, *answers)


async def test_a_credential_in_a_profile(accounts_file: Path, tmp_path: Path) -> None:
    """The same for an endpoint in AWS's own file, whose password nobody knows of before."""
    config = tmp_path / "config"
    config.write_text(f"[default]\nendpoint_url = https://user:{OTEL}@127.0.0.1:1\n")
    given = environment("", accounts_file) | {"AWS_CONFIG_FILE": str(config)}
    code, out, err = await run("check-config", "--assume", **given)
    assert (code, "endpoint_url of the profile: must have no user and password" in err) == (2, True)
    assert_hidden(out, err)


@pytest.mark.parametrize(
    "proxy_url",
    [
        "http://user:{}@127.0.0.1:1",
        "user:{}@127.0.0.1:1",
        "http://127.0.0.1:99999",
        "socks5://user:{}@127.0.0.1:1",
    ],
)
@pytest.mark.variants(keep=2)
async def test_proxies_that_cannot_work(accounts_file: Path, proxy_url: str) -> None:
    """A proxy's URL with which every call would fail is refused at start, and its password told nowhere."""
    given = environment(proxy_url.format(PROXY), accounts_file)
    code, out, err = await run("serve", "--http-port", "0", **given)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: HTTPS_PROXY: must be http://host:port, where")
    assert_hidden(err)


async def test_a_proxy_for_other_hosts(aws: Emulator, accounts_file: Path) -> None:
    """A proxy that AWS's endpoints bypass, or that is for another scheme, is not checked."""
    given = {
        "HTTPS_PROXY": "socks5://127.0.0.1:1",
        "HTTP_PROXY": "socks5://127.0.0.1:1",
        "NO_PROXY": "127.0.0.1",
    }
    code, out, err = await run(
        "check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file), **given
    )
    assert (code, err) == (0, "")
    assert out.endswith("  ok\n")


async def test_a_session_token_that_a_proxy_echoes(
    aws: Emulator, accounts_file: Path, tmp_path: Path
) -> None:
    """Headers that a proxy's error page shows are told by their form, with credentials that nobody knows before."""
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\naws_session_token = IQo/b3+J==\n"
    )
    sent: list[bytes] = []

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        sent.append(asked)
        body = b"You sent:\r\n" + asked
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        host, port = serving.sockets[0].getsockname()
        given = {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
            "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
            "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "2",
            "AWS_ENDPOINT_URL_STS": f"http://{host}:{port}",
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), ""),
        }
        async with started("serve", "--http-port", "0", **given) as serving_it:
            async with calling(serving_it.url) as gateway:
                answer_text = (await gateway.post({"query": QUERY, "variables": {"key": KEY}})).body.decode()
            _, log = await serving_it.stop()
    head = dict(line.split(": ", 1) for line in sent[0].decode().split("\r\n")[1:] if ": " in line)
    assert "You sent" in log
    for secret in (head["X-Amz-Security-Token"], head["Authorization"].rpartition("Signature=")[2]):
        assert secret not in log + answer_text


@pytest.mark.parametrize(
    "form",
    [
        "X-Amz-Security-Token: {}",
        "x-amz-security-token={}&a=b",
        '"SessionToken": "{}", "a": 1',
        '\\"SecretAccessKey\\": \\"{}\\"',
        "<SessionToken>{}</SessionToken>",
        "<td>X-Amz-Security-Token</td> <td>{}</td>",
        "X-AMZ-SECURITY-TOKEN&quot;: &quot;{}&quot;",
        "X-Amz-Security-Token%3A%20{}",
        "Proxy-Authorization: Basic {}",
        "authorization: Bearer {}",
        "aws_secret_access_key = {}",
        "X-Amz-Signature={}",
    ],
)
def test_secrets_by_form(form: str) -> None:
    """However a page or a message writes a secret header or field, its value is redacted, and only that."""
    for text in (form, f"sent:\r\n{form}\r\nHost: a", repr(f"sent:\r\n{form}\r\nHost: a")):
        assert redacted(text.format("IQo/b3+J==")) == text.format(HIDDEN)
        line = f"{text} token"  # without that word, only text from elsewhere is searched
        assert redacted_line(line.format("IQo/b3+J==").encode()) == line.format(HIDDEN).encode()


def test_what_is_no_secret_stays() -> None:
    """URLs without a password, addresses and paths are shown as they are."""
    for text in (
        "https://sso.example.com/a@b is down",
        "mail me@example.com",
        "InvalidClientTokenId: The security token included in the request is invalid",
        "SignatureDoesNotMatch: the request signature we calculated does not match",
        "the Authorization header is missing, so no authorization took place",
        "https://a.example/ and x@y",
        "//",
    ):
        assert redacted(text) == text
        assert redacted_line(text.encode()) == text.encode()


def test_redaction_is_linear() -> None:
    """However long a text is, and whatever it is made of."""
    began = time.perf_counter()
    for text in (
        "//" * 500_000 + "@",
        "//a" * 300_000,
        "@" * 1_000_000 + "//",
        "//" + "@" * 1_000_000,
        "signature" * 100_000,
        "signature" + " " * 1_000_000,
        "signature=</a>" * 50_000,
    ):
        redacted(text)
        redacted_line(text.encode())
    assert time.perf_counter() - began < 20
