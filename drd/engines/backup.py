"""One run of a policy: read its sources once, into the first store that answers, and say honestly what came of it.

A run ends when its recovery point stands in one store. Further stores are filled from there by `copy`, so that a slow or
absent off-site store never holds the next run up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from drd.core.errors import DrdError, PermanentError, StoreAway
from drd.core.events import RunFinished, RunStarted, SnapshotCreated
from drd.core.policy import Cause, Mode, Outcome
from drd.core.tags import Origin, outcome_tag
from drd.core.units import format_size
from drd.engines.progress import ProgressBoard
from drd.engines.stores import Stores
from drd.engines.turns import JobClass, Turns
from drd.ports.configuration import Protected
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Progress, Repository, Saved, SaveOutcome, SaveRequest
from drd.ports.source import Source
from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class Request:
    """A wish that a policy be run."""

    policy: str
    mode: Mode
    cause: Cause
    slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run; `message` and `hint` are for people."""

    outcome: Outcome
    message: str = ""
    hint: str = ""
    total_bytes: int = 0
    added_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    source: Source
    tags: Origin


class Backup:
    """Carries out runs. What is due, and that a policy runs once at a time, is decided elsewhere."""

    def __init__(
        self,
        stores: Stores,
        turns: Turns,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        board: ProgressBoard,
        daemon: str,
    ) -> None:
        self._stores = stores
        self._turns = turns
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._board = board
        self._daemon = daemon

    async def run(self, run: str, protected: Protected, request: Request) -> RunResult:
        """Run a policy to its end. Every end is journaled, also that of a cancelled run; a foreseen failure does not raise."""
        started = self._world.clock.monotonic()
        await self._journal.append(RunStarted(request.policy, request.mode, request.cause, request.slot), run=run)
        result = RunResult(Outcome.CANCELLED, "the run was cancelled", f"type: drd backup {request.policy}")
        try:
            with self._board.lane(run):
                async with asyncio.timeout(protected.policy.backup.deadline.total_seconds()):
                    result = await self._save_all(run, protected, request)
        except DrdError as error:
            result = RunResult(Outcome.FAILED, error.message, error.hint)
        except TimeoutError:
            result = RunResult(
                Outcome.FAILED,
                f"the run was stopped at its deadline of {protected.policy.backup.deadline}",
                "raise backup: deadline: in the policy, or find out what made it slow",
            )
        finally:
            seconds = self._world.clock.monotonic() - started
            await asyncio.shield(self._finish(run, request, result, seconds))
        return result

    async def _finish(self, run: str, request: Request, result: RunResult, seconds: float) -> None:
        await self._journal.append(
            RunFinished(
                policy=request.policy,
                mode=request.mode,
                outcome=result.outcome,
                message=result.message,
                hint=result.hint,
                seconds=seconds,
                total_bytes=result.total_bytes,
                added_bytes=result.added_bytes,
            ),
            run=run,
        )

    async def _save_all(self, run: str, protected: Protected, request: Request) -> RunResult:
        previous = await self._catalogue.policy(request.policy)
        baseline = previous.last_total_bytes if previous else None
        moment = self._world.clock.now()
        parts = tuple(
            _Part(
                name, source, Origin(request.policy, run, name, request.mode, Outcome.SUCCEEDED, moment, self._daemon)
            )
            for name, source in protected.sources.items()
        )
        store, repository = await self._first_that_answers(protected)
        saved: dict[str, Saved] = {}
        at_once = self._stores.configured(store).limits.at_once
        async with self._turns.take(store, JobClass.BACKUP, at_once):
            for part in parts:
                saved[part.name] = await self._save(run, protected, request, part, store, repository)
        result = judge(saved, baseline, protected.policy.backup.guard.shrink)
        for part in parts:
            await self._record(run, request, part, store, repository, saved[part.name], result)
        return result

    async def _first_that_answers(self, protected: Protected) -> tuple[str, Repository]:
        away: list[str] = []
        for name in protected.policy.backup.to:
            try:
                return name, await self._stores.open(name)
            except StoreAway as error:
                away.append(error.message)
        raise StoreAway("no store answers: " + "; ".join(away), "the run is tried again; type: drd status")

    async def _save(
        self, run: str, protected: Protected, request: Request, part: _Part, store: str, repository: Repository
    ) -> Saved:
        plan = protected.policy.backup

        def post(progress: Progress) -> None:
            self._board.post(run, progress)

        async with part.source.opened(self._world) as prepared:
            try:
                return await repository.save(
                    SaveRequest(
                        content=prepared.content,
                        host="drd",
                        tags=part.tags.tags(),
                        reread_everything=request.mode is Mode.FULL,
                        deadline=plan.deadline,
                        stall=plan.stall,
                        io_idle=plan.window.io == "idle",
                        processor_share=plan.window.cpu or 1.0,
                    ),
                    post,
                )
            except StoreAway as error:
                await self._stores.went_away(store, error.message)
                raise

    async def _record(
        self,
        run: str,
        request: Request,
        part: _Part,
        store: str,
        repository: Repository,
        saved: Saved,
        result: RunResult,
    ) -> None:
        snapshot_id = saved.snapshot_id
        if result.outcome is not Outcome.SUCCEEDED:
            # The store must say so by itself: a catalogue that is rebuilt from it may never take this for a good point.
            snapshot_id = await repository.mark(snapshot_id, outcome_tag(result.outcome))
        await self._journal.append(
            SnapshotCreated(
                policy=request.policy,
                part=part.name,
                store=store,
                snapshot_id=snapshot_id,
                moment=part.tags.moment,
                mode=request.mode,
                outcome=result.outcome,
                total_bytes=saved.total_bytes,
                total_files=saved.total_files,
                added_bytes=saved.added_bytes,
                seconds=saved.seconds,
            ),
            run=run,
        )


def judge(saved: Mapping[str, Saved], baseline: int | None, shrink: float) -> RunResult:
    """What a run amounts to: incomplete when anything could not be read, failed when it shrank beyond its guard.

    `baseline` is the size of the last good run in bytes, `shrink` the share (0 to 1) by which this one may be smaller.
    """
    total = sum(each.total_bytes for each in saved.values())
    added = sum(each.added_bytes for each in saved.values())
    if baseline and total < baseline * (1 - shrink):
        return RunResult(
            Outcome.FAILED,
            f"the source has shrunk from {format_size(baseline)} to {format_size(total)}, more than guard: shrink: allows",
            "look at the source; if this is right, raise backup: guard: shrink: for one run",
            total,
            added,
        )
    unreadable = sum(each.unreadable for each in saved.values())
    if any(each.outcome is SaveOutcome.INCOMPLETE for each in saved.values()):
        return RunResult(
            Outcome.INCOMPLETE,
            f"{unreadable or 'some'} items of the source could not be read",
            "let drd's user read them, or name them under exclude:",
            total,
            added,
        )
    if not saved:
        raise PermanentError("the policy has no source", "add backup: source: to the policy")
    return RunResult(Outcome.SUCCEEDED, total_bytes=total, added_bytes=added)
