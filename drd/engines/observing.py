"""Watching drd itself: whether its loop is late, and whether its clock was set. What it sees meanwhile is in doubt."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final

from drd.core.probing import Failure, ProbeResult
from drd.ports.clock import Clock

TICK_SECONDS: Final = 0.1
LATE_FOR_SECONDS: Final = 3.0
"""For how long a late tick counts: as long as it takes to look at everything anew."""
STEPPED_FOR_SECONDS: Final = 30.0
"""For how long a step of the clock counts, or that the machine stood still."""
LEAST_LATE_SECONDS: Final = 0.1
_DRIFT_SECONDS: Final = 0.5
"""Less is a clock that is being slewed."""


class Observing:
    """Compares the clocks at each tick of a loop of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late: deque[tuple[float, float]] = deque()
        self._stepped: deque[tuple[float, float]] = deque()

    async def serve(self) -> None:
        """Tick until cancelled."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        while True:
            await self._clock.sleep(TICK_SECONDS)
            wall, monotonic = self._tick(wall, monotonic)

    def late_seconds(self, since: float | None = None) -> float:
        """How late the loop came round at worst, lately or since a moment.

        After it stood still its tick is due first, so that it counts before any time-out that came of it.
        """
        now = self._clock.monotonic()
        begin = now - LATE_FOR_SECONDS if since is None else since
        return max((late for at, late in self._late if at >= begin), default=0.0)

    def was_late_for(self, result: ProbeResult) -> bool:
        """Whether a time-out proves nothing, for the loop was late itself."""
        is_timeout = result.failure is Failure.TIMEOUT
        return is_timeout and self.late_seconds(result.began) > max(LEAST_LATE_SECONDS, result.latency / 4)

    @property
    def stepped_seconds(self) -> float:
        """By how much the clock was set lately, the largest step."""
        begin = self._clock.monotonic() - STEPPED_FOR_SECONDS
        return max((step for at, step in self._stepped if at >= begin), key=abs, default=0.0)

    def _tick(self, wall: datetime, monotonic: float) -> tuple[datetime, float]:
        now, moment = self._clock.now(), self._clock.monotonic()
        passed = moment - monotonic
        self._note(self._late, moment, max(0.0, passed - TICK_SECONDS), LATE_FOR_SECONDS)
        stepped = (now - wall).total_seconds() - passed
        if abs(stepped) > _DRIFT_SECONDS:
            self._note(self._stepped, moment, stepped, STEPPED_FOR_SECONDS)
        return now, moment

    def _note(self, kept: deque[tuple[float, float]], at: float, value: float, seconds: float) -> None:
        kept.append((at, value))
        while kept[0][0] < at - 2 * seconds:
            kept.popleft()
