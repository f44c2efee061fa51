"""The command line: `commands` parses it, and each command has a file. Only `demo` knows the emulator."""

from transfer_gateway.cli.commands import main

__all__ = ["main"]
