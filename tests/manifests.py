"""Kubernetes manifests as rendered by kubectl, and their problems for this service."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any, TypeVar

from ruamel.yaml import YAML

import sign_in_manifests
from sign_in_manifests import sign_in_problems
from transfer_gateway.settings import (
    ENV_PREFIX,
    ConfigurationError,
    DatabaseUrl,
    MigrationSettings,
    Settings,
    parse_accounts,
    parse_policy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

Manifest = dict[str, Any]
AnySettings = TypeVar("AnySettings", Settings, MigrationSettings)

KUBERNETES = "1.33"  # the oldest that is looked after
PATHS = {"/", "/executions", "/graphql", "/graphiql", "/livez", "/readyz", "/metrics"}  # of the HTTP door
# Kubernetes has no schema of these.
CUSTOM = {"GRPCRoute", "HTTPRoute", "PodMonitor", "PrometheusRule", "ServiceMonitor"}
_KEPT = "a-secret-that-nobody-reads"


def render(folder: Path) -> list[Manifest]:
    rendered = subprocess.run(("kubectl", "kustomize", folder), check=True, stdout=subprocess.PIPE)
    return list(YAML(typ="safe").load_all(rendered.stdout))


def problems(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All problems, in no particular order."""
    return [
        *_against_the_schemas(manifests),
        *_in_paths(manifests),
        *_in_ports(manifests),
        *sign_in_problems(
            manifests,
            [
                (_name(manifest), *backend)
                for kind in ("Ingress", "HTTPRoute")
                for manifest in _of_kind(manifests, kind)
                for backend in _backends(manifest)
            ],
        ),
        *(
            problem
            for deployment in _of_kind(manifests, "Deployment")
            if deployment["metadata"]["name"] != sign_in_manifests.NAME
            for problem in _in_deployment(deployment, manifests, monkeypatch)
        ),
    ]


def _against_the_schemas(manifests: list[Manifest]) -> Iterator[str]:
    import kubernetes_validate  # noqa: PLC0415  `.ci/run deploy` brings it, and deselected tests are read without

    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            if manifest["kind"] not in CUSTOM:
                yield f"{manifest['kind']}: is no kind of Kubernetes {KUBERNETES}"
        except kubernetes_validate.ValidationError as error:
            yield f"{_name(manifest)}: {error.message}"


def _in_paths(manifests: list[Manifest]) -> Iterator[str]:
    """Every HTTP request in the manifests is for a path of the service, or of the proxy that people sign in with."""
    names = {manifest["metadata"]["name"] for manifest in _of_kind(manifests, "Deployment")}
    known = PATHS | (sign_in_manifests.PATHS if sign_in_manifests.NAME in names else set())
    for manifest in manifests:
        for path in _paths(manifest):
            if path not in known:
                yield f"{_name(manifest)}: the service has no {path}"


def _paths(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Deployment":
            for probe in _probes(_gateway(manifest)):
                if "httpGet" in probe:
                    yield probe["httpGet"]["path"]
                yield from re.findall(r"http://127\.0\.0\.1:8080(/\w*)", str(probe.get("exec")))
        case "Ingress":
            yield from (path["path"] for rule in spec["rules"] for path in rule["http"]["paths"])
        case "HTTPRoute":
            yield from (match["path"]["value"] for rule in spec["rules"] for match in rule["matches"])
        case "ServiceMonitor":
            yield from (endpoint["path"] for endpoint in spec["endpoints"])
        case "PodMonitor":
            yield from (endpoint["path"] for endpoint in spec["podMetricsEndpoints"])


def _in_ports(manifests: list[Manifest]) -> Iterator[str]:
    """Every reference to a Service's or container's port exists."""
    services = {manifest["metadata"]["name"]: manifest for manifest in _of_kind(manifests, "Service")}
    exposed = {
        name: {port[key] for port in service["spec"]["ports"] for key in ("name", "port")}
        for name, service in services.items()
    }
    containers = {
        port[key]
        for workload in (*_of_kind(manifests, "Deployment"), *_of_kind(manifests, "StatefulSet"))
        for container in workload["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
        for key in ("name", "containerPort")
    }
    for name, service in services.items():
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in containers:
                yield f"Service {name}: no container has the port {port['targetPort']}"
    for manifest in manifests:
        for name, port in _backends(manifest):
            if port not in exposed.get(name, set()):
                yield f"{_name(manifest)}: no Service {name} has the port {port}"
        for port in _ports_let_in(manifest):
            if port not in containers:
                yield f"{_name(manifest)}: no container has the port {port}"


def _backends(manifest: Manifest) -> Iterator[tuple[str, str | int]]:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Ingress":
            for path in (path for rule in spec["rules"] for path in rule["http"]["paths"]):
                service = path["backend"]["service"]
                yield service["name"], next(iter(service["port"].values()))
        case "HTTPRoute" | "GRPCRoute":
            yield from ((ref["name"], ref["port"]) for rule in spec["rules"] for ref in rule["backendRefs"])
        case "ServiceMonitor":
            yield from (("transfer-gateway", endpoint["port"]) for endpoint in spec["endpoints"])


def _ports_let_in(manifest: Manifest) -> Iterator[str | int]:
    if manifest["kind"] == "NetworkPolicy":
        for rule in manifest["spec"].get("ingress", ()):
            yield from (port["port"] for port in rule["ports"])
    if manifest["kind"] == "PodMonitor":
        yield from (endpoint["port"] for endpoint in manifest["spec"]["podMetricsEndpoints"])


def _in_deployment(
    deployment: Manifest, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    pod, gateway = deployment["spec"]["template"]["spec"], _gateway(deployment)
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in _of_kind(manifests, "ConfigMap")}
    for container in pod.get("initContainers", ()):
        yield from _in_init_container(container, gateway, pod, maps, monkeypatch)
    ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    for probe in _probes(gateway):
        asked = probe.get("httpGet", {}).get("port") or probe.get("grpc", {}).get("port")
        if asked and asked not in {*ports, *ports.values()}:
            yield f"a probe asks a port that the container hasn't: {asked}"
    if any("subPath" in mount for mount in gateway["volumeMounts"]):
        yield "subPath: changes of the file would never be seen"
    if gateway["args"] == ["demo"]:  # takes no settings from here
        yield from ("the demo has settings" for _ in gateway.get("envFrom", ()))
        return
    told = _environment(gateway, maps)
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    yield from (
        f"there is no setting {name}" for name in told if name.startswith(ENV_PREFIX) and name not in known
    )
    try:
        settings = _read(Settings, told, monkeypatch)
    except ConfigurationError as error:
        yield from error.problems
        return
    if settings.history_weakness:
        yield settings.history_weakness
    if ports != {"http": settings.http_port, "grpc": settings.grpc_port}:
        yield f"the container's ports are not the doors': {ports}"
    shutdown_s = settings.shutdown_delay_s + settings.shutdown_grace_s
    if pod["terminationGracePeriodSeconds"] < shutdown_s + 5:
        yield f"shutting down may take {shutdown_s:g} s, and the pod is killed before"
    yield from _in_files(settings, gateway, pod, maps)


def _read(kind: type[AnySettings], told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AnySettings:
    with monkeypatch.context() as environment:
        environment.delenv(f"{ENV_PREFIX}AUTH", raising=False)
        for name, value in told.items():
            environment.setenv(name, value)
        return kind.from_environment()


def _in_init_container(
    container: Manifest,
    gateway: Manifest,
    pod: Manifest,
    maps: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """It is of the gateway's own image, and migrates with its settings and files."""
    if container["image"] != gateway["image"]:
        yield f"{container['name']}: has another image than the gateway"
    try:
        settings = _read(MigrationSettings, _environment(container, maps), monkeypatch)
    except ConfigurationError as error:
        yield from error.problems
        return
    yield from _in_files(settings, container, pod, maps)


def _in_files(
    settings: Settings | MigrationSettings, gateway: Manifest, pod: Manifest, maps: dict[str, dict[str, str]]
) -> Iterator[str]:
    """Each file in the settings is mounted; accounts and policy are valid for the service."""
    mounted = {mount["mountPath"]: mount["name"] for mount in gateway["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    readers = {"accounts_file": parse_accounts, "policy_file": parse_policy}
    files = {name: getattr(settings, name) for name in type(settings).model_fields if name.endswith("_file")}
    if settings.history_url.startswith("postgresql"):
        files["sslrootcert"] = DatabaseUrl.of(settings.history_url).ca_file
    for name, path in files.items():
        if path is None:
            continue
        volume = volumes.get(mounted.get(str(path.parent), ""), {})
        if name == "sslrootcert" and "configMap" in volume:
            continue  # made by hand, of a file that is not here
        if "configMap" in volume:
            text = maps.get(volume["configMap"]["name"], {}).get(path.name)
            if text is None:
                yield f"{name}: no ConfigMap has {path}"
            elif name in readers:
                try:
                    readers[name](text.encode(), name=path.name)
                except ConfigurationError as error:
                    yield from error.problems
        elif "secret" not in volume:
            yield f"{name}: nothing is mounted at {path.parent}"


def _environment(gateway: Manifest, maps: dict[str, dict[str, str]]) -> dict[str, str]:
    told = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": ""}
    for source in gateway.get("envFrom", ()):
        told |= maps[source["configMapRef"]["name"]]
    return told | {entry["name"]: entry.get("value", _KEPT) for entry in gateway.get("env", ())}


def _of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _gateway(deployment: Manifest) -> Manifest:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def _probes(container: Manifest) -> list[Manifest]:
    names = ("startupProbe", "livenessProbe", "readinessProbe")
    return [container[name] for name in names if name in container]


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
