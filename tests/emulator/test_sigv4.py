"""The canonical form of a request, compared with botocore's own signer."""

import string
import time
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from transfer_emulator.errors import BAD_SIGNATURE, AwsError
from transfer_emulator.sigv4 import SignedRequest, authorization_of, verify

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials("AKIDEXAMPLE", SECRET)

printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
header_names = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12).map(
    "X-Test-{}".format
)
header_values = st.text(st.sampled_from(string.ascii_letters + string.digits + " \t,;=/é~"), max_size=20)
paths = st.lists(st.sampled_from(["", ".", "..", "a", "b c", "ü", "~x", "%", "+", "a:b"]), max_size=6).map(
    lambda parts: quote("/" + "/".join(parts), safe="/~:+")
)


@st.composite
def signed_requests(draw: st.DrawFn) -> SignedRequest:
    """A request signed by botocore, as received."""
    request = AWSRequest(
        method=draw(st.sampled_from(["GET", "POST"])),
        url=f"http://127.0.0.1:4566{draw(paths)}",
        params=draw(st.dictionaries(printable, printable, max_size=4)),
        data=draw(st.binary(max_size=40)),
    )
    for name, value in draw(st.lists(st.tuples(header_names, header_values), max_size=5)):
        request.headers.add_header(name, value)
    SigV4Auth(CREDENTIALS, "transfer", "eu-west-1").add_auth(request)
    prepared = request.prepare()
    # Not the prepared request's headers, which forget all but the last of a repeated one.
    headers = CIMultiDict((name, str(value)) for name, value in request.headers.items())
    headers["Host"] = "127.0.0.1:4566"
    target = prepared.url.removeprefix("http://127.0.0.1:4566")
    return SignedRequest(prepared.method, target, headers, request.data)


@given(signed_requests())
def test_what_botocore_signs_is_verified(request: SignedRequest) -> None:
    """Any path, query, headers (repeated ones and white space too) and body: both sides hash the same."""
    verify(authorization_of(request.headers), request, SECRET, time.time())


@given(signed_requests(), st.sampled_from(["method", "target", "header", "body", "secret"]))
def test_any_change_invalidates_the_signature(request: SignedRequest, what: str) -> None:
    """Method, target, a signed header, the body and the secret are all covered."""
    authorization = authorization_of(request.headers)
    headers = CIMultiDict(request.headers)
    if what == "header":
        headers["Host"] = "127.0.0.1:80"
    changed = SignedRequest(
        method="PUT" if what == "method" else request.method,
        target=f"{request.target}&x=1" if what == "target" else request.target,
        headers=headers,
        body=request.body + b"\0" if what == "body" else request.body,
    )
    with pytest.raises(AwsError) as refusal:
        verify(authorization, changed, SECRET[1:] if what == "secret" else SECRET, time.time())
    assert refusal.value.failure is BAD_SIGNATURE


@given(st.text(max_size=200))
def test_no_authorization_header_breaks_the_parser(header: str) -> None:
    """Any header is parsed or gets AWS's error."""
    headers = CIMultiDict({"Authorization": f"AWS4-HMAC-SHA256 {header}", "X-Amz-Date": "20260101T000000Z"})
    try:
        authorization_of(headers)
    except AwsError as error:
        assert error.message  # noqa: PT017 - either outcome is right
