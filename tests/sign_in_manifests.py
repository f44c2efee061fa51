"""What has to hold of oauth2-proxy's manifests, so that people sign in and the gateway gets their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Manifest = Mapping[str, Any]

NAME = "transfer-gateway-oauth2-proxy"
PATHS = {"/oauth2", "/ping", "/ready"}
_SECRETS = {"CLIENT_ID", "CLIENT_SECRET", "COOKIE_SECRET"}
_NEEDED = {
    "PROVIDER": "oidc",
    "PASS_AUTHORIZATION_HEADER": "true",  # the gateway knows people by nothing else
    "SKIP_PROVIDER_BUTTON": "true",  # or a reload ends at a page with a button
}


def sign_in_problems(
    manifests: list[dict[str, Any]], backends: list[tuple[str, str, str | int]]
) -> Iterator[str]:
    """`backends`: of what is reached from outside, the manifest's name, its Service, and the port."""
    kinds = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
    deployment = kinds.get(("Deployment", NAME))
    if deployment is None:
        return
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told: dict[str, str] = {}
    for source in container["envFrom"]:
        told |= kinds["ConfigMap", source["configMapRef"]["name"]]["data"]
    told |= {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    settings = {name.removeprefix("OAUTH2_PROXY_"): value for name, value in told.items()}
    secret = {entry["name"] for entry in container["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    yield from (f"{name} is not from a Secret" for name in _SECRETS if f"OAUTH2_PROXY_{name}" not in secret)
    yield from (
        f"OAUTH2_PROXY_{name} is not {value}"
        for name, value in _NEEDED.items()
        if settings.get(name) != value
    )
    if "COOKIE_REFRESH" not in settings:
        yield "COOKIE_REFRESH: tokens that have expired would be sent on"
    upstream = urlsplit(settings["UPSTREAMS"])
    service = kinds.get(("Service", upstream.hostname or ""))
    if service is None or upstream.port not in {port["port"] for port in service["spec"]["ports"]}:
        yield f"UPSTREAMS: there is no {settings['UPSTREAMS']}"
    yield from (f"{name} leads past the sign-in, to {to}" for name, to, _ in backends if to != NAME)
