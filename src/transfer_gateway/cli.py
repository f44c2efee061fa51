"""The command line. The only place that knows the emulator, and only for the demo."""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager, suppress
from importlib.metadata import version as package_version
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies_environment

import uvloop

from transfer_gateway import server, signals
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.build import build_core, build_oidc
from transfer_gateway.core.check import check_targets
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.listen import PortNotAvailable
from transfer_gateway.settings import (
    ENV_PREFIX,
    AccountsFile,
    ConfigurationError,
    PolicyFile,
    Settings,
    TlsFiles,
    load_documents,
    shown_default,
    unknown_settings,
)
from transfer_gateway.telemetry import AwsCalls, configure_logging, get_logger, lines_queued

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractContextManager

    from transfer_emulator import World
    from transfer_emulator.world import Running
    from transfer_gateway.build import Core
    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.discovery import AccountSources

_log = get_logger(__name__)
_LAST_PORT = 65_535


def main() -> None:
    """Do as the command line says. argparse: typer would stay in a service's memory."""
    with _printing():
        arguments = vars(_parser().parse_args())
    arguments.pop("command")(**arguments)


def _parser() -> argparse.ArgumentParser:
    ports, targets = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    for door in ("HTTP", "gRPC"):
        told = f"port of the {door} door; 0: any free one"
        ports.add_argument(f"--{door.lower()}-port", type=_port, metavar="PORT", help=told)
    told = "really fetch the issuers' keys, discover the accounts, assume each role and call Transfer"
    targets.add_argument("--assume", action="store_true", help=told)

    parser = argparse.ArgumentParser(
        "transfer-gateway",
        description="What AWS Transfer Family's managed workflows are doing, right now, across every AWS account.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, options, epilog in (
        (demo, [ports], None),
        (serve, [ports], _settings_help()),
        (check_config, [targets], _settings_help()),
        (export_schema, [], None),
        (version, [], None),
    ):
        commands.add_parser(
            command.__name__.replace("_", "-"),
            help=command.__doc__,
            description=command.__doc__,
            parents=options,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        ).set_defaults(command=command)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to {_LAST_PORT}; got {text[:20]!r}")
    return int(text)


def _settings_help() -> str:
    """Every setting, for `--help`: the fields are the one list of them."""
    lines = ["settings, all of them environment variables:"]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else f"default {shown_default(field) or 'none'}"
        told = f"{ENV_PREFIX}{name.upper()} ({default}): {field.description}"
        lines.append(textwrap.fill(told, get_terminal_size().columns - 2, subsequent_indent="    "))
    return "\n".join(lines)


def demo(http_port: int | None, grpc_port: int | None) -> None:
    """Run the service beside an emulated AWS whose executions start, progress, fail and end."""
    if find_spec("transfer_emulator") is None:
        _tell("error: there is no emulator here: the service's image leaves it out, the demo's has it")
        sys.exit(2)
    _run(lambda: _demo(http_port, grpc_port), stays=True)


def serve(http_port: int | None, grpc_port: int | None) -> None:
    """Run the service. AWS credentials and endpoints come from AWS's ordinary variables."""
    settings = _settings(http_port=http_port, grpc_port=grpc_port)
    _run(lambda: _serve(settings), stays=True)


def check_config(*, assume: bool) -> None:
    """Check settings and the files they name; with --assume each account and region too. Starts nothing."""
    settings = _settings()
    for name, nearest in unknown_settings().items():
        meant = f"; is {nearest} meant?" if nearest else ""
        _tell(f"warning: {name} is no setting, and has no effect{meant}")
    _or_exit(lambda: build_oidc(settings))
    if settings.policy_file is not None:
        _or_exit(PolicyFile(settings.policy_file).load)
        _say(f"{settings.policy_file}: ok")
    documents = settings.graphql_trusted_documents_path
    if documents is not None:
        _or_exit(lambda: load_documents(documents))
        _say(f"{documents}: ok")
    sources: AccountSources = _or_exit(AccountsFile(settings.accounts_file).load)
    for files in filter(None, (TlsFiles.of(settings, "http"), TlsFiles.of(settings, "grpc"))):
        valid_until = _or_exit(files.load).valid_until
        _say(f"{files.certificate}: certificate, valid until {valid_until:%Y-%m-%d %H:%M} UTC: ok")
    discovery = ", discovery from AWS Organizations" if sources.discovery else ""
    _say(
        f"{settings.accounts_file}: {len(sources.listed)} accounts, {len(sources.regions())} regions{discovery}: ok"
    )
    if assume:
        if settings.log_level != "debug":  # all else that the log has to say, the table says
            configure_logging("critical", settings.log_format)
        _run(lambda: _check_targets(settings, sources))


def export_schema() -> None:
    """Print the GraphQL schema."""
    _say(build_schema().as_str())


def version() -> None:
    """Print the version."""
    _say(package_version("transfer-gateway"))


def _say(text: str) -> None:
    with _printing():
        sys.stdout.write(f"{text}\n")


@contextmanager
def _printing() -> Iterator[None]:
    """What is printed is all that the command is for: exit code 1 where it can't be, and a line that says why."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries again at its end, and exits with 120
        _tell(f"error: stdout can't be written: {error.strerror}")
        sys.exit(1)


def _announce(text: str) -> None:
    """Print it where somebody reads it at once: a service goes on without, and waits for nobody."""
    with suppress(OSError):
        poll = select.poll()
        poll.register(1, select.POLLOUT)
        if any(event & select.POLLOUT for _, event in poll.poll(0)):
            os.write(1, f"{text}\n".encode())


def _tell(problem: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{problem}\n")
        sys.stderr.flush()


def _settings(**overrides: object) -> Settings:
    settings: Settings = _or_exit(lambda: Settings.from_environment(**overrides))
    configure_logging(settings.log_level, settings.log_format, audit=settings.audit_log)
    return settings


def _or_exit(step: Callable[[], Any]) -> Any:  # noqa: ANN401  whatever the step gives
    """The step's value; on wrong configuration its problems, a line each, and exit code 2."""
    try:
        return step()
    except ConfigurationError as error:
        for problem in error.problems:
            _tell(f"error: {problem}")
        sys.exit(2)


def _run(program: Callable[[], Coroutine[Any, Any, None]], *, stays: bool = False) -> None:
    """Run it to its end; 2 for wrong configuration, 1 for a port that is taken. `stays`: until a signal comes."""

    def run() -> None:
        try:
            uvloop.run(program())
        finally:
            if stays:
                signals.exit_at_once()  # nobody may read what is wrong

    if stays:
        signals.remember()
    try:
        _or_exit(run)
    except PortNotAvailable as error:
        _tell(f"error: {error}")
        sys.exit(1)


async def _serve(settings: Settings) -> None:
    with _lines_queued(settings):
        for name, nearest in unknown_settings().items():
            _log.warning("unknown_setting", name=name, nearest=nearest)
        await server.serve(settings, on_ready=lambda service: _print_doors(service, settings))


def _lines_queued(settings: Settings) -> AbstractContextManager[None]:
    return lines_queued(settings.log_queue_max_bytes, audit_full=settings.audit_log_full)


async def _check_targets(settings: Settings, sources: AccountSources) -> None:
    """Try every target and print how it went, one row each; exit code 1 when anything failed."""
    from transfer_gateway import check_report  # noqa: PLC0415  a service would hold its libraries in memory for nothing

    issuers = await _try_issuers(settings)
    async with build_core(settings, sources, AwsCalls()) as core:
        accounts, discovered = await _discover(core, sources)
        targets = sum(len(account.regions) for account in accounts)
        with check_report.progress(targets) as advance:
            checks = await check_targets(accounts, core.transfer, on_checked=lambda _: advance())
    with _printing():
        check_report.print_checked(checks)
    if not (issuers and discovered) or any(checked.failure for checked in checks):
        sys.exit(1)


async def _try_issuers(settings: Settings) -> bool:
    """Whether every issuer's keys can be had; prints how it went."""
    oidc = build_oidc(settings)
    if oidc is None:
        return True
    async with oidc:
        tried = await oidc.try_issuers()
    for issuer, got in tried.items():
        _say(f"{issuer}: {f'{got} keys: ok' if isinstance(got, int) else got}")
    return all(isinstance(got, int) for got in tried.values())


async def _discover(core: Core, sources: AccountSources) -> tuple[Accounts, bool]:
    """The accounts to check, and whether all could be found."""
    if sources.discovery is None:
        return sources.listed, True
    try:
        accounts = sources.merge(await core.organizations.list_members(sources.discovery))
    except GatewayError as error:
        _say(f"discovery: {error.code}: {error.detail or error.message}")
        return sources.listed, False
    _say(f"discovery: {len(accounts) - len(sources.listed)} more accounts: ok")
    return accounts, True


def _print_doors(service: server.Service, settings: Settings) -> None:
    _announce(f"GraphQL: {service.url}/graphql")
    if service.grpc:
        tls = (
            " (TLS, client certificates)"
            if settings.grpc_client_ca_file
            else " (TLS)"
            if settings.grpc_tls_cert_file
            else ""
        )
        _announce(f"gRPC: {service.grpc}{tls}")


async def _demo(http_port: int | None, grpc_port: int | None) -> None:
    """The same service as `serve`, pointed at the emulator by nothing but AWS's variables and a file."""
    from transfer_emulator import Emulator, demo_world  # noqa: PLC0415  the service alone never loads it
    from transfer_emulator.control import accounts_yaml  # noqa: PLC0415

    world = demo_world(seed=random.randrange(2**32), accounts=3, regions=("eu-west-1", "us-east-1"))  # noqa: S311  scenery
    with tempfile.NamedTemporaryFile("w", suffix="-accounts.yaml") as accounts_file:
        accounts_file.write(accounts_yaml(world))
        accounts_file.flush()
        async with Emulator(world, port=0) as emulator:
            _point_aws_at(emulator.environment())
            settings = _settings(
                auth="none",
                audit_log=False,
                accounts_file=accounts_file.name,
                http_port=http_port,
                grpc=True,
                grpc_port=grpc_port,
                shutdown_delay_s=0.0,  # nobody probes it
            )
            with _lines_queued(settings):
                await server.serve(
                    settings,
                    live_examples=True,
                    on_ready=lambda service: _print_demo(service, emulator.url, world),
                )


def _point_aws_at(environment: dict[str, str]) -> None:
    """Leave nothing of this machine's AWS set-up in force, nor its proxy: the demo never reaches a real account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment)
    no_proxy = ",".join(filter(None, (getproxies_environment().get("no"), "127.0.0.1,localhost,::1")))
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY=no_proxy,
        no_proxy=no_proxy,
    )


_DEMO_QUERY = """
query Demo($key: ExecutionKey!) {
  executionOrError(key: $key) {
    __typename
    ... on Execution {
      id account { alias } status
      initialFileLocation { s3FileLocation { bucket key versionId etag } efsFileLocation { fileSystemId path } }
      serviceMetadata { userDetails { userName serverId sessionId } }
      executionRole loggingConfiguration { loggingRole logGroupName } posixProfile { uid gid secondaryGids }
      results { steps { ...step } onExceptionSteps { ...step } }
      observedAt
    }
    ... on Error { code message retryable awsRequestId }
  }
}
fragment step on ExecutionStepResult { stepType outputs error { type message } }
"""


def _print_demo(service: server.Service, aws_url: str, world: World) -> None:
    """Where to go, and a query that works right now, on an execution that has steps to show and time to live."""
    url, now = service.url, time.time()

    def worth(row: Running) -> tuple[bool, float]:
        account_id, region, workflow_id, execution_id, _, seconds_left = row
        wire = world.target(account_id, region).workflows[workflow_id].execution(execution_id, now) or {}
        return bool(wire.get("Results", {}).get("Steps")) and seconds_left > 30, seconds_left  # noqa: PLR2004  to paste it

    in_progress = [row for row in world.running(now) if row[4] == "IN_PROGRESS"]
    account_id, region, workflow_id, execution_id, _, seconds_left = max(in_progress, key=worth)
    key = {"accountId": account_id, "region": region, "workflowId": workflow_id, "executionId": execution_id}
    body = json.dumps({"query": " ".join(_DEMO_QUERY.split()), "variables": {"key": key}})
    _announce(
        f"""
transfer-gateway demo: {len(world.accounts())} accounts x {len(world.regions)} regions of an emulated AWS.

  GraphQL  {url}/graphql  (in a browser: GraphiQL)
  gRPC     {service.grpc}  (transfer_api.v1.ExecutionService, with reflection)
  AWS      {aws_url}  (emulated; what runs in it: {aws_url}/_emulator/executions)

An execution that is in progress for another {seconds_left:.0f} s. Ask again later: when it has ended,
the answer is EXECUTION_NOT_FOUND, as from AWS.

curl -s {url}/graphql -H 'content-type: application/json' -d '{body}'

npx --package=@bufbuild/buf buf curl --protocol grpc --http2-prior-knowledge \\
  http://{service.grpc}/transfer_api.v1.ExecutionService/GetExecution -d '{json.dumps({"key": key})}'

Ctrl-C ends it.
"""
    )
