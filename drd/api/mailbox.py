"""Lines on their way to one client, which may be slow and may leave."""

from __future__ import annotations

import asyncio
from collections import deque

HEARTBEAT = b"\n"
"""An empty line: JSON readers skip it, and it says that the daemon is alive."""


class Mailbox:
    """What one piece of work has to say, until its client has taken it.

    It never makes the work wait: of progress that nobody has taken yet only the newest is kept.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[bytes, bool]] = deque()
        self._arrival = asyncio.Event()
        self._closed = False

    def put(self, line: bytes, passing: bool = False) -> None:
        """Add a line; a `passing` one is replaced by the next if nobody has taken it by then."""
        if self._lines and self._lines[-1][1]:
            self._lines.pop()
        self._lines.append((line, passing))
        self._arrival.set()

    def close(self) -> None:
        """There will be no further line."""
        self._closed = True
        self._arrival.set()

    async def take(self, patience_seconds: float) -> bytes | None:
        """The next line; a heartbeat when none came in time; None at the end."""
        if not self._lines and not self._closed:
            self._arrival.clear()
            try:
                async with asyncio.timeout(patience_seconds):
                    await self._arrival.wait()
            except TimeoutError:
                return HEARTBEAT
        return self._lines.popleft()[0] if self._lines else None
