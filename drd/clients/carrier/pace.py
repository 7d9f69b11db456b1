"""How fast bytes may go out."""

from __future__ import annotations

import threading
import time

BURST_SECONDS = 0.25
LEAST_BYTES = 16 * 1024


class Pace:
    """A token bucket that several threads share; without a rate it never waits."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = time.monotonic()
        self._never = threading.Event()

    def at_once(self, most: int) -> int:
        """How many bytes to take at a time, so that a slow line never rests for long: a server would hang up."""
        if self._rate is None:
            return most
        return max(LEAST_BYTES, min(most, int(self._rate * BURST_SECONDS)))

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may go."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - BURST_SECONDS) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._never.wait(wait)
