"""The HTTP side of a daemon that answers nobody; it remembers its life."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class FakeApi:
    error: Exception | None = None
    life: list[str] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self) -> None:
        self.life.append("serving")
        await self._stop.wait()
        self.life.append("stopped")

    async def ready(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            self._stop.set()
            raise self.error

    async def stop(self) -> None:
        self._stop.set()
