"""What a demonstration that was killed leaves of a PostgreSQL server, and the next one takes away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drd.core.errors import PermanentError

NOTICING_SECONDS = 5.0
"""How long the processes of a postmaster that was killed may take to notice it and leave."""
STOPPING: tuple[tuple[int, float], ...] = ((signal.SIGINT, 15.0), (signal.SIGKILL, 15.0))
"""How those that stay are ended: each signal with the seconds that it gets. The first is PostgreSQL's `fast`."""
POLL_SECONDS = 0.05


async def end_leftover(data: Path, say: Callable[[str], None]) -> None:
    """End the processes that still use a data directory, and take away a lock that would keep a new server out.

    Whoever calls this holds the demonstration's own lock, so no server is meant to run there. Raises `PermanentError`
    when a process does not end.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    if not await _are_gone_within(data, NOTICING_SECONDS):
        say(f"a server that still ran in {data} is stopped")
        for number, seconds in STOPPING:
            for pid in _users(data):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if await _are_gone_within(data, seconds):
                break
        else:
            pids = " ".join(map(str, _users(data)))
            raise PermanentError(f"processes that use {data} do not end: {pids}", f"kill -9 {pids}")
    # A server that was stopped in an orderly way took it along.
    if lock.exists() and _is_taken(int(lock.read_text().split()[0])):
        lock.unlink()


async def _are_gone_within(data: Path, seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while _users(data):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _users(data: Path) -> list[int]:
    """The processes that work in the data directory, as all of a server's do."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cwd").readlink() == data:
                found.append(int(process.name))
    return found


def _is_taken(pid: int) -> bool:
    """Whether the number that a server of ours had is another process's by now, or a zombie's.

    PostgreSQL takes either for a server that runs there, and does not start.
    """
    return Path(f"/proc/{pid}").exists()
