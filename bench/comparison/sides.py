"""The programs that are compared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from comparison.processes import CORES, SIDE_CORE, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from comparison.aws import Aws
    from comparison.processes import Running

GATEWAY, GATEWAY_QUIET, GATEWAY_ALONE = "gateway", "gateway, no logs", "gateway, GraphQL alone"
APOLLO, APOLLO_CACHED, APOLLO_PARTIAL = "Apollo", "Apollo, with a cache", "Apollo, for partial results"
DAYS_WORK, THREADS = "a day's work", "boto3, 64 threads"
HTTP_LIMIT, GRPC_LIMIT, AWS_LIMIT = "Starlette alone", "grpc.aio echo", "signed aiohttp calls alone"
BENCH = Path(__file__).parents[1]
Start: TypeAlias = "Callable[[Aws], AbstractContextManager[Running]]"
_INHERITED = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def gateway(aws: Aws) -> AbstractContextManager[Running]:
    """`transfer-gateway serve`, as shipped except for authentication."""
    return _gateway(aws, GATEWAY)


def gateway_quiet(aws: Aws) -> AbstractContextManager[Running]:
    return _gateway(aws, GATEWAY_QUIET, AUDIT_LOG="false", LOG_LEVEL="warning")


def gateway_alone(aws: Aws) -> AbstractContextManager[Running]:
    """Without its gRPC server."""
    return _gateway(aws, GATEWAY_ALONE, doors=1, GRPC="false")


def gateway_workers(aws: Aws, workers: int) -> AbstractContextManager[Running]:
    """Several processes, or one, on all cores."""
    return _gateway(aws, f"{workers} workers", cores=",".join(map(str, CORES)), WORKERS=str(workers))


def _gateway(
    aws: Aws, name: str, *, doors: int = 2, cores: int | str = SIDE_CORE, **settings: str
) -> AbstractContextManager[Running]:
    settings |= {"ACCOUNTS_FILE": str(aws.accounts_file), "AUTH": "none", "SHUTDOWN_DELAY_S": "0"}
    environment = {f"TRANSFER_GATEWAY_{setting}": value for setting, value in settings.items()}
    command = str(Path(sys.executable).with_name("transfer-gateway"))
    return running(
        name,
        (command, "serve", "--http-port", "0", "--grpc-port", "0"),
        _INHERITED | aws.environment | environment,
        core=cores,
        lines=doors,
    )


def install_apollo() -> None:
    command = ("npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(BENCH / "apollo"))
    subprocess.run(command, check=True)


def apollo(aws: Aws) -> AbstractContextManager[Running]:
    """bench/apollo."""
    return _apollo(aws, APOLLO)


def apollo_cached(aws: Aws) -> AbstractContextManager[Running]:
    """Caches executions for as long as `maxAge` allows."""
    return _apollo(aws, APOLLO_CACHED, CACHE="1")


def apollo_partial(aws: Aws) -> AbstractContextManager[Running]:
    """Returns an account's failure as data."""
    return _apollo(aws, APOLLO_PARTIAL, PARTIAL="1")


def _apollo(aws: Aws, name: str, **settings: str) -> AbstractContextManager[Running]:
    environment = _INHERITED | aws.environment | {"NODE_ENV": "production"} | settings
    return running(name, ("node", str(BENCH / "apollo" / "server.mjs")), environment, core=SIDE_CORE)


def days_work(aws: Aws) -> AbstractContextManager[Running]:
    return _python(aws, DAYS_WORK, "days_work.py")


def threads(aws: Aws) -> AbstractContextManager[Running]:
    return _python(aws, THREADS, "boto3_threads.py")


@contextmanager
def limit(aws: Aws, name: str, answer: bytes) -> Iterator[Running]:
    """The lower bound of such a response's cost: HTTP_LIMIT or GRPC_LIMIT."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(answer)
        file.flush()
        with _python(aws, name, "limits.py", "http" if name == HTTP_LIMIT else "grpc", file.name) as process:
            yield process


def _python(aws: Aws, name: str, script: str, *arguments: str) -> AbstractContextManager[Running]:
    command = (sys.executable, str(BENCH / script), *arguments)
    return running(name, command, _INHERITED | aws.environment, core=SIDE_CORE)
