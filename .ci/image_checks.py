"""Runs both images with runc as a strict cluster would, and checks their content: part of `.ci/run image`.

Strict: the image's own numeric user, no capabilities, no new privileges, and a read-only root.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from demo_answers import demo_answers, doors

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINER = f"transfer-gateway-{os.getpid()}"
# What builds or installs, and what that leaves behind; globs from the root.
UNWANTED = (
    "**/bin/pip*", "**/bin/uv", "**/bin/uvx", "**/bin/npm", "**/bin/node", "**/bin/gcc*", "**/bin/cc", "**/bin/make",
    "**/*-packages/pip", "**/*-packages/uv", "**/*-packages/setuptools", "**/ensurepip", "**/node_modules",
    "var/lib/apt/lists/*_*", "var/cache/apt/archives/*.deb", "root/.cache", "root/.npm", "source", "web",
)  # fmt: skip


def main() -> None:
    storage = sys.argv[1:]  # buildah's options
    for name in ("service", "demo"):
        image = f"localhost/transfer-gateway-{name}"
        told = json.loads(_output("buildah", *storage, "inspect", "--type", "image", image))["OCIv1"][
            "config"
        ]
        container = _output("buildah", *storage, "from", image)
        root = Path(_output("buildah", *storage, "mount", container))
        _check_contents(root, name)
        _check_labels(told["Labels"])
        {"service": _check_service, "demo": _check_demo}[name](root, told)
        print(f"image: {name}: {_megabytes(root):.0f} MB, of which /app {_megabytes(root / 'app'):.0f} MB")


def _check_contents(root: Path, name: str) -> None:
    found = [path.relative_to(root) for pattern in UNWANTED for path in root.glob(pattern)]
    assert not found, found
    (packages,) = root.glob("app/lib/python3.*/site-packages")
    assert (packages / "transfer_emulator").is_dir() == (name == "demo")
    assert list(packages.glob("transfer_gateway/__pycache__/server.*.pyc")), "not compiled"
    for file in ("graphiql/index.html", "executions/index.html", "executions/documents.json"):
        assert (packages / "transfer_gateway/api/pages" / file).is_file(), f"no {file}"


def _check_labels(labels: dict[str, str]) -> None:
    version, revision = (labels[f"org.opencontainers.image.{name}"] for name in ("version", "revision"))
    assert version == _output("uv", "run", "transfer-gateway", "version"), version
    assert re.fullmatch(r"[0-9a-f]{40}", revision), revision


def _check_demo(root: Path, told: dict[str, Any]) -> None:
    """It responds at both servers; SIGTERM ends it properly. It writes to /tmp."""
    ports = ["--http-port", "0", "--grpc-port", "0"]
    with _running(root, told, [*told["Cmd"], *ports], writable_tmp=True, until="Ctrl-C") as (
        process,
        printed,
    ):
        url, _ = doors(printed)
        probe = ("python", "-c", f"import urllib.request as u; u.urlopen('{url}/readyz', timeout=4)")
        _output("runc", "exec", _CONTAINER, *probe)  # as k8s/overlays/demo has it
        print(f"image: demo: GraphQL and gRPC both answered with {demo_answers(printed)}")
        _ends_well(process)


def _check_service(root: Path, told: dict[str, Any]) -> None:
    """It writes no files, and refuses to serve without authentication on all addresses."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        accounts = Path(directory, "accounts.yaml")
        accounts.write_text('{defaults: {regions: [eu-west-1]}, accounts: [{id: "111111111111"}]}')
        mount = {
            "destination": "/etc/transfer-gateway", "source": directory, "type": "bind", "options": ["rbind", "ro"],
        }  # fmt: skip
        environment = {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": "/etc/transfer-gateway/accounts.yaml",
            "TRANSFER_GATEWAY_AUTH": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with _running(root, told, told["Cmd"], mounts=[mount], **environment) as (process, _):
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 2, process.returncode
            assert b"0.0.0.0" in errors, errors
        with _running(root, told, ["demo"]) as (process, _):
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, b"emulator is not installed" in errors) == (2, True), errors
        environment |= {f"TRANSFER_GATEWAY_{door}_HOST": "127.0.0.1" for door in ("HTTP", "GRPC")}
        environment |= {f"TRANSFER_GATEWAY_{door}_PORT": "0" for door in ("HTTP", "GRPC")}
        with _running(root, told, told["Cmd"], mounts=[mount], until="gRPC", **environment) as (
            process,
            printed,
        ):
            url, _ = doors(printed)
            with urlopen(f"{url}/readyz") as ready:
                assert ready.status == 200
            _check_confined(told)
            _ends_well(process)


def _check_confined(told: dict[str, Any]) -> None:
    """The kernel's view of the running service."""
    pid = json.loads(_output("runc", "state", _CONTAINER))["pid"]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == [told["User"].partition(":")[0]] * 4
    assert {int(status[f"Cap{of}"], 16) for of in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"


def _ends_well(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # runc hands it on
    process.communicate(timeout=40)
    assert process.returncode == 0, process.returncode


@contextmanager
def _running(
    root: Path,
    told: dict[str, Any],
    arguments: list[str],
    *,
    until: str | None = None,
    writable_tmp: bool = False,
    mounts: list[dict[str, Any]] | None = None,
    **environment: str,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The container, and its output up to a line with `until`. In the host's network; killed at the end."""
    user, group = (int(number) for number in told["User"].split(":"))
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]}
    bundle = {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": user, "gid": group},
            "args": [*told["Entrypoint"], *arguments],
            "env": [*told["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": told["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            *([{"destination": "/tmp"} | tmpfs] if writable_tmp else []),  # noqa: S108
            *(mounts or []),
        ],
        "linux": {"namespaces": namespaces},
    }
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.json").write_text(json.dumps(bundle))
        command = ("runc", "run", "--bundle", directory, _CONTAINER)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout
        try:
            printed = ""
            while until and until not in printed:
                line = process.stdout.readline()
                assert line, process.communicate()[1].decode()
                printed += line.decode()
            yield process, printed
        finally:
            if process.poll() is None:
                subprocess.run(("runc", "delete", "--force", command[-1]), check=False)
            process.communicate()


def _megabytes(root: Path) -> float:
    return int(_output("du", "--summarize", "--bytes", str(root)).split()[0]) / 1e6


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


main()
