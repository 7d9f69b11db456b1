"""What people type: the commands, their options, and how answers are shown.

PostgreSQL types one of them, `drd wal-push`, for each 16 MiB that it writes: that one starts without all the others.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that was typed, and leave with its exit code."""
    if sys.argv[1:2] == ["wal-push"] and not {"-h", "--help"} & set(sys.argv):
        from drd.cli.wal_push import main as push

        sys.exit(push(sys.argv[2:]))
    from drd.cli.program import main as program

    program()
