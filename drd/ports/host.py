"""The machine that drd runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the machine is; shares are 0 to 1."""

    processor_busy: float
    memory_free: float


class Host(Protocol):
    """Questions to this machine."""

    async def load(self) -> Load:
        """Load over about the last second."""
        ...

    async def free_bytes(self, path: Path) -> int:
        """Free space for an unprivileged writer on the file system of `path`."""
        ...

    async def within(self, seconds: float, work: Callable[[], Result]) -> Result:
        """What blocking `work` returns or raises; `TimeoutError` when it has not come back by then.

        It runs in a thread of its own, which cannot be stopped: a call that hangs in the kernel may come back later.
        """
        ...
