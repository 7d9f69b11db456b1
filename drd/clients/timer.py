"""The Timer port over APScheduler 3: one date trigger a key.

APScheduler never decides what is due: its cron is not cron, and it drops what comes too late. It only wakes, and it is
told to wake however late it is. Stopping cancels its coroutines, which is harmless, since waking is all that they do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger


class SchedulerTimer:
    """Wake-ups on the running event loop."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def arm(self, key: str, moment: datetime, wake: Callable[[str], None]) -> None:
        """Call `wake(key)` at about `moment`; replaces the key's earlier wake-up. `moment` must be aware."""
        if moment.tzinfo is None:
            raise ValueError("a wake-up needs an aware moment")
        # Without a zone it would look for the machine's, which a minimal machine does not have.
        trigger = DateTrigger(moment.astimezone(UTC), timezone=UTC)
        self._scheduler.add_job(_wake, trigger, args=(wake, key), id=key, replace_existing=True)

    def disarm(self, key: str) -> None:
        """Forget the key's wake-up, if there is one."""
        try:
            self._scheduler.remove_job(key)
        except JobLookupError:
            return  # it has fired, or was never armed

    def start(self) -> None:
        """Begin to wake; only inside a running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Never wake again."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


async def _wake(wake: Callable[[str], None], key: str) -> None:
    # A coroutine runs on the loop; a plain function would be sent to a thread.
    wake(key)
