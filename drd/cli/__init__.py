"""What people type: the commands, their options, and how answers are shown."""

from drd.cli.program import main

__all__ = ["main"]
