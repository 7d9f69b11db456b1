"""The Clock port over the machine's clocks: the only place that reads the time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path


class SystemClock:
    """Wall time, CLOCK_MONOTONIC and the kernel's boot id."""

    @cached_property
    def boot_id(self) -> str:
        """The kernel's random id of this boot; see random(4)."""
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    def now(self) -> datetime:
        """Wall time, aware, UTC. It may step."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never step; on Linux they stand still while the machine sleeps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait at least this many monotonic seconds."""
        await asyncio.sleep(seconds)
