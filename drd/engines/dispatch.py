"""Starting runs: one a policy at a time, each in a task that the daemon owns."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from drd.core.catalogue import RunRecord
from drd.core.errors import PermanentError
from drd.core.events import BugFound, RunFinished
from drd.core.points import RecoveryPoint
from drd.core.policy import Cause, Mode, Outcome
from drd.core.ulid import RANDOM_BYTES, ulid
from drd.engines.backup import Backup
from drd.engines.run_result import Request, RunResult
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue, Journal

BUGS_UNTIL_QUARANTINE = 3
"""So many bugs of the same unit in a row, and it is not started by itself any more until the next start."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A run that is under way."""

    run: str
    request: Request
    task: asyncio.Task[RunResult]


class RunWatcher(Protocol):
    """Whoever has to know at once that a run began or ended."""

    def run_started(self, request: Request, at: datetime) -> None:
        """A run was started."""
        ...

    def run_ended(self, request: Request, result: RunResult, at: datetime) -> None:
        """A run ended, and its end is in the journal."""
        ...


class Dispatch:
    """Owns the running runs. Requests are only submitted to it; it never decides what is due."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        backup: Backup,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
        watcher: RunWatcher,
    ) -> None:
        self._configuration = configuration
        self._backup = backup
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._watcher = watcher
        self._running: dict[str, Ticket] = {}
        self._bugs: dict[str, int] = {}
        self._is_draining = False

    def submit(self, request: Request) -> Ticket | None:
        """Start a run, or return the one of this policy that is under way; None while the daemon is leaving."""
        if request.policy in self._running:
            return self._running[request.policy]
        if self._is_draining:
            return None
        protected = self._configuration().policies.get(request.policy)
        if protected is None:
            raise PermanentError(f"there is no policy {request.policy}", "type: drd status")
        run = self.new_id()
        self._watcher.run_started(request, self._clock.now())
        task = asyncio.create_task(self._run(run, protected, request), name=f"run {request.policy}")
        ticket = Ticket(run, request, task)
        self._running[request.policy] = ticket
        return ticket

    async def save_again(self, policy: str) -> RunResult | None:
        """Run a full that begins after this moment, and tell how it ended; None while the daemon is leaving."""
        request = Request(policy, Mode.FULL, Cause.HEALTH)
        while (ticket := self.submit(request)) is not None:
            await asyncio.wait({ticket.task})
            if ticket.request is request:
                return None if ticket.task.cancelled() else ticket.task.result()
        return None

    def is_running(self, policy: str) -> bool:
        """Whether a policy runs now."""
        return policy in self._running

    def is_quarantined(self, policy: str) -> bool:
        """Whether bugs keep a policy from being started by itself."""
        return self._bugs.get(policy, 0) >= BUGS_UNTIL_QUARANTINE

    def quarantined(self) -> frozenset[str]:
        """Every policy that bugs keep from being started by itself."""
        return frozenset(filter(self.is_quarantined, self._bugs))

    def running(self) -> tuple[Ticket, ...]:
        """All runs that are under way."""
        return tuple(self._running.values())

    def new_id(self) -> str:
        """An identifier for a run."""
        return ulid(self._clock.now(), os.urandom(RANDOM_BYTES))

    async def drain(self, grace_seconds: float) -> None:
        """Start nothing more; give runs under way the grace, then cancel them and wait until their end is journaled."""
        self._is_draining = True
        tasks = [ticket.task for ticket in self._running.values()]
        if not tasks:
            return
        if grace_seconds > 0:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def end_interrupted_runs(self) -> tuple[RunRecord, ...]:
        """Journal the end of runs that an earlier daemon did not live to record.

        A run whose recovery point is on record ended well, whatever happened to its daemon afterwards and whatever the
        policy says by now: all parts of a point are journaled in one transaction.
        """
        interrupted = await self._catalogue.unfinished()
        for record in interrupted:
            points = {point.run: point for point in await self._catalogue.points(record.policy)}
            await self._journal.append(_end_of(record, points.get(record.run)), run=record.run)
        return interrupted

    async def _run(self, run: str, protected: Protected, request: Request) -> RunResult:
        result = RunResult(Outcome.CANCELLED)
        try:
            result = await self._backup.run(run, protected, request)
            self._bugs.pop(request.policy, None)
        except Exception as bug:  # noqa: BLE001 - the one broad handler: a bug in a run fails that run, not the daemon
            result = await self._bug(run, request, bug)
        finally:
            del self._running[request.policy]
            self._watcher.run_ended(request, result, self._clock.now())
        return result

    async def _bug(self, run: str, request: Request, bug: Exception) -> RunResult:
        count = self._bugs[request.policy] = self._bugs.get(request.policy, 0) + 1
        text = "".join(traceback.format_exception(bug, limit=-12))
        quarantined = count >= BUGS_UNTIL_QUARANTINE
        found = BugFound(f"run of {request.policy}", type(bug).__name__, text, quarantined)
        await self._backup.outbox.record(found, run)
        return RunResult(
            Outcome.FAILED,
            f"a mistake in drd ended the run: {type(bug).__name__}",
            f"type: drd journal show --run {run}",
        )


def _end_of(record: RunRecord, point: RecoveryPoint | None) -> RunFinished:
    """How a run ended that its daemon did not survive; `point` is what it left on record."""
    return RunFinished(
        policy=record.policy,
        mode=record.mode,
        outcome=point.outcome if point is not None else Outcome.CANCELLED,
        message="" if point is not None else "the daemon ended in the middle of the run",
        hint="" if point is not None else "nothing to do: the next run makes up for it",
        seconds=0.0,
        total_bytes=point.total_bytes if point is not None else 0,
        added_bytes=0,
    )
