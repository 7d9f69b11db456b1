"""What a program has done so far, as the kernel counts it: for those that write nothing while they work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 64 * 1024
"""Reading less than this between two looks is no work: a waiting program reads a few bytes each time it wakes up."""
PROCESSOR_SECONDS = 60.0
"""Computing less than this between two looks is none either: a timer that goes round needs some seconds an hour."""


@dataclass(frozen=True, slots=True)
class Work:
    """Counters since the program's start."""

    read_bytes: int
    """From files, pipes and the network alike."""
    processor_seconds: float

    def is_more_than(self, before: Work) -> bool:
        """Whether something worth the name was done since then."""
        return (
            self.read_bytes - before.read_bytes >= READ_BYTES
            or self.processor_seconds - before.processor_seconds >= PROCESSOR_SECONDS
        )


NOTHING_YET = Work(0, 0.0)


def work_of(process: int) -> Work | None:
    """What a process has done; None when the kernel does not tell. Source: proc(5), `io` and `stat`."""
    try:
        lines = Path(f"/proc/{process}/io").read_text("ascii").splitlines()
        status = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    counted = dict(line.split(": ") for line in lines)
    # The program's name stands in brackets and may hold anything; utime and stime are the 12th and 13th after it.
    ticks = sum(map(int, status.rpartition(")")[2].split()[11:13]))
    return Work(int(counted["rchar"]), ticks / os.sysconf("SC_CLK_TCK"))
