"""Run an emulated AWS with sample accounts, workflows and executions until it is stopped by a signal."""

import argparse
import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from botocore.session import Session

from transfer_emulator.scenario import demo_world
from transfer_emulator.scripted_executions import ScenarioSettings
from transfer_emulator.server import Emulator

if sys.platform == "win32":  # has no uvloop
    from asyncio import run
else:
    from uvloop import run

Number = TypeVar("Number", int, float)
# The logs begin so long before the start.
PAST_S = 3600.0
_KINDS = {int: "an integer", float: "a number"}


def main(given: Sequence[str] | None = None) -> None:
    """Run the emulator. It prints one line of shell; `eval` it to point the AWS CLI to the emulator.

    `given`: the arguments; None: the command's.
    """
    parser = _parser()
    arguments = parser.parse_args(given)
    try:
        run(_serve(arguments))
    except OSError as error:
        reason = str(error).rpartition(": ")[2]
        parser.exit(1, f"error: cannot listen on {arguments.host}:{arguments.port}: {reason}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="transfer-emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_between(int, 0, 65_535),
        default=0,
        help="port to listen on; 0: any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--accounts",
        type=_between(int, 1, 10_000),
        default=3,
        help="number of accounts, not counting the caller's own (default: %(default)s)",
    )
    parser.add_argument(
        "--regions",
        type=_regions,
        default="eu-west-1,us-east-1",
        help="comma-separated list (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=7,
        help="the same seed gives the same data at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--session-lifetime-s",
        type=_between(float, 0.1, 43_200),
        help="lifetime of assumed-role sessions; overrides the requested duration",
    )
    return parser


def _between(kind: type[Number], minimum: Number, maximum: Number) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        with suppress(ValueError):
            if minimum <= (number := kind(text)) <= maximum:
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is not {_KINDS[kind]} between {minimum} and {maximum}")

    return parse


def _regions(text: str) -> tuple[str, ...]:
    regions = tuple(dict.fromkeys(text.split(",")))
    known = Session().get_available_regions("transfer")
    if unknown := [region for region in regions if region not in known]:
        raise argparse.ArgumentTypeError(f"AWS Transfer is not available in: {', '.join(map(repr, unknown))}")
    return regions


async def _serve(arguments: argparse.Namespace) -> None:
    settings = ScenarioSettings(history_from=time.time() - PAST_S)
    world = demo_world(arguments.seed, arguments.accounts, arguments.regions, settings)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    emulator = Emulator(
        world,
        host=arguments.host,
        port=arguments.port,
        session_lifetime_s=arguments.session_lifetime_s,
    )
    async with emulator:
        environment = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in emulator.environment().items()
        )
        sys.stdout.write(f"export {environment}  # emulator at {emulator.url}\n")
        sys.stdout.flush()
        await stopping.wait()


if __name__ == "__main__":
    main()
