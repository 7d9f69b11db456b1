"""Time, as the engines see it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time outside the pure core."""

    @property
    def boot_id(self) -> str:
        """Identifies this boot of the machine: monotonic times compare only within one."""
        ...

    def now(self) -> datetime:
        """Wall time, aware, UTC. It may step."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step; they may stand still while the machine sleeps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least this many monotonic seconds."""
        ...
