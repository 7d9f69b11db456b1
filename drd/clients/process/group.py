"""A child's process group: whether anything in it still lives."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def signal_group(group: int, number: int) -> None:
    """Send a signal to every process of the group; one that is gone already needs none."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def is_alive(group: int) -> bool:
    """Whether the group has a process that is more than a zombie.

    Where process 1 does not reap, as in many containers, an orphan stays a zombie for ever, and a signal still reaches
    it.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_belongs_and_lives(entry, group) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _belongs_and_lives(process: Path, group: int) -> bool:
    # proc(5): pid (name) state ppid pgrp …; the name may hold anything, also blanks and parentheses.
    try:
        state, _, its_group = (process / "stat").read_bytes().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(its_group) == group and state not in {b"Z", b"X"}
