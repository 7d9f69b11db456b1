"""Whose turn it is in a store: one queue a repository, ordered by class of work.

restic lets any number of backups, copies and restores share a repository, while check, forget and prune need it alone.
A more urgent class goes first; within a class, the first to come. A restore waits for nobody: a check or a prune that
runs is stopped for it, and done again later. WAL waits for a prune only so long: what that has removed by then is
removed, and the next one goes on from there. Copies leave one place free where there are several: a slow off-site store
must not keep backups from starting. What goes ahead of a round begins where nobody is at work, and stops for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from drd.core.errors import TransientError
from drd.ports.clock import Clock

PATIENCE_SECONDS = 3600.0
"""After this long a waiting job goes before every other, so that a busy repository still gets checked and pruned.

Others are held back for it only while all that runs is younger than this: nobody waits behind a check that waits behind
a first backup of two days.
"""
LOOK_SECONDS = 30.0
"""How often who waits looks again: time alone can make it somebody's turn."""
WAL_PATIENCE_SECONDS = 40.0
"""How long WAL waits for a prune before that is stopped: with the time between two batches it is less than a minute."""


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
    AHEAD = 8
    """Sending packs of a backup that still runs: nobody waits for it, and it waits for everybody."""

    @property
    def is_exclusive(self) -> bool:
        """Whether restic needs the repository alone for it."""
        return JobClass.CHECK <= self <= JobClass.PRUNE

    def gives_way_to(self, other: JobClass, *, has_waited: bool = False) -> bool:
        """Whether it is stopped for another: where somebody wants their data back, nothing is lost by doing it again.

        A prune for WAL that has waited, too; but a check that was stopped each time would never find anything.
        """
        if self is JobClass.AHEAD:
            return other is not JobClass.AHEAD
        if other is JobClass.RESTORE:
            return self in (JobClass.CHECK, JobClass.PRUNE)
        return has_waited and other is JobClass.WAL and self is JobClass.PRUNE


@dataclass(slots=True, eq=False)
class _Running:
    job: JobClass
    since: float
    task: asyncio.Task[object] | None
    stopped_for: JobClass | None = None


@dataclass(slots=True, eq=False)
class _Waiter:
    job: JobClass
    arrived: float
    order: int
    turn: asyncio.Future[_Running]
    task: asyncio.Task[object] | None


@dataclass(slots=True)
class _Queue:
    at_once: int = 1
    running: list[_Running] = field(default_factory=list)
    waiting: list[_Waiter] = field(default_factory=list)


class WorkQueues:
    """Hands out turns. `take` is the only way to work in a repository."""

    def __init__(self, clock: Clock, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._queues: dict[str, _Queue] = {}
        self._order = 0

    @asynccontextmanager
    async def take(
        self, store: str, job: JobClass, at_once: int, on_wait: Callable[[str], None] | None = None
    ) -> AsyncIterator[None]:
        """Wait for a turn in `store`, where at most `at_once` jobs may run together, and give it back at the end.

        `on_wait` is told, now and then, what is waited for. A check or a prune raises `TransientError` when it is
        stopped for a restore.
        """
        queue = self._queues.setdefault(store, _Queue())
        queue.at_once = at_once
        running = await self._turn(store, queue, job, on_wait)
        try:
            with _given_way(running, store):
                yield
        finally:
            queue.running.remove(running)
            self._start_next(queue)

    async def _turn(self, store: str, queue: _Queue, job: JobClass, on_wait: Callable[[str], None] | None) -> _Running:
        self._order += 1
        turn: asyncio.Future[_Running] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(job, self._clock.monotonic(), self._order, turn, asyncio.current_task())
        queue.waiting.append(waiter)
        self._start_next(queue)
        _stop_for(job, queue)
        try:
            while not turn.done():
                if on_wait is not None and queue.running:
                    on_wait(f"waiting for the {queue.running[0].job.name.lower()} in store {store}")
                await asyncio.wait([turn], timeout=self._until_next_look(waiter))
                if job is JobClass.WAL and self._clock.monotonic() - waiter.arrived >= WAL_PATIENCE_SECONDS:
                    _stop_for(job, queue, has_waited=True)
                self._start_next(queue)
        except asyncio.CancelledError:
            if waiter in queue.waiting:
                queue.waiting.remove(waiter)
            if turn.done():  # it came in the same tick as the cancel
                queue.running.remove(turn.result())
            self._start_next(queue)
            raise
        return turn.result()

    @asynccontextmanager
    async def take_all(
        self, stores: dict[str, int], job: JobClass, on_wait: Callable[[str], None] | None = None
    ) -> AsyncIterator[None]:
        """Wait for a turn in several stores (name → at once), always in the order of their names: nobody deadlocks."""
        async with AsyncExitStack() as stack:
            for store in sorted(stores):
                await stack.enter_async_context(self.take(store, job, stores[store], on_wait))
            yield

    def running(self, store: str) -> tuple[JobClass, ...]:
        """What is being done in a store now."""
        queue = self._queues.get(store)
        return tuple(each.job for each in queue.running) if queue else ()

    def _start_next(self, queue: _Queue) -> None:
        """Start whoever may start, in order; nobody passes a job that waits for the repository alone, for a while."""
        now = self._clock.monotonic()
        for waiter in sorted(queue.waiting, key=lambda each: self._rank(each, now)):
            if _may_start(queue, waiter.job):
                queue.waiting.remove(waiter)
                running = _Running(waiter.job, now, waiter.task)
                queue.running.append(running)
                waiter.turn.set_result(running)
            elif waiter.job.is_exclusive and all(now - each.since < self._patience for each in queue.running):
                return

    def _until_next_look(self, waiter: _Waiter) -> float:
        if waiter.job is not JobClass.WAL:
            return LOOK_SECONDS
        left = WAL_PATIENCE_SECONDS - (self._clock.monotonic() - waiter.arrived)
        return min(LOOK_SECONDS, max(left, 0.1)) if left > 0 else LOOK_SECONDS

    def _rank(self, waiter: _Waiter, now: float) -> tuple[bool, bool, int, int]:
        is_patient = now - waiter.arrived < self._patience
        return waiter.job is not JobClass.RESTORE, is_patient, waiter.job if is_patient else 0, waiter.order


def _may_start(queue: _Queue, job: JobClass) -> bool:
    running = [each.job for each in queue.running]
    if job is JobClass.AHEAD:
        return not running and all(waiter.job is job for waiter in queue.waiting)
    if job.is_exclusive:
        return not running
    if any(other.is_exclusive for other in running):
        return False
    if job in (JobClass.RESTORE, JobClass.LIST):
        return True
    if JobClass.AHEAD in running:  # it is being stopped, and what is under way comes to its end
        return False
    if job is JobClass.COPY and running.count(JobClass.COPY) >= max(1, queue.at_once - 1):
        return False
    return sum(other not in (JobClass.RESTORE, JobClass.LIST) for other in running) < queue.at_once


def _stop_for(job: JobClass, queue: _Queue, *, has_waited: bool = False) -> None:
    for running in queue.running:
        if (
            running.job.gives_way_to(job, has_waited=has_waited)
            and running.task is not None
            and running.stopped_for is None
        ):
            running.stopped_for = job
            running.task.cancel()


@contextmanager
def _given_way(running: _Running, store: str) -> Iterator[None]:
    """Turn the cancelling that a restore caused into an error; one that somebody else asked for stays what it is."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        if running.stopped_for is not None and running.task is not None and running.task.uncancel() == 0:
            what = "WAL" if running.stopped_for is JobClass.WAL else "a restore"
            raise TransientError(
                f"the {running.job.name.lower()} of store {store} was stopped for {what}", "it is done again later"
            ) from cancelled
        raise
    else:
        if running.stopped_for is not None and running.task is not None:  # it ended all the same
            running.task.uncancel()
