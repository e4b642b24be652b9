"""The command line: `sofipo --help`."""

from backend_api.cli.commands import main

__all__ = ["main"]
