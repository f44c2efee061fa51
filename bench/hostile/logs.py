"""The log's reader is stuck or gone, or the disk is full."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from comparison.documents import MANY

from hostile.service import SHUTDOWN_DELAY_S

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Iterator

    from hostile.service import Service

LOG_TROUBLES = ("blocked", "closed", "/dev/full", "full tmpfs")
_PATIENCE_S, _EXIT_S, _NOT_READY_WITHIN_S = 5.0, 5.0, 20.0
_ASK_EVERY_S, _ONE_PIPE_PAGE = 0.025, 4096


class NotPossible(Exception):
    """This machine can't create that condition; the message says why."""


@contextmanager
def _stderr(trouble: str) -> Iterator[tuple[int, Callable[[], object]]]:
    """The gateway's stderr, and a function that starts the problem once it is running. Raises: NotPossible."""
    with ExitStack() as stack:
        if trouble in {"blocked", "closed"}:
            reads, writes = os.pipe()
            stack.callback(os.close, writes)
            fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, _ONE_PIPE_PAGE)
            if trouble == "closed":
                yield writes, lambda: os.close(reads)
                return
            stack.callback(os.close, reads)
            yield writes, lambda: None
            return
        path = Path("/dev/full")
        if trouble == "full tmpfs":
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory],  # noqa: S607
                check=False,
                capture_output=True,
            )
            if mounted.returncode:
                raise NotPossible(mounted.stderr.decode().strip())
            stack.callback(subprocess.run, ["umount", "--lazy", directory], check=True)
            path = Path(directory, "log")
        yield stack.enter_context(path.open("wb")).fileno(), lambda: None


async def rules_in_trouble(service: Service, trouble: str) -> list[tuple[str, bool]]:
    """Each rule, and whether it held, for another gateway of that kind. Raises: NotPossible."""
    with _stderr(trouble) as (stderr, begin):
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("transfer-gateway"),
            "serve",
            "--http-port",
            "0",
            "--grpc-port",
            "0",
            env=service.rig.environment,
            stdout=PIPE,
            stderr=stderr,
        )
        assert process.stdout is not None
        try:
            first = (await process.stdout.readline()).decode()
            if not first:
                return [(f"starts; its exit code is {await process.wait()}", False)]
            begin()
            return await _rules(service, process, first.split()[-1].removesuffix("/graphql"))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _rules(service: Service, process: Process, url: str) -> list[tuple[str, bool]]:
    """Send requests, each as another caller, until the gateway is not ready."""
    answered: Counter[str] = Counter()
    slowest_s, ready = 0.0, "never answered"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_PATIENCE_S)) as http:
        ends_at = time.monotonic() + _NOT_READY_WITHIN_S
        number = 0
        while time.monotonic() < ends_at and not ready.startswith("503"):
            token = service.token(f"caller-{(number := number + 1) % 20}")
            answered[await _ask(http, url, service.keys[:20], token)] += 1
            since = time.monotonic()
            alive = await _get(http, f"{url}/livez")
            slowest_s = max(slowest_s, time.monotonic() - since)
            ready = await _get(http, f"{url}/readyz")
            if not alive.startswith("200"):
                answered[f"/livez {alive}"] += 1
                break
            await asyncio.sleep(_ASK_EVERY_S)
        for _ in range(20):  # and now that it isn't
            answered[await _ask(http, url, service.keys[:20], service.token("late"))] += 1
            slowest_s = max(
                slowest_s, _PATIENCE_S if "no answer" in await _get(http, f"{url}/livez") else 0.0
            )
            if slowest_s >= _PATIENCE_S:
                break
    os.kill(process.pid, signal.SIGTERM)
    since, code = time.monotonic(), "none"
    try:
        code = str(await asyncio.wait_for(process.wait(), 2 * _EXIT_S + SHUTDOWN_DELAY_S))
    except TimeoutError:
        process.kill()
    took_s = time.monotonic() - since
    return [
        (f"/livez answers, within {1000 * slowest_s:.0f} ms", slowest_s < 0.25),
        (f"/readyz says why not: {ready[:120]}", ready.startswith("503") and "reason" in ready),
        (
            f"requests get JSON with a code: {dict(answered)}",
            all(one in _GOOD or ":" not in one for one in answered),
        ),
        (
            f"SIGTERM: exit code {code} after {took_s:.1f} s",
            code == "0" and took_s < _EXIT_S + SHUTDOWN_DELAY_S,
        ),
    ]


_GOOD = {"data"}


async def _ask(http: aiohttp.ClientSession, url: str, keys: list[dict[str, str]], token: str) -> str:
    """`data`, an error code, or, with a colon, anything else."""
    body = {"query": MANY, "variables": {"keys": keys, "maxAge": 3600}}
    headers = {"authorization": f"Bearer {token}"}
    try:
        async with http.post(f"{url}/graphql", json=body, headers=headers) as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer: {type(error).__name__}"
    try:
        told = json.loads(text)
        return (
            "data"
            if "data" in told and "errors" not in told
            else str(told["errors"][0]["extensions"]["code"])
        )
    except (ValueError, KeyError):
        return f"no JSON: {answer.status} {text[:80]}"


async def _get(http: aiohttp.ClientSession, url: str) -> str:
    try:
        async with http.get(url) as answer:
            return f"{answer.status} {await answer.text()}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer: {type(error).__name__}"
