"""Checks a release's files in dist/: part of `.ci/run package`.

The wheels built from the tree and from the sdist are equal; installed anywhere, it works; the SBOM lists the locked
packages.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from demo_answers import demo_answers


def main() -> None:
    dist, other_wheel = (Path(argument) for argument in sys.argv[1:])
    (wheel,) = dist.glob("*.whl")
    (other,) = other_wheel.glob("*.whl")
    assert wheel.name == other.name
    assert _contents(wheel) == _contents(other), "the sdist makes another wheel than the tree"
    sbom = _listed(dist / "sbom.cdx.json")
    with tempfile.TemporaryDirectory() as directory:
        installed = _install(wheel, Path(directory))
        _start(Path(directory))
    assert not installed - sbom, f"installed, and not in the SBOM: {installed - sbom}"
    locked = {
        (package["name"], package["version"])
        for package in tomllib.loads(Path("uv.lock").read_text())["package"]
    }
    assert sbom <= locked, sbom - locked
    print(f"package: {wheel.name}: {len(installed)} packages installed, {len(sbom)} in the SBOM")


def _contents(wheel: Path) -> dict[str, int]:
    with ZipFile(wheel) as archive:
        return {member.filename: member.CRC for member in archive.infolist()}


def _listed(file: Path) -> set[tuple[str, str]]:
    text = file.read_text()
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert error is None, error
    return {(component["name"], component["version"]) for component in json.loads(text)["components"]}


def _install(wheel: Path, directory: Path) -> set[tuple[str, str]]:
    """The wheel in an otherwise empty environment, with locked dependencies; and the other packages there."""
    environment, locked = str(directory / "venv"), directory / "requirements.txt"
    _run("uv", "export", "--quiet", "--no-dev", "--no-emit-project", "--output-file", str(locked))
    _run("uv", "venv", "--quiet", "--python", sys.executable, environment)
    into = ("--quiet", "--python", environment)
    _run("uv", "pip", "install", *into, "--requirements", str(locked), str(wheel))
    _run("uv", "pip", "check", *into)
    found = json.loads(_run("uv", "pip", "list", *into, "--format", "json"))
    return {
        (package["name"], package["version"]) for package in found if package["name"] != "transfer-gateway"
    }


def _start(directory: Path) -> None:
    """It prints its version, and its demo responds: away from the source, without our environment."""
    command, there = str(directory / "venv" / "bin" / "transfer-gateway"), {"PATH": os.defpath}
    told = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    assert _run(command, "version", cwd=directory, env=there).strip() == told
    settings = {"TRANSFER_GATEWAY_HISTORY_URL": f"sqlite://{directory}/history.db"}
    assert "→" in _run(command, "migrate", cwd=directory, env=there | settings)
    ports = ("--http-port", "0", "--grpc-port", "0")
    with subprocess.Popen(
        (command, "demo", *ports), cwd=directory, env=there, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        try:
            printed = ""
            while "Ctrl-C" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line.decode()
            print(f"package: the demo answered with {demo_answers(printed)}")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=40) == 0
        finally:
            process.kill()


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd, env=env).stdout


main()
