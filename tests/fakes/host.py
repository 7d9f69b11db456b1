"""A machine that is as busy as a test says."""

from pathlib import Path

from drd.ports.clock import Clock
from drd.ports.host import Load


class FakeHost:
    def __init__(self, clock: Clock) -> None:
        self.busy = 0.0
        self.memory_free = 1.0
        self.free = 2**40
        self.asked = 0
        self.seconds = 0.0
        self._clock = clock

    async def load(self) -> Load:
        self.asked += 1
        await self._clock.sleep(self.seconds)
        return Load(self.busy, self.memory_free)

    async def free_bytes(self, path: Path) -> int:
        return self.free
