"""Following work to its end for whoever waits for it: what it says on its way, and what came of it.

The work is the engines'. It goes on when nobody watches any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

from drd.core.errors import DrdError
from drd.core.events import Event
from drd.core.points import RecoveryPoint
from drd.core.policy import Cause, Mode, Outcome
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.units import format_duration, format_size
from drd.daemon.following_wal import follow_wal
from drd.daemon.house import House
from drd.daemon.restore_texts import as_of, damage_met, landed_text, parts_of
from drd.engines.restore_request import BESIDE, Landed, Plan, RestoreRequest
from drd.engines.run_result import Request, RunResult
from drd.ports.configuration import Protected
from drd.ports.repository import Progress
from drd.ports.steps import Step

COPY_PATIENCE_SECONDS = 24 * 3600.0
"""How long `drd backup` follows the filling of further stores before it leaves them to the daemon."""
LOOK_SECONDS = 2.0
"""How often it looks whether they are filled, when no fact has told it to."""

Result = TypeVar("Result")


class Following:
    """Starts a backup or a restore, and tells its steps."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def backup(self, protected: Protected, full: bool) -> AsyncGenerator[Step, None]:
        """Run a policy now, or join the run that is under way, and follow it into every store."""
        policy = protected.policy.name
        facts: asyncio.Queue[Event] = asyncio.Queue()
        mode = Mode.FULL if full or protected.policy.backup.incremental is None else Mode.INCREMENTAL
        record = await self._house.catalogue.policy(policy)
        if record is None or Mode.FULL not in record.last_success_start or record.new_base is not None:
            mode = Mode.FULL
        stop_observing = self._house.journal.observe(facts.put_nowait)
        try:
            async for step in self._run_and_follow(policy, mode, protected, facts):
                yield step
        finally:
            stop_observing()

    async def restore(self, request: RestoreRequest) -> AsyncGenerator[Step, None]:
        """Bring a policy's data back and follow that to its end."""
        house = self._house
        run = house.dispatch.new_id()
        plans: list[Plan] = []
        async for step in self.wait_told(run, lambda _: house.restore.plan(run, request), plans):
            yield step
        [plan] = plans
        yield Step(
            kind="started",
            run=run,
            text=f"restore of {request.policy} as of {as_of(plan.point, plan.recovery, house.in_force().zone)}",
            total_bytes=0 if request.include else plan.point.total_bytes,
        )
        told: deque[str] = deque()
        stop_observing = house.journal.observe(lambda event: told.extend(damage_met(event, run)))
        try:
            task = house.restore.start(run, request, plan)
            async for step in self._follow(run, task, run):
                yield step
                while told:
                    yield Step(kind="fact", run=run, text=told.popleft())
            while told:
                yield Step(kind="fact", run=run, text=told.popleft())
        finally:
            stop_observing()
        if task.cancelled():
            yield Step(
                kind="finished",
                run=run,
                outcome=Outcome.CANCELLED,
                message="the restore was cancelled",
                hint="start it again",
                exit_code=1,
            )
            return
        try:
            landed = task.result()
        except DrdError as error:
            yield Step(
                kind="finished",
                run=run,
                outcome=Outcome.FAILED,
                message=error.message,
                hint=error.hint,
                exit_code=error.exit_code,
            )
            return
        yield self._landed(run, request, plan, landed)

    async def wait_told(
        self, lane: str, work: Callable[[Callable[[str], None]], Coroutine[Any, Any, Result]], results: list[Result]
    ) -> AsyncGenerator[Step, None]:
        """Tell what `work` waits for until it is done, and put its result into `results`; who leaves ends it.

        Raises what it raises.
        """
        board = self._house.board
        with board.lane(lane):
            task = asyncio.ensure_future(work(board.waiter(lane)))
            try:
                async for step in self._follow("", task, lane):
                    yield step
                results.append(task.result())
            finally:
                task.cancel()

    async def _run_and_follow(
        self, policy: str, mode: Mode, protected: Protected, facts: asyncio.Queue[Event]
    ) -> AsyncIterator[Step]:
        ticket = self._house.dispatch.submit(Request(policy, mode, Cause.MANUAL))
        while ticket is not None and mode is Mode.FULL and ticket.request.mode is not Mode.FULL:
            yield Step(kind="fact", text="an incremental run is under way; the full starts after it")
            await asyncio.wait({ticket.task})
            ticket = self._house.dispatch.submit(Request(policy, mode, Cause.MANUAL))
        if ticket is None:
            yield Step(kind="finished", outcome=Outcome.SKIPPED, message="drd is leaving", exit_code=75)
            return
        run = ticket.run
        yield Step(kind="started", run=run, text=f"{ticket.request.mode} backup of {policy}")
        async for step in self._follow(run, ticket.task, run):
            yield step
        result = ticket.task.result() if not ticket.task.cancelled() else None
        if result is None or result.outcome is not Outcome.SUCCEEDED:
            yield Step(
                kind="finished",
                run=run,
                outcome=result.outcome if result else Outcome.CANCELLED,
                message=result.whole_message if result else "the run was cancelled",
                hint=result.hint if result else "",
                exit_code=1,
            )
            return
        if result.stood is not None:
            async for step in follow_wal(self._house, run, protected, result.stood):
                yield step
            return
        async for step in self._follow_copies(run, policy, result, protected, facts):
            yield step

    async def _follow(self, run: str, task: asyncio.Task[object], lane: str) -> AsyncIterator[Step]:
        """Progress of a task until it is done. The task is not ours to cancel: it goes on when nobody watches."""
        samples = self._house.board.follow(lane)
        following: asyncio.Task[Progress] | None = None
        try:
            while not task.done():
                following = following or asyncio.ensure_future(anext(samples))
                await asyncio.wait({task, following}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
                if following.done():
                    yield _progress(run, following.result())
                    following = None
        finally:
            if following is not None:
                following.cancel()

    async def _follow_copies(
        self, run: str, policy: str, result: RunResult, protected: Protected, facts: asyncio.Queue[Event]
    ) -> AsyncIterator[Step]:
        """Tell when each store has its copy, until all have or are known to get theirs later.

        The catalogue decides, and a fact only shortens the wait: the copy may have been made before anybody looked.
        """
        waiting = dict.fromkeys(protected.policy.backup.to)
        late: dict[str, str] = {}
        deadline = self._house.clock.monotonic() + COPY_PATIENCE_SECONDS
        while True:
            point = next((each for each in await self._house.catalogue.points(policy) if each.run == run), None)
            for store in tuple(waiting):
                copies = point.copies_in(store) if point is not None else ()
                why = self._why_late(store, point)
                if copies:
                    del waiting[store]
                    for copy in copies:
                        yield Step(kind="fact", run=run, text=f"snapshot {copy.snapshot_id[:8]} in {store}")
                elif why is not None:
                    del waiting[store]
                    late[store] = why
            if not waiting:
                break
            if self._house.clock.monotonic() >= deadline:
                late.update(dict.fromkeys(waiting, "it takes longer than anybody waits for"))
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await facts.get()
        yield Step(
            kind="finished",
            run=run,
            outcome=Outcome.SUCCEEDED,
            text=f"saved, {format_size(result.added_bytes)} new" + (f"; {result.message}" if result.message else ""),
            message="; ".join(f"store {store} gets its copy later: {why}" for store, why in sorted(late.items())),
            exit_code=3 if late else 0,
            result={"late": sorted(late), "added_bytes": result.added_bytes},
        )

    def _why_late(self, store: str, point: RecoveryPoint | None) -> str | None:
        """Why a store will not have its copy of a point soon, or None while it is being made."""
        house = self._house
        if point is None:
            return "the point is gone"
        if not house.stores.is_configured(store):
            return "the configuration does not name the store any more"
        if not house.copy.is_served(store):
            return "nobody fills it in this process; the daemon does"
        return house.stores.why_away(store) or house.copy.why_late(store)

    def _landed(self, run: str, request: RestoreRequest, plan: Plan, landed: Landed) -> Step:
        """The end of a restore that brought everything back, which may be late or not what a person expected."""
        messages, code, zone = [], 0, self._house.in_force().zone
        promised = self._full_restore(request)
        if promised is not None and landed.seconds > promised.total_seconds():
            messages.append(f"it took longer than objectives: full_restore: {format_duration(promised)}")
            code = 3
        if landed.failed:
            count = f"{len(landed.failed)} of {len(landed.checks)} checks failed"
            messages.append(f"{count}; what was brought back is at {request.target} all the same")
            code = 1
        return Step(
            kind="finished",
            run=run,
            outcome=Outcome.FAILED if landed.failed else Outcome.SUCCEEDED,
            text=landed_text(
                landed, request.target == BESIDE, self._lacks_wal(request, plan.recovery), zone, parts_of(plan, zone)
            ),
            hint="\n".join(landed.following),
            exit_code=code,
            message="; ".join(messages),
            result={
                "places": list(landed.places),
                "store": landed.store,
                "moment": landed.point.moment.isoformat(),
                "parts": {part: landed.point.moment_of(part).isoformat() for part in sorted(landed.point.parts)},
                "heartbeat": None if landed.heartbeat is None else landed.heartbeat.isoformat(),
                "files": landed.files,
                "bytes": landed.bytes,
                "seconds": round(landed.seconds, 3),
                "notes": list(landed.notes),
                "checks": [asdict(check) for check in landed.checks],
                "next": list(landed.following),
            },
        )

    def _lacks_wal(self, request: RestoreRequest, recovery: RecoveryPlan | None) -> bool:
        """Whether a policy whose WAL is received came back without any, although nobody wanted that."""
        protected = self._house.in_force().policies.get(request.policy)
        is_kept = protected is not None and bool(protected.wal_stores)
        return is_kept and recovery is None and not request.include and not request.is_without_wal

    def _full_restore(self, request: RestoreRequest) -> timedelta | None:
        """How long bringing everything back may take; of a part, and of a policy that was removed, nothing is said."""
        protected = self._house.in_force().policies.get(request.policy)
        return protected.policy.objectives.full_restore if protected is not None and not request.include else None


def _progress(run: str, sample: Progress) -> Step:
    return Step(
        kind="progress",
        run=run,
        phase=sample.phase,
        done_bytes=sample.done_bytes,
        total_bytes=sample.total_bytes,
        done_files=sample.done_files,
        total_files=sample.total_files,
    )
