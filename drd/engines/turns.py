"""Whose turn it is in a store: one queue a repository, ordered by class of work.

restic lets any number of backups, copies and restores share a repository, while check, forget and prune need it alone.
A more urgent class goes first; within a class, the first to come. A restore waits for nobody but exclusive work that
runs. Copies leave one place free where there are several: a slow off-site store must not keep backups from starting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from drd.ports.clock import Clock

PATIENCE_SECONDS = 3600.0
"""After this long a waiting job goes before every other, so that a busy repository still gets checked and pruned."""


class JobClass(IntEnum):
    """Classes of work, the most urgent first."""

    RESTORE = 0
    WAL = 1
    BACKUP = 2
    COPY = 3
    LIST = 4
    """Reading what the repository lists, or a few bytes: short, and never held up by the limit of jobs at once."""
    CHECK = 5
    FORGET = 6
    PRUNE = 7

    @property
    def is_exclusive(self) -> bool:
        """Whether restic needs the repository alone for it."""
        return self >= JobClass.CHECK


@dataclass(slots=True)
class _Waiter:
    job: JobClass
    arrived: float
    order: int
    turn: asyncio.Future[None]


@dataclass(slots=True)
class _Queue:
    at_once: int = 1
    running: list[JobClass] = field(default_factory=list)
    waiting: list[_Waiter] = field(default_factory=list)


class Turns:
    """Hands out turns. `take` is the only way to work in a repository."""

    def __init__(self, clock: Clock, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._queues: dict[str, _Queue] = {}
        self._order = 0

    @asynccontextmanager
    async def take(self, store: str, job: JobClass, at_once: int) -> AsyncIterator[None]:
        """Wait for a turn in `store`, where at most `at_once` jobs may run together, and give it back at the end."""
        queue = self._queues.setdefault(store, _Queue())
        queue.at_once = at_once
        self._order += 1
        waiter = _Waiter(job, self._clock.monotonic(), self._order, asyncio.get_running_loop().create_future())
        queue.waiting.append(waiter)
        self._start_next(queue)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in queue.waiting:
                queue.waiting.remove(waiter)
            if waiter.turn.done() and not waiter.turn.cancelled():  # the turn came in the same tick as the cancel
                queue.running.remove(job)
            self._start_next(queue)
            raise
        try:
            yield
        finally:
            queue.running.remove(job)
            self._start_next(queue)

    @asynccontextmanager
    async def take_all(self, stores: dict[str, int], job: JobClass) -> AsyncIterator[None]:
        """Wait for a turn in several stores (name → at once), always in the order of their names: nobody deadlocks."""
        async with AsyncExitStack() as stack:
            for store in sorted(stores):
                await stack.enter_async_context(self.take(store, job, stores[store]))
            yield

    def running(self, store: str) -> tuple[JobClass, ...]:
        """What is being done in a store now."""
        queue = self._queues.get(store)
        return tuple(queue.running) if queue else ()

    def _start_next(self, queue: _Queue) -> None:
        """Start whoever may start, in order; nobody passes a job that waits for the repository alone."""
        now = self._clock.monotonic()
        for waiter in sorted(queue.waiting, key=lambda each: self._rank(each, now)):
            if waiter.turn.cancelled():
                queue.waiting.remove(waiter)
            elif _may_start(queue.running, waiter.job, queue.at_once):
                queue.waiting.remove(waiter)
                queue.running.append(waiter.job)
                waiter.turn.set_result(None)
            elif waiter.job.is_exclusive:
                return

    def _rank(self, waiter: _Waiter, now: float) -> tuple[bool, bool, int, int]:
        is_patient = now - waiter.arrived < self._patience
        return waiter.job is not JobClass.RESTORE, is_patient, waiter.job if is_patient else 0, waiter.order


def _may_start(running: list[JobClass], job: JobClass, at_once: int) -> bool:
    if job.is_exclusive:
        return not running
    if any(other.is_exclusive for other in running):
        return False
    if job in (JobClass.RESTORE, JobClass.LIST):
        return True
    if job is JobClass.COPY and running.count(JobClass.COPY) >= max(1, at_once - 1):
        return False
    return sum(other not in (JobClass.RESTORE, JobClass.LIST) for other in running) < at_once
