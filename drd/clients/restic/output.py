"""What a restic command writes, as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from drd.core.errors import RepositoryLocked
from drd.ports.runner import Stream

MOST_LINES = 2000
MOST_LINE_BYTES = 4096
"""Bounds of what is kept of standard error: a disk that fails writes without end."""
# restic 0.14 tries for 44 seconds to read a lock that another process has removed after it was listed; 0.18 does not.
_LOCK_IS_GONE = re.compile(
    rb"Load\(<lock/\w+>, 0, 0\) returned error, retrying .*(no such file|does not exist|not found|404)", re.IGNORECASE
)


class LockVanished(RepositoryLocked):
    """restic waits for a lock that is not there any more: starting anew is quicker."""


@dataclass(slots=True)
class Output:
    """A call's lines as they come. `on_stdout` takes a line (True or False, as `OnLine`) or leaves it (None)."""

    on_stdout: Callable[[bytes], bool | None] | None = None
    is_patient: bool = False
    """Whether restic may wait for a lock that has vanished."""
    stdout: list[bytes] = field(default_factory=list)
    stderr: list[bytes] = field(default_factory=list)

    def take(self, stream: Stream, line: bytes) -> bool | None:
        """Receive a line. Raises `LockVanished`, which stops restic."""
        if stream == "stderr":
            if not self.is_patient and _LOCK_IS_GONE.search(line):
                raise LockVanished("a lock went while restic read it", "drd tries again by itself")
            self.stderr.append(line[:MOST_LINE_BYTES])
            del self.stderr[:-MOST_LINES]
            return True
        has_moved = self.on_stdout(line) if self.on_stdout is not None else None
        if has_moved is None:
            self.stdout.append(line)
        return has_moved

    @property
    def text(self) -> str:
        """Standard error, then standard output."""
        return b"\n".join([*self.stderr, *self.stdout]).decode(errors="replace")
