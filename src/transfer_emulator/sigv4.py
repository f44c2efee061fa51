"""Verifies AWS Signature Version 4.

Source: AWS's "Create a signed AWS API request". The canonical request is rebuilt from the received bytes.
"""

import calendar
import hmac
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote_plus

from multidict import MultiMapping

from transfer_emulator.errors import BAD_SIGNATURE, INCOMPLETE_SIGNATURE, MISSING_TOKEN, AwsError

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW_S = 300
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The signed parts of a request."""

    method: str
    target: str  # path and query, as received
    headers: MultiMapping[str]  # case-insensitive
    body: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signature and its claims: key, day, region and service."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: str
    signature: str
    timestamp: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def authorization_of(headers: MultiMapping[str]) -> Authorization:
    """Raises: AwsError (MISSING_TOKEN, INCOMPLETE_SIGNATURE)."""
    header = legible(headers.get("Authorization", ""))
    if not header:
        raise AwsError(MISSING_TOKEN, "Missing Authentication Token")
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise AwsError(INCOMPLETE_SIGNATURE, f"Unsupported AWS 'algorithm': '{algorithm}'.")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    timestamp = legible(headers.get("X-Amz-Date", ""))
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not fields.get(name)
    ]
    if not timestamp:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing:
        raise AwsError(INCOMPLETE_SIGNATURE, f"{' '.join(missing)} Authorization={algorithm}")
    parts = fields["Credential"].split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":  # noqa: PLR2004 - key, date, region, service, terminator
        message = (
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"
        )
        raise AwsError(INCOMPLETE_SIGNATURE, f"{message}, got '{fields['Credential']}'")
    return Authorization(
        access_key_id=parts[0],
        date=parts[1],
        region=parts[2],
        service=parts[3],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        timestamp=timestamp,
    )


def verify(authorization: Authorization, request: SignedRequest, secret: str, now: float) -> None:
    """Verify that the owner of `secret` signed the request within five minutes of `now`.

    Raises: AwsError (BAD_SIGNATURE, INCOMPLETE_SIGNATURE).
    """
    _check_time(authorization, now)
    if "host" not in authorization.signed_headers.split(";"):
        message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        raise AwsError(BAD_SIGNATURE, message)
    canonical = canonical_request(request, authorization.signed_headers)
    digest = sha256(canonical).hexdigest()
    to_sign = f"{ALGORITHM}\n{authorization.timestamp}\n{authorization.scope}\n{digest}"
    key = signing_key(secret, authorization.date, authorization.region, authorization.service)
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), authorization.signature.encode()):
        raise AwsError(BAD_SIGNATURE, _MISMATCH)


def canonical_request(request: SignedRequest, signed_headers: str) -> bytes:
    """The bytes that client and server hash."""
    path, _, query = request.target.partition("?")
    lines = [request.method, _canonical_path(path), _canonical_query(query)]
    for name in signed_headers.split(";"):
        values = ",".join(" ".join(value.split()) for value in request.headers.getall(name, ()))
        lines.append(f"{name}:{values}")
    lines += ["", signed_headers, sha256(request.body).hexdigest()]
    # Surrogates represent bytes that are not UTF-8; hash the original bytes.
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def legible(header: str) -> str:
    """The header without surrogates, which represent bytes that are not UTF-8, for use in responses."""
    return header if header.isascii() else header.encode("utf-8", "replace").decode()


@lru_cache(maxsize=4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _check_time(authorization: Authorization, now: float) -> None:
    timestamp = authorization.timestamp
    signed_at = _seconds(timestamp)
    if not timestamp.startswith(authorization.date):
        message = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        raise AwsError(
            BAD_SIGNATURE, f"{message}: '{authorization.date}' != '{timestamp[:8]}', from '{timestamp}'."
        )
    if signed_at < now - MAX_SKEW_S:
        message = f"Signature expired: {timestamp} is now earlier than {_stamp(now - MAX_SKEW_S)}"
        raise AwsError(BAD_SIGNATURE, f"{message} ({_stamp(now)} - 5 min.)")
    if signed_at > now + MAX_SKEW_S:
        message = f"Signature not yet current: {timestamp} is still later than {_stamp(now + MAX_SKEW_S)}"
        raise AwsError(BAD_SIGNATURE, f"{message} ({_stamp(now)} + 5 min.)")


@lru_cache(maxsize=1024)
def _seconds(timestamp: str) -> float:
    try:
        return calendar.timegm(time.strptime(timestamp, _TIMESTAMP))
    except ValueError as error:
        message = f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'."
        raise AwsError(INCOMPLETE_SIGNATURE, message) from error


def _stamp(at: float) -> str:
    return time.strftime(_TIMESTAMP, time.gmtime(at))


@lru_cache(maxsize=256)
def _canonical_path(path: str) -> str:
    if path in {"", "/"}:
        return "/"
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    last = "/" if path.endswith("/") and segments else ""
    # The path is already encoded: AWS signs the encoding of the encoded path.
    return quote(f"/{'/'.join(segments)}{last}", safe="/~", errors="surrogateescape")


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    encoded = sorted((_canonical_part(name), _canonical_part(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _canonical_part(text: str) -> str:
    # Clients send a space as "+" but sign "%20".
    return quote(unquote_plus(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")
