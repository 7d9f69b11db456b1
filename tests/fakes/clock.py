"""Time that follows the event loop's own, so that looptime moves both; the wall clock steps when a test says so."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)


class FakeClock:
    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._stepped = timedelta()
        self._zero: float | None = None

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return self._start + self._stepped + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._zero is None:
            self._zero = now
        return now - self._zero

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, by: timedelta) -> None:
        """Set the wall clock forward or back; monotonic time knows nothing of it."""
        self._stepped += by
