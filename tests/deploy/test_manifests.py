"""The manifests of k8s/ are valid for Kubernetes, checkov and this service; and problems are detected."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

import manifests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway import server

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PRODUCTION = "overlays/production"
COMPONENTS = sorted(path.name for path in (ROOT / "k8s" / "components").iterdir())
# None, each, each two, and all; of the two that scrape one.
CHOICES = [
    chosen
    for size in (0, 1, 2, len(COMPONENTS) - 1)
    for chosen in combinations(COMPONENTS, size)
    if not {"pod-monitor", "service-monitor"} <= set(chosen)
]

BROKEN = {
    # name: (file, what is there, what is put there instead, what is said)
    "a-field-with-a-typo": ("base/deployment.yaml", "readOnly: true", "readonly: true", "readonly"),
    "a-field-of-the-wrong-type": ("base/autoscaler.yaml", "maxReplicas: 6", "maxReplicas: six", "six"),
    "a-setting-that-is-none": ("base/settings.env", "_LOG_FORMAT=", "_LOGFORMAT=", "TRANSFER_GATEWAY_LOGFORMAT"),
    "a-setting-of-no-sense": ("base/settings.env", "FORMAT=json", "FORMAT=jsno", "TRANSFER_GATEWAY_LOG_FORMAT"),
    "nobody-asked": ("base/settings.env", "HTTP_HOST=0.0.0.0", "HTTP_HOST=::\nTRANSFER_GATEWAY_AUTH=none", "loopback"),
    "no-issuer": (f"{PRODUCTION}/settings.env", "TRANSFER_GATEWAY_OIDC_ISSUERS=", "X=", "OIDC_ISSUERS"),
    "a-drain-cut-short": ("base/deployment.yaml", "PeriodSeconds: 45", "PeriodSeconds: 30", "killed before"),
    "a-port-of-nobody": ("base/services.yaml", "targetPort: http", "targetPort: web", "web"),
    "a-port-that-is-not-the-doors": ("base/deployment.yaml", "containerPort: 8080", "containerPort: 8000", "8000"),
    "a-probe-of-another-port": ("base/deployment.yaml", "grpc: { port: 50051 }", "grpc: { port: 50052 }", "50052"),
    "a-path-of-nobody": ("base/deployment.yaml", "/livez", "/healthz", "/healthz"),
    "a-file-that-is-not-mounted": ("base/deployment.yaml", "transfer-gateway/policy,", "policy,", "policy_file"),
    "a-file-never-re-read": ("base/deployment.yaml", "accounts, readOnly", "accounts, subPath: a, readOnly", "subPath"),
    "accounts-that-are-none": (f"{PRODUCTION}/accounts.yaml", "role_name:", "rolename:", "rolename"),
    "a-policy-that-is-none": (f"{PRODUCTION}/policy.yaml", "all: true", "every: true", "every"),
    "a-scrape-of-nobody": ("components/service-monitor/service-monitor.yaml", "port: http", "port: metrics", "metrics"),
    "a-scrape-of-no-port": ("components/pod-monitor/pod-monitor.yaml", "port: http", "port: metrics", "metrics"),
    "a-scrape-of-no-path": ("components/pod-monitor/pod-monitor.yaml", "path: /metrics", "path: /met", "/met"),
}  # fmt: skip
DATABASE, TRIAL = "components/postgresql/deployment.yaml", "overlays/postgresql-trial"
BROKEN_DATABASES = {
    # name: (overlay, file, what is there, what is put there instead, what is said)
    "no-password": ("postgresql", DATABASE, "gateway/postgresql,", "x,", "password_file"),
    "no-authorities": ("postgresql", DATABASE, "/postgresql-ca,", "/x,", "sslrootcert"),
    "an-init-containers-typo": ("postgresql", DATABASE, "envFrom", "envfrom", "envfrom"),
    "two-passwords": ("postgresql", "overlays/postgresql/settings.env", "# TRANSFER", "TRANSFER", "is the password"),
    "any-server": ("postgresql-trial", f"{TRIAL}/settings.env", "verify-full", "require", "any server"),
    "a-port-of-no-database": ("postgresql-trial", f"{TRIAL}/service.yaml", "rt: postg", "rt: mysq", "mysq"),
    "a-policy-of-no-port": ("postgresql-trial", f"{TRIAL}/network-policy.yaml", "port: po", "port: x", "xstgresql"),
}  # fmt: skip
SIGN_IN = "components/oauth2-proxy"
SIGN_IN_SETTINGS, PROXY = f"{SIGN_IN}/settings.env", "transfer-gateway-oauth2-proxy"
BROKEN_SIGN_INS = {
    # name: (file, what is there, what is put there instead, what is said)
    "no-token": (SIGN_IN_SETTINGS, "PASS_AUTHORIZATION_HEADER=true", "X=", "PASS_AUTHORIZATION_HEADER"),
    "old-tokens": (SIGN_IN_SETTINGS, "COOKIE_REFRESH=4m", "COOKIE_X=", "COOKIE_REFRESH"),
    "a-button-to-press": (SIGN_IN_SETTINGS, "PROVIDER_BUTTON=true", "PROVIDER_BUTTON=false", "SKIP_PROVIDER_BUTTON"),
    "no-gateway": (f"{SIGN_IN}/deployment.yaml", "http://transfer-gateway:", "http://gateway:", "no http://gateway"),
    "a-secret-in-the-open": (
        f"{SIGN_IN}/deployment.yaml", f"valueFrom: {{ secretKeyRef: {{ name: {PROXY}, key: cookie-secret }} }}",
        "value: open", "COOKIE_SECRET is not",
    ),
    "past-the-ingress": (
        f"{SIGN_IN}/kustomization.yaml", f"paths/1/backend/service/name, value: {PROXY}",
        "paths/1/backend/service/name, value: transfer-gateway", "Ingress transfer-gateway leads past",
    ),
    "past-the-route": (
        f"{SIGN_IN}/kustomization.yaml", f"[{{ name: {PROXY}, port: 4180 }}]",
        "[{ name: transfer-gateway, port: 8080 }]", "HTTPRoute transfer-gateway leads past",
    ),
    "a-policy-of-no-port": (f"{SIGN_IN}/network-policy.yaml", "port: http", "port: web", "web"),
    "a-probe-of-no-path": (f"{SIGN_IN}/deployment.yaml", "path: /ping", "path: /pong", "/pong"),
}  # fmt: skip
INSECURE = {
    # name: (what is there, what is put there instead, checkov's check)
    "privileged": ("allowPrivilegeEscalation: false", "privileged: true", "CKV_K8S_16"),
    "root": ("runAsNonRoot: true\n        runAsUser: 10001", "runAsUser: 0", "CKV_K8S_23"),
    "capabilities": ("drop: [ALL]", "add: [SYS_ADMIN]", "CKV_K8S_39"),
    "a-root-to-write-on": ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "CKV_K8S_22"),
    "the-nodes-network": ("enableServiceLinks: false", "hostNetwork: true", "CKV_K8S_19"),
}


@pytest.fixture
def k8s(tmp_path: Path) -> Path:
    """A copy of all manifests, for a test to modify."""
    return Path(shutil.copytree(ROOT / "k8s", tmp_path / "k8s"))


def choose(k8s: Path, components: tuple[str, ...]) -> Path:
    """The production overlay with exactly these components."""
    file = k8s / PRODUCTION / "kustomization.yaml"
    lines = "".join(f"  - ../../components/{name}\n" for name in components)
    text, found = re.subn(
        r"components:\n(  .*\n)+", f"components:\n{lines}" if lines else "", file.read_text()
    )
    assert found == 1
    file.write_text(text)
    return file.parent


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("overlay", [path.name for path in sorted((ROOT / "k8s" / "overlays").iterdir())])
def test_overlays(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each overlay has no problems."""
    rendered = manifests.render(ROOT / "k8s" / "overlays" / overlay)
    assert manifests.problems(rendered, monkeypatch) == []


def test_components(k8s: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any components can be combined."""
    assert len(CHOICES) >= 17
    before = (k8s / PRODUCTION / "kustomization.yaml").read_text()
    for chosen in CHOICES:
        (k8s / PRODUCTION / "kustomization.yaml").write_text(before)
        assert manifests.problems(manifests.render(choose(k8s, chosen)), monkeypatch) == [], chosen


@pytest.mark.parametrize(("file", "old", "new", "said"), BROKEN.values(), ids=BROKEN)
def test_broken_copies(
    file: str, old: str, new: str, said: str, k8s: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken manifest is detected, and the message names the problem."""
    replace(k8s / file, old, new)
    monitor = "pod-monitor" if "pod-monitor" in file else "service-monitor"
    found = manifests.problems(manifests.render(choose(k8s, (monitor,))), monkeypatch)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("overlay", "file", "old", "new", "said"), BROKEN_DATABASES.values(), ids=BROKEN_DATABASES
)
def test_broken_databases(
    overlay: str, file: str, old: str, new: str, said: str, k8s: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what the history's PostgreSQL needs."""
    replace(k8s / file, old, new)
    found = manifests.problems(manifests.render(k8s / "overlays" / overlay), monkeypatch)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(("file", "old", "new", "said"), BROKEN_SIGN_INS.values(), ids=BROKEN_SIGN_INS)
def test_broken_sign_ins(
    file: str, old: str, new: str, said: str, k8s: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what people sign in with."""
    replace(k8s / file, old, new)
    chosen = ("gateway-api", "ingress", "oauth2-proxy")
    found = manifests.problems(manifests.render(choose(k8s, chosen)), monkeypatch)
    assert any(said in problem for problem in found), found


def test_migration_by_the_gateways_image(k8s: Path) -> None:
    """Whether the component is added below the overlay that sets the image, or in it."""
    for folder in (k8s / "overlays" / "postgresql", choose(k8s, ("postgresql",))):
        (pod,) = [
            manifest["spec"]["template"]["spec"]
            for manifest in manifests.render(folder)
            if manifest["kind"] == "Deployment"
        ]
        images = [container["image"] for container in (*pod["initContainers"], *pod["containers"])]
        assert len(images) == 2
        assert set(images) == {"registry.example.com/transfer-gateway:0.1.0"}


def test_checkov(k8s: Path, tmp_path: Path) -> None:
    """checkov finds only `.ci/checkov.yaml`'s exceptions; in each insecure copy, exactly that problem."""
    whole = choose(k8s, tuple(COMPONENTS))
    deployment = k8s / "base" / "deployment.yaml"
    secure, rendered = deployment.read_text(), tmp_path / "rendered"
    rendered.mkdir()

    def write(name: str, folder: Path) -> None:
        with (rendered / f"{name}.yaml").open("w") as file:
            YAML().dump_all(manifests.render(folder), file)

    write("production", whole)
    overlays = ("demo", "postgresql", "postgresql-trial")
    for name in overlays:
        write(name, k8s / "overlays" / name)
    for name, (old, new, _) in INSECURE.items():
        deployment.write_text(secure)
        replace(deployment, old, new)
        write(name, whole)
    failed = dict(checkov(rendered))
    assert [(name, failed[name]) for name in ("production", *overlays) if name in failed] == []
    for name, (_, _, check) in INSECURE.items():
        assert check in failed[name], name


def checkov(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """The failed checks of each file, by name."""
    command = (
        "uvx",
        "checkov@3.3.30",
        "--config-file",
        ROOT / ".ci" / "checkov.yaml",
        "-d",
        folder,
        "-o",
        "json",
    )
    said = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    report = json.loads(said.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100
    found = report["results"]["failed_checks"]
    for name in {Path(check["file_path"]).stem for check in found}:
        yield name, {check["check_id"] for check in found if Path(check["file_path"]).stem == name}


async def test_paths(service: server.Service) -> None:
    """The paths that manifests may use exist in the service."""
    import aiohttp  # noqa: PLC0415

    async with aiohttp.ClientSession(service.url) as http:
        for path in manifests.PATHS - {
            "/graphiql",
            "/metrics",
        }:  # assets are below the first; the second is to come
            async with http.get(path) as answer:
                assert answer.status != 404, path


def test_images_are_of_this_version() -> None:
    """The overlays use the images of their own version."""
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    files = sorted((ROOT / "k8s" / "overlays").glob("*/kustomization.yaml"))
    images = [image for file in files for image in YAML(typ="safe").load(file).get("images", ())]
    assert [image["newTag"] for image in images] == [
        version[1]
    ] * 2  # the demo and production, below the others
