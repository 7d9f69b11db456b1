"""A machine that is as busy as a test says."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from drd.ports.clock import Clock
from drd.ports.host import Load

Result = TypeVar("Result")


class FakeHost:
    def __init__(self, clock: Clock) -> None:
        self.busy = 0.0
        self.memory_free = 1.0
        self.free = 2**40
        self.asked = 0
        self.seconds = 0.0
        self.hangs = False
        """Whether file systems do not answer."""
        self._clock = clock

    async def load(self) -> Load:
        self.asked += 1
        await self._clock.sleep(self.seconds)
        return Load(self.busy, self.memory_free)

    async def within(self, seconds: float, work: Callable[[], Result]) -> Result:
        if self.hangs:
            await self._clock.sleep(seconds)
            raise TimeoutError
        return work()

    async def free_bytes(self, path: Path) -> int:
        return self.free
