"""Filling further stores from the first, without reading any source again.

One worker a store. What is missing follows from the catalogue, so a store that was away for a week is caught up the
same way as one that is a minute behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set

from drd.core.errors import NOT_NOW, DrdError, StoreAway, TransientError
from drd.core.events import Body, CopyCreated, JobFailed, MirrorFinished
from drd.core.points import Copy as CopyOfPart
from drd.core.points import RecoveryPoint
from drd.core.tags import MINE
from drd.engines.missing import Lacking, Missing
from drd.engines.progress import ProgressBoard
from drd.engines.refused_files import RefusedFiles
from drd.engines.sending_ahead import SendingAhead
from drd.engines.stores import Stores, origin_of
from drd.engines.telling import ToldOnce
from drd.engines.wal_points import WalPoint
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.cancelling import to_the_end
from drd.ports.configuration import Configuration, is_wal_store
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Progress
from drd.ports.store import Carried, Carrier
from drd.ports.world import World

RETRY_SECONDS = (15.0, 60.0, 300.0, 900.0)
"""Waits after a failed round; the last one repeats."""
RETRY_WAL_SECONDS = 60.0
"""The longest wait where WAL is brought: what is newest in a store has to be no older than that."""


class Copy:
    """Keeps every further store as full as the policies want it."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        carrier: Carrier,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        board: ProgressBoard,
        ahead: SendingAhead,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._carrier = carrier
        self._queues = queues
        self._journal = journal
        self._catalogue = catalogue
        self._refused = RefusedFiles(stores, carrier, journal, catalogue, world)
        self._missing = Missing(configuration, catalogue, world.clock)
        self._world = world
        self._board = board
        self._ahead = ahead
        self._wanted: dict[str, asyncio.Event] = {}
        self._asked: dict[str, set[str | None]] = {}
        """Store → the policies whose points it may lack; None stands for all of them."""
        self._failed_in_a_row: dict[str, int] = {}
        self._told = ToldOnce[str](journal)
        self._why_late: dict[str, str] = {}
        self._served: set[str] = set()

    def want(self, store: str, policy: str | None = None) -> None:
        """Ask for a round into `store` soon, for one policy or for all; asking twice is asking once."""
        self._asked.setdefault(store, set()).add(policy)
        self._wanted.setdefault(store, asyncio.Event()).set()

    def want_behind(self, policy: str) -> None:
        """Ask for rounds into every further store of a policy."""
        protected = self._configuration().policies.get(policy)
        if protected is not None and len(protected.policy.backup.to) > 1:
            for store in protected.policy.backup.to:
                self.want(store, policy)

    def why_late(self, store: str) -> str | None:
        """Why the last round into `store` did not bring all that it lacks, or None when it did."""
        return self._why_late.get(store)

    def is_served(self, store: str) -> bool:
        """Whether somebody fills `store` in this process."""
        return store in self._served

    async def serve(self, store: str) -> None:
        """Fill `store` whenever that is wanted, until cancelled; a failed round is tried again, less and less often."""
        wanted = self._wanted.setdefault(store, asyncio.Event())
        self._served.add(store)
        try:
            while True:
                await self._wait(store, wanted)
                wanted.clear()
                asked = self._asked.pop(store, set())
                if await self._is_filled(store, asked):
                    self._failed_in_a_row[store] = 0
                    continue
                self._asked.setdefault(store, set()).update(asked)
                failures = self._failed_in_a_row[store] = self._failed_in_a_row.get(store, 0) + 1
                await self._world.clock.sleep(_wait_seconds(store, failures))
                wanted.set()
        finally:
            self._served.discard(store)

    async def _wait(self, store: str, wanted: asyncio.Event) -> None:
        """Until a round is asked for. Packs that a backup is writing go meanwhile."""
        asked, sending = asyncio.create_task(wanted.wait()), asyncio.create_task(self._ahead.serve(store))
        try:
            await asyncio.wait({asked, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asked, sending):
                task.cancel()
            await to_the_end(asyncio.wait({asked, sending}))
        if not sending.cancelled():
            sending.result()  # by itself it only ends in a mistake of drd's

    async def _is_filled(self, store: str, asked: Set[str | None]) -> bool:
        try:
            return await self.fill(store, asked)
        except NOT_NOW as error:  # what was brought cannot be put on record now; the daemon's tick tells people
            self._why_late[store] = error.message
            return False

    async def fill(self, store: str, asked: Set[str | None] = frozenset({None})) -> bool:
        """One round: bring what `store` lacks. False when it has to be tried again; the reason is journaled once.

        `asked` are the policies that are looked at, None for all: a look at all of many takes its time, and nearly
        always it is one that has just run. What came up meanwhile asks for a round of its own. Raises what stands in
        `NOT_NOW`.
        """
        configuration = self._configuration()
        if store not in configuration.stores:
            return True
        before = await self._missing.lacking(configuration, store, asked)
        origin = origin_of(configuration, store)
        sources = tuple(
            dict.fromkeys(each for points in before.values() for each in _sources(points, origin, configuration.stores))
        )
        refused = [
            source for source in sources if not await self._is_brought(store, source, before, mirror=source == origin)
        ]
        if refused:
            return False
        try:
            await self._look_again(store, before)
        except TransientError as error:
            await self._tell(store, error)
            return False
        self._told.over(store)
        self._why_late.pop(store, None)
        return True

    async def _is_brought(self, store: str, source: str, missing: Lacking, mirror: bool) -> bool:
        """Bring what one store holds; False, and told, when that failed: what others hold comes all the same."""
        try:
            await self._bring(store, source, missing, mirror)
        except NOT_NOW:
            raise
        except StoreAway as error:
            if await self._stores.is_away(store):
                self._why_late[store] = error.message
            else:
                await self._tell(store, DrdError(error.message, error.hint))
                await self._stores.is_away(source)
            return False
        except DrdError as error:
            await self._tell(store, error)
            return False
        return True

    async def _look_again(self, store: str, before: Lacking) -> None:
        """Raises when a point that was to be brought is still not there; newer ones get the next round."""
        after = await self._missing.lacking(self._configuration(), store, before.keys())
        for policy in after:
            self.want(store, policy)
        left = _runs(before) & _runs(after)
        if left:
            raise TransientError(
                f"{len(left)} recovery points did not arrive in store {store}: their origin does not hold them whole",
                "the next reconciliation sets the record right; type: drd status",
            )

    async def _tell(self, store: str, error: DrdError) -> None:
        self._why_late[store] = error.message
        await self._told.tell(store, error.message, JobFailed(store, "copy", error.message, error.hint))

    async def _bring(self, store: str, source: str, missing: Lacking, mirror: bool) -> None:
        target = self._stores.configured(store)
        origin = self._stores.configured(source)
        await self._stores.open(store, may_make=True)
        await self._stores.look(source)
        is_mirrored = mirror and not target.independent
        turns = {store: target.limits.at_once}
        if not is_mirrored:  # reading files as they lie needs no turn there, and a first fill may take days
            turns[source] = origin.limits.at_once
        lane = f"copy:{store}"
        with self._board.lane(lane):
            job = JobClass.WAL if is_wal_store(store) else JobClass.COPY
            async with self._queues.take_all(turns, job, self._board.waiter(lane)):
                if is_mirrored:
                    await self._mirror(store, source, missing, lane)
                else:
                    await self._copy(store, source, missing, lane)

    async def _mirror(self, store: str, source: str, missing: Lacking, lane: str) -> None:
        target, origin = self._stores.configured(store), self._stores.configured(source)
        carried = await self._carrier.carry(
            await origin.place.backend(self._world),
            await target.place.backend(self._world),
            origin.limits.rate_into(target.limits),
            self._poster(lane),
            await self._missing.withheld(store),
        )
        # What an index names may be gone from a damaged origin: nothing is claimed before it is healed, and what lacked
        # has come. WAL was written seconds ago, and its server has no room to wait.
        is_doubtful = not is_wal_store(store) and await self._is_damaged(source)
        whole = frozenset(() if is_doubtful else carried.snapshot_ids)
        await self._journal_copies(
            missing, store, source, lambda snapshot_id: snapshot_id if snapshot_id in whole else None, carried
        )
        if carried.refused:
            await self._refused.look((source, store), carried.refused)
        if not carried.complete:
            raise DrdError(
                f"store {store} was not filled: {carried.message or 'a damaged file was refused'}",
                f"type: drd check {source}",
            )
        if is_doubtful and missing:
            raise DrdError(
                f"store {source} is damaged: what store {store} got from there counts when that is healed",
                f"type: drd check {source}",
            )

    async def _is_damaged(self, store: str) -> bool:
        record = (await self._catalogue.stores()).get(store)
        return record is not None and record.is_damaged

    async def _copy(self, store: str, source: str, missing: Lacking, lane: str) -> None:
        wanted = tuple(
            copy.snapshot_id for points in missing.values() for point in points for copy in point.copies_in(source)
        )
        target = await self._stores.open(store)
        origin = await self._stores.open(source)
        await self._stores.confirm_identity(store, target)
        await self._stores.confirm_identity(source, origin)
        await target.copy_from(origin, wanted, self._poster(lane))
        arrived = {snapshot.original or snapshot.id: snapshot.id for snapshot in await target.snapshots((MINE,))}
        originals = {snapshot.id: snapshot.original or snapshot.id for snapshot in await origin.snapshots((MINE,))}
        await self._journal_copies(
            missing, store, source, lambda each: arrived.get(each) or arrived.get(originals.get(each, each)), None
        )

    async def _journal_copies(
        self,
        missing: Lacking,
        store: str,
        source: str,
        arrived_as: Callable[[str], str | None],
        carried: Carried | None,
    ) -> None:
        if carried is not None and (carried.files or not carried.complete):
            await self._journal.append(
                MirrorFinished(
                    store,
                    source,
                    carried.complete,
                    carried.files,
                    carried.bytes,
                    carried.seconds,
                    len(carried.refused),
                    carried.message,
                )
            )
        for points in missing.values():
            for point in points:
                bodies: list[Body] = [
                    _arrival(point, copy, store, new_id, source)
                    for copy in point.copies_in(source)
                    if (new_id := arrived_as(copy.snapshot_id)) is not None
                ]
                if bodies:
                    await self._journal.append(*bodies, run=None if isinstance(point, WalPoint) else point.run)

    def _poster(self, lane: str) -> Callable[[Progress], None]:
        def post(progress: Progress) -> None:
            self._board.post(lane, progress)

        return post


def _wait_seconds(store: str, failures: int) -> float:
    seconds = RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1]
    return min(seconds, RETRY_WAL_SECONDS) if is_wal_store(store) else seconds


def _arrival(point: RecoveryPoint, copy: CopyOfPart, store: str, snapshot_id: str, source: str) -> Body:
    if isinstance(point, WalPoint):
        return point.arrived(store, snapshot_id, source)
    return CopyCreated(point.policy, copy.part, store, snapshot_id, source, point.moment)


def _sources(
    points: tuple[RecoveryPoint, ...], preferred: str | None, configured: Mapping[str, object]
) -> tuple[str, ...]:
    """The stores from which these points can be had: the preferred one wherever it has them."""
    chosen: dict[str, None] = {}
    for point in points:
        there = [store for store in point.stores if store in configured]
        if there:
            chosen[preferred if preferred in there else there[0]] = None
    return tuple(chosen)


def _runs(missing: Lacking) -> frozenset[str]:
    return frozenset(point.run for points in missing.values() for point in points)
