"""STS compared with an independent emulator: moto's responses and ours have the same form."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
FORMATS = {
    "AccessKeyId": r"ASIA[A-Z0-9]{16}",
    "SecretAccessKey": r"[A-Za-z0-9+/]{40}",
    "SessionToken": r"[A-Za-z0-9+/]{300,}=*",
    "AssumedRoleId": r"AROA[A-Z0-9]{17}:tests",
    "Arn": r"arn:aws:sts::111111111111:assumed-role/TransferGatewayReader/tests",
    "Expiration": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    "PackedPolicySize": r"6",
}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def asked_of(url: str, credentials: Credentials, form: str) -> tuple[int, ET.Element]:
    request = AWSRequest(
        "POST", f"{url}/", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, form.encode()
    )
    SigV4Auth(credentials, "sts", REGION).add_auth(request)
    headers = dict(request.headers.items())
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=form.encode(), headers=headers) as response,
    ):
        return response.status, ET.fromstring(await response.text())  # noqa: S314 - two local emulators


def outline(element: ET.Element) -> list[Any]:
    """The names of an element and its descendants, with namespaces, unordered."""
    return [element.tag, sorted(outline(child) for child in element)]


def texts(element: ET.Element) -> dict[str, str]:
    return {re.sub("{.*}", "", one.tag): one.text or "" for one in element.iter()}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=tests"
            "&RoleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2FTransferGatewayReader",
            id="AssumeRole",
        ),
        pytest.param("Action=GetCallerIdentity&Version=2011-06-15", id="GetCallerIdentity"),
    ],
)
async def test_the_same_elements_in_the_same_places(aws: Any, moto: str, form: str) -> None:
    """Names, nesting and namespace of the responses are equal."""
    ours = await asked_of(aws.emulator.url, aws.home_credentials, form)
    theirs = await asked_of(moto, aws.home_credentials, form)
    assert ours[0] == theirs[0] == 200
    assert outline(ours[1]) == outline(theirs[1])


async def test_keys_ids_and_times_have_the_same_formats(aws: Any, moto: str) -> None:
    """AssumeRole's values have equal formats."""
    form = (
        "Action=AssumeRole&Version=2011-06-15&RoleSessionName=tests"
        "&RoleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2FTransferGatewayReader"
    )
    for url in (aws.emulator.url, moto):
        _, answer = await asked_of(url, aws.home_credentials, form)
        told = texts(answer)
        for name, pattern in FORMATS.items():
            assert re.fullmatch(pattern, told[name]), (url, name, told[name])


async def test_botocore_parses_both_alike(aws: Any, moto: str) -> None:
    """boto3 returns the same keys and types for both."""
    asked = {
        "RoleArn": "arn:aws:iam::111111111111:role/TransferGatewayReader",
        "RoleSessionName": "tests",
        "DurationSeconds": 900,
    }
    ours = await aws.call(aws.client("sts"), "assume_role", **asked)
    theirs = await aws.call(aws.client("sts", url=moto), "assume_role", **asked)
    for told in (ours, theirs):
        del told["ResponseMetadata"]
    assert types_of(ours) == types_of(theirs)
    assert ours["AssumedRoleUser"]["Arn"] == theirs["AssumedRoleUser"]["Arn"]
    lasting = ours["Credentials"]["Expiration"] - theirs["Credentials"]["Expiration"]
    assert abs(lasting.total_seconds()) < 10


def types_of(told: dict[str, Any]) -> dict[str, Any]:
    return {name: types_of(value) if isinstance(value, dict) else type(value) for name, value in told.items()}


async def test_a_validation_error_has_the_same_elements(aws: Any, moto: str) -> None:
    """A session name too long: the same status, code and elements."""
    form = (
        f"Action=AssumeRole&Version=2011-06-15&RoleSessionName={'x' * 65}"
        "&RoleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2FTransferGatewayReader"
    )
    ours = await asked_of(aws.emulator.url, aws.home_credentials, form)
    theirs = await asked_of(moto, aws.home_credentials, form)
    assert ours[0] == theirs[0] == 400
    assert texts(ours[1])["Code"] == texts(theirs[1])["Code"] == "ValidationError"
    assert texts(ours[1])["Message"].split() == texts(theirs[1])["Message"].split()
