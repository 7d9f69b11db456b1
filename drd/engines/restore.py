"""Bringing data back: whole or a path, to an empty place or beside the source, verified as it lands.

A restore takes its final name only when every file was read back and compared: see `drd.engines.landing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from drd.core.catalogue import RestoreRecord, damaged_stores
from drd.core.errors import (
    DrdError,
    PermanentError,
    RepositoryDamaged,
    RepositoryMissing,
    StoreAway,
    UsageError,
)
from drd.core.events import DamageFound, HoldPlaced, RestoreFinished, RestoreStarted, StoreChecked
from drd.core.events.healing import BY_RESTORE
from drd.core.points import RecoveryPoint, newest_good
from drd.core.policy import Outcome
from drd.core.postgres.groups import marks_of
from drd.core.postgres.increments import with_whole_chains
from drd.core.recovery_sets import set_for
from drd.engines.bringing import Bringing, IsOver
from drd.engines.doubting import unless_away
from drd.engines.earlier import chains_of
from drd.engines.landing import mark_of
from drd.engines.naming import Naming
from drd.engines.outbox import Outbox
from drd.engines.point_in_time import PointInTime
from drd.engines.progress import ProgressBoard
from drd.engines.restore_request import Landed, Plan, RestoreRequest
from drd.engines.stores import Stores
from drd.engines.wal_fetching import WalFetching
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.cancelling import to_the_end
from drd.ports.configuration import Configuration
from drd.ports.host import Host
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Repository
from drd.ports.source import Source
from drd.ports.world import World


class Restore:
    """Carries out restores."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        host: Host,
        board: ProgressBoard,
        kinds: Mapping[str, type[Source]] | None = None,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._queues = queues
        self._catalogue = catalogue
        self._world = world
        self._bringing = Bringing(host, board, world, kinds or {})
        fetching = WalFetching(stores, queues, host, board, self._note_damage)
        self._point_in_time = PointInTime(stores, catalogue, fetching, Naming(fetching, host, world.staging))
        self._board = board
        self._under_way: set[asyncio.Task[Landed]] = set()
        self._at_work: set[str] = set()
        """Runs of restores that are under way in this process."""
        self.outbox = Outbox(journal)

    def start(self, run: str, request: RestoreRequest, plan: Plan | None = None) -> asyncio.Task[Landed]:
        """Begin a restore in a task that this engine owns: whoever asked may go away."""
        task = asyncio.create_task(self.restore(run, request, plan), name=f"restore {request.policy}")
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Landed]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its end is journaled; asyncio need not complain when nobody waited for it

    async def finished(self, patience_seconds: float) -> None:
        """Return when no restore is under way any more, or the patience is over."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_seconds)

    async def cancel(self) -> None:
        """Stop every restore and wait until its end is journaled and what it wrote is gone."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def choose(self, request: RestoreRequest) -> RecoveryPoint:
        """The point that is meant: the newest good one not after the moment. Raises `UsageError` with the range."""
        if request.store is not None:
            self._stores.configured(request.store)
        points = with_whole_chains(await self._catalogue.points(request.policy))
        if not request.include:
            points = tuple(point for point in points if not point.reached_by_wal)
        point = newest_good(points, request.at, request.store)
        if point is not None:
            return point
        oldest = min((each.moment for each in points if each.is_good), default=None)
        if oldest is None:
            raise UsageError(
                f"there is no good recovery point of {request.policy}", f"type: drd points {request.policy}"
            )
        where = f" in store {request.store}" if request.store else ""
        local = oldest.astimezone(request.at.tzinfo if request.at else None).isoformat(sep=" ", timespec="seconds")
        raise UsageError(
            f"no recovery point of {request.policy}{where} is as old as that; the oldest good one is from {local}",
            f"type: drd points {request.policy}",
        )

    async def plan(self, run: str, request: RestoreRequest) -> Plan:
        """The point to begin from, and how a moment behind it is reached where write-ahead log is kept.

        Raises `UsageError` and `NotCovered` with what there is.
        """
        recovery = await self._point_in_time.plan(run, request)
        points = with_whole_chains(await self._catalogue.points(request.policy))
        if recovery is None:
            point = await self.choose(request)
            return Plan(run, request, point, None, chains_of(point, points), sources=self._sources(request.policy))
        base = next(point for point in points if point.run == recovery.choice.base.run)
        marks = marks_of(await self._catalogue.wal(request.policy))
        found = set_for(base, points, recovery, marks, request.store)
        chains, sources = chains_of(found.point, points), self._sources(request.policy)
        return Plan(run, request, found.point, recovery, chains, found.others, sources)

    def _sources(self, policy: str) -> Mapping[str, Source]:
        protected = self._configuration().policies.get(policy)
        return {} if protected is None else protected.sources

    async def restore(self, run: str, request: RestoreRequest, plan: Plan | None = None) -> Landed:
        """Restore and verify; every end is journaled. Raises a `DrdError` when nothing was brought back.

        A full state disk keeps nobody from their data: what cannot be journaled now is journaled later. A store that
        goes away in the middle, or turns out to be damaged, gives way to the next one that holds the point.
        """
        self._at_work.add(run)
        try:
            return await self._from_the_nearest(plan or await self.plan(run, request))
        finally:
            self._at_work.discard(run)

    async def end_interrupted(self) -> tuple[RestoreRecord, ...]:
        """Journal the end of restores that an earlier process did not live to record, and return them."""
        interrupted = tuple(record for record in await self._catalogue.restores() if record.outcome is None)
        for record in interrupted:
            finished = RestoreFinished(
                record.policy,
                record.point_run,
                record.store,
                Outcome.CANCELLED,
                "drd ended in the middle of the restore",
                f"type: drd restore {record.policy} --to PLACE; what was left at the same place is taken away first",
                seconds=0.0,
                bytes=0,
                files=0,
                whole=False,
                snapshot_id=record.snapshot_id,
            )
            await self.outbox.record(finished, record.run)
        return interrupted

    async def _from_the_nearest(self, plan: Plan) -> Landed:
        await self._bringing.look_at_target(plan, await self._knows_as_over())
        refused: list[DrdError] = []
        for store in await self._best_first(plan.point, plan.request.store):
            try:
                repository = await self._stores.open(store)
                landed = await self._attempt(plan, store, repository)
                return replace(landed, notes=(*landed.notes, *(error.message for error in refused)))
            except (StoreAway, RepositoryDamaged, RepositoryMissing) as error:
                refused.append(error)
                if not await self._stores.is_away(store) and isinstance(error, RepositoryDamaged):
                    await self._note_damage(plan.run, store)
        raise _none_gave(refused)

    async def _note_damage(self, run: str, store: str) -> None:
        """Put on record that a store does not give back what it was given: its copies do not count from now on."""
        reason = "a restore could not read what was saved there"
        await self.outbox.record(StoreChecked(store, BY_RESTORE, False, 1, reason, 0.0), run)
        await self.outbox.record(DamageFound(store, BY_RESTORE, (), reason), run)
        await self.outbox.record(HoldPlaced(store, "a restore met damage there", is_damage=True), run)

    async def _attempt(self, plan: Plan, store: str, repository: Repository) -> Landed:
        run, request, point = plan.run, plan.request, plan.point
        copies = point.copies_in(store)
        begun = RestoreStarted(request.policy, point.run, store, copies[0].snapshot_id, request.by)
        await self.outbox.record(begun, run)
        clock = self._world.clock
        started = clock.monotonic()
        outcome, message, hint = (
            Outcome.FAILED,
            "a mistake in drd ended the restore",
            f"type: drd journal show --run {run}",
        )
        landed: Landed | None = None
        try:
            with self._board.lane(run):
                at_once = self._stores.configured(store).limits.at_once
                async with self._queues.take(store, JobClass.RESTORE, at_once, self._board.waiter(run)):
                    is_over = await self._knows_as_over()
                    fetch = partial(self._point_in_time.fetch, run, request)
                    bringing = self._bringing.bring(plan, store, repository, is_over, fetch)
                    landed = await unless_away(bringing, store, self._stores, lambda: self._board.latest(run))
            outcome, message, hint = Outcome.SUCCEEDED, _told_of_checks(landed), ""
        except DrdError as error:
            message, hint = error.message, error.hint
            raise
        except asyncio.CancelledError:
            outcome, message, hint = Outcome.CANCELLED, "the restore was cancelled", "start it again"
            raise
        finally:
            finished = RestoreFinished(
                request.policy,
                point.run,
                store,
                outcome,
                message,
                hint,
                clock.monotonic() - started,
                bytes=0,
                files=0,
                whole=landed is not None and not request.include,
                snapshot_id=copies[0].snapshot_id,
            )
            await to_the_end(self._record(plan, finished, landed))
        return landed

    async def _record(self, plan: Plan, finished: RestoreFinished, landed: Landed | None) -> None:
        """One end, or on success one for each part with its own figures: what was read whole is proven by name."""
        if landed is None:
            await self.outbox.record(finished, plan.run)
            return
        for snapshot_id, part in landed.parts.items():
            end = replace(finished, snapshot_id=snapshot_id, seconds=part.seconds, bytes=part.bytes, files=part.files)
            await self.outbox.record(replace(end, point_run=plan.run_of(snapshot_id)), plan.run)

    async def _best_first(self, point: RecoveryPoint, wanted: str | None) -> list[str]:
        """The stores that have the point and are configured; a person may name one.

        Sound ones before damaged ones, then the closest first, and of those the ones where nobody has to be waited for.
        """
        if wanted is not None:
            self._stores.configured(wanted)
            return [wanted]
        known = [name for name in point.stores if self._stores.is_configured(name)]
        if not known:
            raise PermanentError(
                f"the point stands only in {', '.join(point.stores)}, which the configuration does not name any more",
                "add the store to drd.yaml again",
            )
        damaged = damaged_stores(await self._catalogue.stores())

        def rank(store: str) -> tuple[bool, float, bool]:
            is_busy = any(job.is_exclusive for job in self._queues.running(store))
            return store in damaged, self._stores.configured(store).distance_metres, is_busy

        return sorted(known, key=rank)

    async def _knows_as_over(self) -> IsOver:
        over = {mark_of(record.run) for record in await self._catalogue.restores() if record.run not in self._at_work}
        return over.__contains__


def _told_of_checks(landed: Landed) -> str:
    """What was asked of it is not told: it names what lies inside."""
    return f"{len(landed.failed)} of {len(landed.checks)} checks failed" if landed.failed else ""


def _none_gave(refused: list[DrdError]) -> DrdError:
    """Why no store gave the point; one alone says it itself."""
    reasons = "; ".join(error.message for error in refused)
    if all(isinstance(error, StoreAway) for error in refused):
        return StoreAway(f"no store that holds the point answers: {reasons}", "type: drd status")
    if len(refused) == 1:
        return refused[0]
    return RepositoryDamaged(f"no store gives the point back: {reasons}", "type: drd points POLICY for an earlier one")
