"""One run of a policy: read its sources once, into the first store that answers, and say honestly what came of it.

A run ends when its recovery point stands in one store. Further stores are filled from there by `copy`, so that a slow
or absent off-site store never holds the next run up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

from drd.core.entropy import Samples
from drd.core.errors import DrdError, RepositoryMissing, StoreAway, TransientError
from drd.core.events import Body, RunFinished, RunStarted, SnapshotCreated
from drd.core.figures import NO_SAMPLES
from drd.core.policy import Mode, Outcome
from drd.core.suspicion import to_release
from drd.core.tags import BESIDE_WAL, HOST, PART_OF, Origin
from drd.core.units import format_duration
from drd.engines.doubting import unless_away
from drd.engines.earlier import to_follow
from drd.engines.outbox import Outbox
from drd.engines.progress import ProgressBoard
from drd.engines.run_result import Request, RunResult, judge, must_hold
from drd.engines.stores import Stores
from drd.engines.suspecting import known_of, look_at
from drd.engines.wal_standing import Stood, WalStanding
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.configuration import Protected, origin_of_wal
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Progress, Repository, Saved, SaveRequest
from drd.ports.source import Prepared, Source, data_part
from drd.ports.world import World


@dataclass(slots=True)
class _Job:
    """One run, as everything in here needs it, and the store that it writes to or tries to."""

    run: str
    protected: Protected
    request: Request
    store: str = ""
    stood: Stood | None = None
    """WAL that takes the place of one of its parts, where the others are saved."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """What is saved, by part."""
        sources = self.protected.sources
        return sources if self.stood is None else {k: v for k, v in sources.items() if k != self.protected.wal_part}

    @property
    def facts(self) -> tuple[str, ...]:
        """What is said of each of its parts."""
        return () if self.stood is None else (f"{BESIDE_WAL}{self.protected.wal_part}",)

    @property
    def is_like_others(self) -> bool:
        """Whether it saves what runs of its mode save: where WAL stands in for a part, one that reads it does not."""
        is_mixed = self.protected.wal_part is not None and len(self.protected.sources) > 1
        return self.request.mode is Mode.FULL or not is_mixed or self.stood is not None


@dataclass(frozen=True, slots=True)
class _Part:
    """What was saved of one source."""

    origin: Origin
    saved: Saved
    note: str
    """What a person should know of it."""
    is_incremental: bool = False
    """Whether its size tells nothing of the source's."""
    accompanying_bytes: int = 0
    """How much of it is none of the source."""

    @property
    def of_source(self) -> Saved:
        """What was saved of the source itself."""
        return replace(self.saved, total_bytes=max(0, self.saved.total_bytes - self.accompanying_bytes))


class Backup:
    """Carries out runs. What is due, and that a policy runs once at a time, is decided elsewhere."""

    def __init__(
        self,
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        board: ProgressBoard,
        daemon: str,
        standing: WalStanding | None = None,
        beside: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`beside` is entered with the store's name while something is saved there."""
        self._standing = standing
        self._beside = beside
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._board = board
        self._daemon = daemon
        self.outbox = Outbox(journal)

    async def run(self, run: str, protected: Protected, request: Request) -> RunResult:
        """Run a policy to its end; a foreseen failure does not raise.

        Every end is journaled, also that of a cancelled run and of one that a bug ended. A run whose beginning cannot
        be journaled does not begin.
        """
        started = self._world.clock.monotonic()
        try:
            await self._journal.append(RunStarted(request.policy, request.mode, request.cause, request.slot), run=run)
        except DrdError as error:
            return RunResult(Outcome.FAILED, error.message, error.hint)
        job = _Job(run, protected, request)
        result = RunResult(Outcome.FAILED, "a mistake in drd ended the run", f"type: drd journal show --run {run}")
        try:
            result = await self._attempt(job)
        except asyncio.CancelledError:
            result = RunResult(Outcome.CANCELLED, "the run was cancelled", f"type: drd backup {request.policy}")
            raise
        finally:
            seconds = self._world.clock.monotonic() - started
            await self.outbox.record(_finished(job, result, seconds), run)
        return result

    async def _attempt(self, job: _Job) -> RunResult:
        seconds = job.protected.policy.backup.deadline.total_seconds()
        deadline = asyncio.timeout(seconds)
        try:
            with self._board.lane(job.run):
                async with deadline:
                    return await self._save_somewhere(job)
        except DrdError as error:
            return RunResult(Outcome.FAILED, error.message, error.hint, detail=error.detail)
        except TimeoutError:
            if not deadline.expired():
                raise
            return RunResult(
                Outcome.FAILED,
                f"the run was stopped at its deadline of {format_duration(job.protected.policy.backup.deadline)}",
                "raise backup: deadline: in the policy, or find out what made it slow",
            )

    async def _save_somewhere(self, job: _Job) -> RunResult:
        """Save into the first store that answers, and stays."""
        previous = await self._catalogue.policy(job.request.policy)
        baseline = previous.last_total_bytes if previous else None
        if job.request.mode is Mode.INCREMENTAL and self._standing and await self._standing.may(job.protected):
            stood = await self._stand(job, self._standing, baseline)
            if len(job.protected.sources) == 1:
                return stood
            job.stood = stood.stood
        away: list[str] = []
        for store in job.protected.policy.backup.to:
            job.store = store
            try:
                repository = await self._stores.open(store, may_make=True)
            except StoreAway as error:
                away.append(error.message)
                continue
            try:
                saving = self._save_all(job, store, repository, baseline)
                return await unless_away(saving, store, self._stores, lambda: self._board.latest(job.run))
            except StoreAway as error:
                await self._stores.went_away(store, error.message)
                away.append(error.message)
            except RepositoryMissing:
                # It stood there when the store was opened first: what is there now is another disk, or none.
                await self._stores.confirm_identity(store, repository)
                raise
        job.store = job.protected.policy.backup.to[0]
        raise StoreAway("no store answers: " + "; ".join(away), "the run is tried again; type: drd status")

    async def _stand(self, job: _Job, standing: WalStanding, baseline: int | None) -> RunResult:
        """The WAL since the last base backup is the incremental; the size of that goes on to be what is compared."""
        job.store = job.protected.policy.backup.to[0]
        patience = asyncio.timeout(job.protected.policy.backup.stall.total_seconds())
        try:
            async with patience:
                stood = await standing.stand(job.protected)
        except TimeoutError:
            if not patience.expired():
                raise
            waited = format_duration(job.protected.policy.backup.stall)
            raise TransientError(f"no store got the WAL up to now within {waited}", "type: drd status") from None
        job.store = origin_of_wal(stood.store)
        message = f"WAL up to {stood.mark.lsn} is in {stood.store}"
        return RunResult(Outcome.SUCCEEDED, message, total_bytes=baseline or 0, stood=stood)

    async def _save_all(self, job: _Job, store: str, repository: Repository, baseline: int | None) -> RunResult:
        sources = job.sources
        saved: dict[str, _Part] = {}
        notes = [] if job.stood is None else [f"WAL up to {job.stood.mark.lsn} is in {origin_of_wal(job.stood.store)}"]
        known = await known_of(self._catalogue, job.request.policy, job.request.mode, store)
        at_once = self._stores.configured(store).limits.at_once
        async with self._queues.take(store, JobClass.BACKUP, at_once, self._board.waiter(job.run)):
            await self._stores.confirm_identity(store, repository)
            with self._beside(store):
                for name, source in sources.items():
                    # Whole seconds, as in the tags: a catalogue that is rebuilt from the store tells the same moment.
                    moment = self._world.clock.now().replace(microsecond=0)
                    origin = Origin(
                        job.request.policy,
                        job.run,
                        name,
                        job.request.mode,
                        Outcome.SUCCEEDED,
                        moment,
                        self._daemon,
                        len(sources) + sum(1 for part in saved if part not in sources),
                    )
                    saved |= await self._save(job, await self._following(job, name, source, store), origin, repository)
                    notes += [saved[name].note] if saved[name].note else []
            amounts = {name: each.of_source for name, each in saved.items()}
            is_whole = not any(each.is_incremental for each in saved.values())
            is_comparable = is_whole and job.stood is None
            compared_with = baseline if is_comparable else None
            result = judge(amounts, compared_with, job.protected.policy.backup.guard.shrink, must_hold(sources))
            if not is_comparable:
                result = replace(result, total_bytes=baseline or result.total_bytes)
            if result.outcome is Outcome.SUCCEEDED and notes:
                result = replace(result, message="; ".join(notes))
            # In one transaction: no crash leaves half a recovery point on record. A bad outcome is marked in the store
            # itself by `reconcile`, because that needs the repository alone and the run must not wait for it.
            # The snapshots stand whatever the journal can take now, so their record is owed like the run's end.
            created: list[Body] = [_created(each, store, result.outcome) for each in saved.values()]
            if is_whole and job.is_like_others:
                figures, suspected = look_at(
                    job.protected.policy, job.request.mode, amounts.values(), known, await self._sampled(job)
                )
                result = replace(result, figures=figures)
                if suspected is not None:
                    created.append(suspected)
                    words = "; ".join(filter(None, (result.message, f"this run is suspected: {suspected.message}")))
                    result = replace(result, message=words, hint=result.hint or to_release(suspected.policy))
            await self.outbox.record_together(created, job.run)
        return result

    async def _sampled(self, job: _Job) -> Samples:
        """What some of the files look like inside, as they were saved a moment ago."""
        return sum([await each.sampled(self._world, job.run) for each in job.sources.values()], NO_SAMPLES)

    async def _following(self, job: _Job, part: str, source: Source, store: str) -> Source:
        """The source as this run reads it: of an incremental it knows what is there already to be followed."""
        if job.request.mode is Mode.FULL:
            return source
        return source.following(await to_follow(self._catalogue, job.request.policy, part, store))

    async def _save(self, job: _Job, source: Source, origin: Origin, repository: Repository) -> dict[str, _Part]:
        """Save a source as the part of its name, and before that its data, where what makes that whole comes last."""
        async with source.opened(self._world) as prepared:
            if prepared.completion is None:
                return {origin.part: await self._save_part(job, prepared, origin, repository)}
            origin = replace(origin, parts=origin.parts + 1)
            data = replace(prepared, facts=(f"{PART_OF}{origin.part}",))
            data_origin = replace(origin, part=data_part(origin.part))
            saved = {data_origin.part: await self._save_part(job, data, data_origin, repository)}
            completion = await prepared.completion()
            return {**saved, origin.part: await self._save_part(job, completion, origin, repository)}

    async def _save_part(self, job: _Job, prepared: Prepared, origin: Origin, repository: Repository) -> _Part:
        plan = job.protected.policy.backup

        def post(progress: Progress) -> None:
            self._board.post(job.run, progress)

        if prepared.moment is not None:
            # Never before what it says: a point is restored for moments at which nothing of it was still to come.
            whole = prepared.moment + timedelta(microseconds=-prepared.moment.microsecond % 1_000_000)
            origin = replace(origin, moment=whole)
        origin = replace(origin, facts=tuple(sorted((*prepared.facts, *job.facts))))
        saved = await repository.save(
            SaveRequest(
                content=prepared.content,
                host=HOST,
                tags=origin.tags(),
                reread_everything=job.request.mode is Mode.FULL,
                deadline=plan.deadline,
                stall=plan.stall,
                io_idle=plan.window.io == "idle",
                processor_share=1.0 if plan.window.cpu is None else plan.window.cpu,
            ),
            post,
        )
        return _Part(origin, saved, prepared.note, prepared.is_incremental, prepared.accompanying_bytes)


def _created(part: _Part, store: str, outcome: Outcome) -> SnapshotCreated:
    origin, saved = part.origin, part.saved
    return SnapshotCreated(
        policy=origin.policy,
        part=origin.part,
        store=store,
        snapshot_id=saved.snapshot_id,
        moment=origin.moment,
        mode=origin.mode,
        outcome=outcome,
        total_bytes=saved.total_bytes,
        total_files=saved.total_files,
        added_bytes=saved.added_bytes,
        seconds=saved.seconds,
        facts=origin.facts,
    )


def _finished(job: _Job, result: RunResult, seconds: float) -> RunFinished:
    return RunFinished(
        policy=job.request.policy,
        mode=job.request.mode,
        outcome=result.outcome,
        message=result.message,
        hint=result.hint,
        seconds=seconds,
        total_bytes=result.total_bytes,
        added_bytes=result.added_bytes,
        store=job.store,
        figures=result.figures,
    )
