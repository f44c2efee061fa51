"""The commands and their options."""

from __future__ import annotations

import argparse
import sys
import textwrap
from importlib.metadata import version as package_version
from shutil import get_terminal_size

from transfer_gateway.cli.check_config import check_config
from transfer_gateway.cli.demo import demo
from transfer_gateway.cli.migrate import migrate
from transfer_gateway.cli.output import print_fault, printing, say
from transfer_gateway.cli.search import add_options, search
from transfer_gateway.cli.serve import serve
from transfer_gateway.settings import ENV_PREFIX, Settings, environment_secrets, shown_default
from transfer_gateway.telemetry import hide

_LAST_PORT = 65_535
_MOST_WORKERS = 64


def main() -> None:
    """Run the command line. Uses argparse, because typer would stay in the service's memory."""
    hide(environment_secrets())
    sys.excepthook = print_fault
    with printing():
        arguments = vars(_parser().parse_args())
    arguments.pop("command")(**arguments)


def _parser() -> argparse.ArgumentParser:
    ports, targets = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    for door in ("HTTP", "gRPC"):
        help_text = f"port of the {door} server; 0 selects a free port"
        ports.add_argument(f"--{door.lower()}-port", type=_port, metavar="PORT", help=help_text)
    processes = argparse.ArgumentParser(add_help=False)
    help_text = "1 to 64 processes that share both ports, about one for each core; default 1"
    processes.add_argument("--workers", type=_workers, metavar="N", help=help_text)
    help_text = "also fetch the issuers' keys, discover the accounts, assume each role and call AWS Transfer"
    targets.add_argument("--assume", action="store_true", help=help_text)

    parser = argparse.ArgumentParser(
        "transfer-gateway",
        description="Read the executions of AWS Transfer Family's managed workflows across many AWS accounts.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, options, epilog in (
        (demo, [ports], None),
        (serve, [ports, processes], _settings_help()),
        (check_config, [targets], _settings_help()),
        (search, [], None),
        (migrate, [], None),
        (export_schema, [], None),
        (version, [], None),
    ):
        added = commands.add_parser(
            command.__name__.replace("_", "-"),
            help=command.__doc__,
            description=command.__doc__,
            parents=options,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        added.set_defaults(command=command)
        if command is search:
            add_options(added)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to {_LAST_PORT}; got {text[:20]!r}")
    return int(text)


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"must be 1 to {_MOST_WORKERS}; got {text[:20]!r}")
    return int(text)


def _settings_help() -> str:
    """All settings, for `--help`, from the model's fields."""
    lines = ["settings (environment variables):"]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else f"default {shown_default(field) or 'none'}"
        entry = f"{ENV_PREFIX}{name.upper()} ({default}): {field.description}"
        lines.append(textwrap.fill(entry, get_terminal_size().columns - 2, subsequent_indent="    "))
    return "\n".join(lines)


def export_schema() -> None:
    """Print the GraphQL schema."""
    from transfer_gateway.api.graphql.schema import build_schema  # noqa: PLC0415  as in `serve`

    say(build_schema().as_str())


def version() -> None:
    """Print the version."""
    say(package_version("transfer-gateway"))
