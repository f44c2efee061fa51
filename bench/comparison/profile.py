"""Where the gateway's CPU goes, by sampling its stacks under load."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comparison.documents import LOOKUP
from comparison.load import http_rate
from comparison.processes import OTHER_CORE
from comparison.sides import gateway

if TYPE_CHECKING:
    from comparison.aws import Aws

SECONDS, TIMES_A_SECOND = 8, 400
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(:\d+)?\)")
_OURS = "transfer_gateway/"


@dataclass(frozen=True)
class Spent:
    """Shares of all samples: by function (its own code, and C code that it calls), and by package."""

    functions: list[tuple[str, float]]
    packages: list[tuple[str, float]]


def profile(aws: Aws) -> dict[str, Spent]:
    hot = [{"key": aws.keys[0], "maxAge": 3600}]
    distinct = [{"key": key, "maxAge": 0} for key in aws.keys]
    return {"hot": _spent(aws, hot), "distinct": _spent(aws, distinct)}


def _spent(aws: Aws, variables: list[dict[str, object]]) -> Spent:
    with gateway(aws) as side, tempfile.NamedTemporaryFile("r") as stacks:
        http_rate(side, [LOOKUP], variables, 3, 0)
        command = ("py-spy", "record", "--format", "raw", "--output", stacks.name, "--pid", str(side.pid))
        times = ("--duration", str(SECONDS), "--rate", str(TIMES_A_SECOND), "--nonblocking")
        pinned = ("taskset", "--cpu-list", str(OTHER_CORE), *command, *times)
        with subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampling:
            http_rate(side, [LOOKUP], variables, SECONDS + 2, 1_000_003)
            sampling.wait()
        return _counted(Path(stacks.name).read_text())


def _counted(stacks: str) -> Spent:
    """Source: py-spy's raw format: from the root, `function (file:line)`, separated by semicolons; then a count."""
    functions, packages = Counter[str](), Counter[str]()
    for line in stacks.splitlines():
        path, _, count = line.rpartition(" ")
        leaf = _FRAME.fullmatch(path.split(";")[-1])
        if leaf is None:
            continue
        file = leaf["file"]
        functions[f"{leaf['function']} ({file})"] += int(count)
        packages[_package(file)] += int(count)
    total = functions.total()
    return Spent(
        [(name, count / total) for name, count in functions.most_common(10)],
        [(name, count / total) for name, count in packages.most_common(10)],
    )


def _package(file: str) -> str:
    """The top-level directory; for our own code also the layer."""
    parts = Path(file).parts
    if file.startswith(_OURS):
        return "/".join(parts[: min(3, len(parts) - 1)])
    return parts[0] if len(parts) > 1 else "standard library"
