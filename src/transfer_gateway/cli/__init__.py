"""The command line: `commands` parses it, and each command has a module. Only `demo` imports the emulator."""

from transfer_gateway.cli.commands import main

__all__ = ["main"]
