"""The load generators: wrk for HTTP, h2load for gRPC. Both cost far less than the programs that they measure."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison.processes import OTHER_CORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comparison.processes import Running

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("requests.lua")
_PINNED = ("taskset", "--cpu-list", str(OTHER_CORE))


@dataclass(frozen=True)
class Rate:
    """A program's rate, and the cost of each response."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def check_tools() -> None:
    if missing := [
        tool for tool in ("taskset", "wrk", "h2load", "node", "npm") if shutil.which(tool) is None
    ]:
        sys.exit(
            f"not found: {', '.join(missing)}; Debian has them in util-linux, wrk, nghttp2-client, nodejs, npm"
        )


def ask(url: str, document: str, variables: dict[str, Any], timeout_s: float = 300) -> Any:  # noqa: ANN401  JSON
    """One request's whole response."""
    body = json.dumps({"query": document, "variables": variables}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  our own
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310  our own
        return json.load(answer)


def http_rate(
    side: Running, documents: Sequence[str], variables: Sequence[object], for_s: float, offset: int
) -> tuple[Rate, int]:
    """Load that program over 64 connections. Exits if a response was not a 200. Also returns the number of requests."""
    with tempfile.NamedTemporaryFile("w") as texts, tempfile.NamedTemporaryFile("w") as values:
        for file, items in ((texts, documents), (values, variables)):
            file.writelines(json.dumps(item) + "\n" for item in items)
            file.flush()
        before = side.cpu_s()
        command = (
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{for_s:.0f}"),
            *(
                "--timeout",
                "30",
                "--script",
                str(_SCRIPT),
                side.url,
                "--",
                texts.name,
                values.name,
                str(offset),
            ),
        )
        printed = subprocess.run((*_PINNED, *command), check=True, capture_output=True, text=True).stdout
        cpu_s = side.cpu_s() - before
    told = json.loads(printed.splitlines()[-1])
    if told["failed"]:
        sys.exit(f"{side.name}: {told['failed']} requests failed:\n{printed}")
    requests = told["requests"]
    rate = Rate(
        per_s=requests / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us=cpu_s / requests * 1e6,
    )
    return rate, requests


def grpc_rate(side: Running, address: str, method: str, message: bytes, for_s: float) -> Rate:
    """Call that method, 64 calls at a time over eight connections."""
    with tempfile.NamedTemporaryFile() as frame, tempfile.NamedTemporaryFile("r") as log:
        frame.write(b"\0" + len(message).to_bytes(4, "big") + message)
        frame.flush()
        before = side.cpu_s()
        command = (
            *("h2load", "--clients", "8", "--max-concurrent-streams", "8", "--duration", f"{for_s:.0f}"),
            *("--header", "content-type: application/grpc", "--header", "te: trailers", "--data", frame.name),
            *("--log-file", log.name, f"http://{address}{method}"),
        )
        printed = subprocess.run((*_PINNED, *command), check=True, capture_output=True, text=True).stdout
        cpu_s = side.cpu_s() - before
        took_ms = sorted(int(line.split()[2]) / 1000 for line in log)
    told = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", printed)
    assert told is not None
    succeeded, *bad = map(int, told.groups())
    if any(bad) or not succeeded:
        sys.exit(f"{side.name}: calls failed:\n{printed}")
    return Rate(
        per_s=succeeded / for_s,
        p50_ms=statistics.median(took_ms),
        p99_ms=took_ms[len(took_ms) * 99 // 100],
        cpu_us=cpu_s / succeeded * 1e6,
    )


def median(runs: Sequence[Rate]) -> Rate:
    """The median of each figure."""
    return Rate(
        *(
            statistics.median(getattr(run, name) for run in runs)
            for name in ("per_s", "p50_ms", "p99_ms", "cpu_us")
        )
    )
