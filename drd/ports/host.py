"""The machine that drd runs on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
