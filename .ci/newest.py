"""Runs the tests that depend on libraries' private parts against the newest releases, ignoring our upper bounds.

Reports which releases are newer than the locked ones, and exits with pytest's code.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/test_library_fallbacks.py",
    "tests/aws/test_sending.py",
    "tests/aws/test_data.py",
    "tests/api/test_compiled.py",
    "tests/api/test_inputs.py",
    "tests/api/test_websocket.py",
    "tests/api/test_rpc_connections.py",
)
SLOW = "test_answers_are_the_reference_executors or test_lists_are_the_reference_executors"
TIMEOUT_S = 240  # on a busy machine; a minute otherwise


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    of_tests = [
        each for each in project["dependency-groups"]["dev"] if each.startswith(("pytest", "hypothesis"))
    ]
    unbounded = [re.sub(r"[<>=][^;]*", "", each, count=1) for each in project["project"]["dependencies"]]
    with tempfile.TemporaryDirectory() as directory:
        python = f"{directory}/bin/python"
        install = ["uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, directory], check=True)
        subprocess.run([*install, *unbounded, *of_tests], check=True)
        subprocess.run([*install, "--no-deps", "--editable", "."], cwd=ROOT, check=True)
        listing = subprocess.run(
            ["uv", "pip", "list", "--quiet", "--python", python, "--format", "json"],
            check=True,
            capture_output=True,
        )
        for package in json.loads(listing.stdout):
            tell(package["name"], package["version"])
        tests = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-k", f"not ({SLOW})", *TESTS]
        try:
            return subprocess.run(tests, cwd=ROOT, timeout=TIMEOUT_S, check=False).returncode
        except subprocess.TimeoutExpired:
            print(f"newest: not done within {TIMEOUT_S} s")
            return 1


def tell(name: str, newest: str) -> None:
    """Report a package that differs from the locked one, which this process runs with."""
    try:
        locked = version(name)
    except ModuleNotFoundError:
        locked = "none"
    if locked != newest:
        print(f"newest: {name} {newest}, locked: {locked}")


if __name__ == "__main__":
    sys.exit(main())
