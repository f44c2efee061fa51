"""`transfer-emulator`: a lifelike company on a port of this machine, until it is told to stop."""

import argparse
import asyncio
import shlex
import signal
import sys

from transfer_emulator.scenario import demo_world
from transfer_emulator.server import Emulator

if sys.platform == "win32":  # has no uvloop
    from asyncio import run
else:
    from uvloop import run


def main() -> None:
    """Run the emulator. The one line printed is shell: `eval` it, and the AWS CLI talks to the emulator."""
    arguments = _parser().parse_args()
    run(_serve(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="transfer-emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="loopback unless told otherwise")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--accounts", type=int, default=3, help="how many, besides the one that calls")
    parser.add_argument("--regions", default="eu-west-1,us-east-1", help="comma-separated")
    parser.add_argument("--seed", type=int, default=7, help="the same seed shows the same at the same time")
    parser.add_argument("--session-lifetime-s", type=float, help="of every assumed session, whatever it asks")
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    world = demo_world(arguments.seed, arguments.accounts, tuple(arguments.regions.split(",")))
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
