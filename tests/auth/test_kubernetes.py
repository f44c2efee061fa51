"""Kubernetes as an issuer: an API server with the cluster's certificate that requires a token for its keys."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from issuer import KEYS, LocalIssuer, SigningKey, Time, trusting
from transfer_gateway.auth import Issuer, Oidc
from transfer_gateway.domain.errors import Unauthenticated, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = SigningKey("Nx7yE9Jx0mXoVbqkB1pOa6aZ3cS2dRfTgHu5iKjLmNo")
SUBJECT = "system:serviceaccount:payments:frontend"
# The claims of a pod's projected token, Kubernetes 1.30.
CLAIMS: dict[str, Any] = {
    "aud": ["transfer-gateway"],
    "sub": SUBJECT,
    "jti": "6f1c8a0e-4f3c-4c39-9f5e-6c7b1f0d2a11",
    "kubernetes.io": {
        "namespace": "payments",
        "node": {"name": "node-1", "uid": "0a1b2c3d-0000-4000-8000-000000000001"},
        "pod": {"name": "frontend-7d9c5b8f6d-x2x4q", "uid": "0a1b2c3d-0000-4000-8000-000000000002"},
        "serviceaccount": {"name": "frontend", "uid": "0a1b2c3d-0000-4000-8000-000000000003"},
    },
}


def authority(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return authority(tmp_path, "cluster")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("own-token-1\n")
    return path


@pytest.fixture
async def cluster(clock: Time, certificate: tuple[Path, Path]) -> AsyncIterator[LocalIssuer]:
    """An API server that requires the token for its keys."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with LocalIssuer(clock, KEY, tls=tls) as cluster:

        async def guarded(request: web.BaseRequest) -> web.StreamResponse:
            if not request.headers.get("authorization", "").startswith("Bearer own-token-"):
                return web.json_response({"kind": "Status", "code": 401}, status=401)
            return web.json_response({"keys": [KEY.jwk()]}, content_type="application/jwk-set+json")

        cluster.answers[KEYS] = guarded
        yield cluster


async def fetched(oidc: Oidc, cluster: LocalIssuer) -> str:
    return (await oidc.authenticate(cluster.token(**CLAIMS))).subject


async def test_accepts_a_service_account(
    clock: Time, cluster: LocalIssuer, certificate: tuple[Path, Path], token_file: Path
) -> None:
    """The subject is the account, and the claims name the pod; the keys were fetched with our own token."""
    trusted = Issuer(cluster.url, ca_file=certificate[0], token_file=token_file)
    async with trusting(clock, trusted) as oidc:
        caller = await oidc.authenticate(cluster.token(**CLAIMS))
    assert caller.subject == SUBJECT
    assert caller.groups == frozenset()
    assert caller.claims["kubernetes.io"] == CLAIMS["kubernetes.io"]
    assert cluster.authorizations == ["Bearer own-token-1"] * 2


async def test_rereads_its_token_for_each_fetch(
    clock: Time, cluster: LocalIssuer, certificate: tuple[Path, Path], token_file: Path
) -> None:
    """Kubernetes replaces it about every hour."""
    trusted = Issuer(cluster.url, ca_file=certificate[0], token_file=token_file)
    async with trusting(clock, trusted) as oidc:
        await fetched(oidc, cluster)
        token_file.write_text("own-token-2\n")
        with pytest.raises(Unauthenticated, match="not signed with a key"):
            await oidc.authenticate(KEY.sign(cluster.claims(**CLAIMS), kid="unknown"))
    assert cluster.authorizations == ["Bearer own-token-1"] * 2 + ["Bearer own-token-2"] * 2


async def test_sends_its_token_to_no_other_issuer(
    clock: Time, cluster: LocalIssuer, certificate: tuple[Path, Path], token_file: Path
) -> None:
    """Another trusted issuer never receives it."""
    trusted = Issuer(cluster.url, ca_file=certificate[0], token_file=token_file)
    async with LocalIssuer(clock, KEY) as other, trusting(clock, trusted, other) as oidc:
        await fetched(oidc, cluster)
        await oidc.authenticate(other.token())
        assert other.authorizations == [None, None]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({"token_file": "token"}, "CERTIFICATE_VERIFY_FAILED", id="authority not named"),
        pytest.param(
            {"ca_file": "other.crt", "token_file": "token"}, "CERTIFICATE_VERIFY_FAILED", id="other authority"
        ),
        pytest.param({"ca_file": "cluster.crt"}, "status 401", id="no token"),
        pytest.param({"ca_file": "cluster.crt", "token_file": "gone"}, "No such file", id="token gone"),
        pytest.param({"ca_file": "gone", "token_file": "token"}, "No such file", id="authority gone"),
        pytest.param({"ca_file": "token", "token_file": "token"}, "SSLError", id="no certificate"),
        pytest.param({"ca_file": "cluster.crt", "token_file": "odd"}, "ValueError", id="token of two lines"),
    ],
)
async def test_says_why_it_has_no_keys(
    clock: Time, cluster: LocalIssuer, token_file: Path, files: dict[str, str], reason: str
) -> None:
    """Operators get the reason; callers learn that it is not their fault. Neither contains the token."""
    folder = token_file.parent
    authority(folder, "other")
    (folder / "odd").write_text("own-token-1\nown-token-2")
    trusted = Issuer(cluster.url, **{name: folder / file for name, file in files.items()})
    async with trusting(clock, trusted) as oidc:
        with pytest.raises(UpstreamUnavailable) as failure:
            await fetched(oidc, cluster)
    assert reason in (failure.value.detail or "")
    assert "own-token" not in f"{failure.value.detail} {failure.value.message}"


async def test_reloads_a_changed_ca_file(
    clock: Time, cluster: LocalIssuer, certificate: tuple[Path, Path], token_file: Path, tmp_path: Path
) -> None:
    """A cluster's CA is replaced in place, too."""
    ca_file, _ = authority(tmp_path, "former")
    async with trusting(clock, Issuer(cluster.url, ca_file=ca_file, token_file=token_file)) as oidc:
        with pytest.raises(UpstreamUnavailable):
            await fetched(oidc, cluster)
        ca_file.write_bytes(certificate[0].read_bytes())
        clock.now += 1
        assert await fetched(oidc, cluster) == SUBJECT
