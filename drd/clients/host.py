"""The Host port over psutil and statvfs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

from drd.clients.blocking import within
from drd.core.errors import PermanentError
from drd.ports.host import Load

SAMPLE_SECONDS = 1.0
CALL_SECONDS = 10

Result = TypeVar("Result")


class MachineHost:
    """This machine, as the kernel counts it."""

    async def load(self) -> Load:
        """The share of all processors' time that was used in the second that this takes, and of memory to be had.

        Memory counts as free when the kernel could hand it out without swapping (`MemAvailable` in proc(5)).
        """
        before = psutil.cpu_times()._asdict()
        await asyncio.sleep(SAMPLE_SECONDS)
        after = psutil.cpu_times()._asdict()
        memory = psutil.virtual_memory()
        return Load(processor_busy=_busy(before, after), memory_free=memory.available / memory.total)

    async def free_bytes(self, path: Path) -> int:
        """Free space on the file system that holds `path`, or its nearest parent that exists.

        Raises `PermanentError` when the path may not be looked at, and when its file system does not answer in time.
        """
        try:
            return await within(CALL_SECONDS, lambda: _free_bytes(path), ("room", path))
        except TimeoutError as error:
            raise PermanentError(f"the file system of {path} does not answer", "dmesg | tail") from error
        except OSError as error:
            raise PermanentError(f"free space of {path}: {error.strerror}", f"df -h {path}") from error

    async def within(self, seconds: float, work: Callable[[], Result]) -> Result:
        """What blocking `work` returns or raises; `TimeoutError` when it has not come back by then."""
        return await within(seconds, work)


def _busy(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    # `guest` is counted in `user` already, and a waiting disk leaves the processor free.
    spent = {name: after[name] - before[name] for name in after if not name.startswith("guest")}
    total = sum(spent.values())
    return min(1.0, max(0.0, 1.0 - (spent["idle"] + spent["iowait"]) / total)) if total > 0 else 0.0


def _free_bytes(path: Path) -> int:
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    return psutil.disk_usage(str(nearest)).free
