"""Retention: forget by id what restic's own dry run would remove and no guard keeps, then look again; prune apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from drd.core.catalogue import damaged_stores
from drd.core.errors import Busy, PermanentError, RefusedByGuard
from drd.core.events import AnchorsForgotten, ForgetStarted, RetentionHeld, SnapshotsForgotten, StorePruned
from drd.core.points import RecoveryPoint
from drd.core.postgres.letting_go import leading_runs
from drd.core.retention import Candidate, Retention, decide, superfluous_anchors
from drd.core.suspicion import to_release
from drd.core.tags import MINE, policy_tags
from drd.engines.doubting import unless_away
from drd.engines.stores import Stores
from drd.engines.suspecting import why_suspect
from drd.engines.telling import ToldOnce
from drd.engines.vanished import Vanished, why_held
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected, is_wal_store
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Repository, Snapshot

PLAN_SECONDS = 30.0
"""How long a question waits for its turn behind a check or a prune, which may take hours."""
MOST_REPACKED_BYTES = 4 * 2**30
"""How much one prune may rewrite: it needs the repository alone, and backups wait for it."""
MOST_REPACKED_WAL_BYTES = 64 * 2**20
"""The same where WAL stands: batches wait for it, and what is newest has to be in a store within a minute."""


class Retain:
    """Applies the policies' `keep` to the stores."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._told = ToldOnce[tuple[str, str]](journal)
        self._vanished = Vanished(journal, catalogue)

    async def plan(self, policy: str, store: str) -> Retention:
        """What would happen to a policy's snapshots in a store now; changes nothing.

        Raises `Busy` when something keeps the repository to itself for longer than anybody waits for an answer.
        """
        repository = await self._stores.open(store)
        async with self._turn_to_ask(store):
            return await self._judge(policy, store, repository, by_a_person=False)

    async def forget(
        self,
        policy: str,
        store: str,
        by: str,
        by_a_person: bool = False,
        on_wait: Callable[[str], None] | None = None,
    ) -> tuple[str, ...]:
        """Forget what may go and return the ids that are really gone.

        What holds everything back is journaled once; a person is told each time, by `RefusedByGuard`. Raises
        `PermanentError` when the store still lists what was to go. `on_wait` is told what its turn is waited for.
        """
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.FORGET, self._stores.configured(store).limits.at_once, on_wait):
            retention = await self._judge(policy, store, repository, by_a_person)
            if retention.held:
                told = RetentionHeld(policy, store, retention.held)
                await self._told.tell((policy, store), retention.held, told)
                if by_a_person:
                    raise RefusedByGuard(f"nothing is forgotten in store {store}: {retention.held}", retention.release)
                return ()
            self._told.over((policy, store))
            if not retention.forgotten:
                return ()
            await self._journal.append(ForgetStarted(policy, store, retention.forgotten))
            gone = await repository.forget(retention.forgotten)
            if gone:
                await self._journal.append(SnapshotsForgotten(policy, store, gone, by))
        left = set(retention.forgotten) - set(gone)
        if left:
            raise _still_listed(store, len(left))
        return gone

    async def forget_anchors(self, store: str) -> None:
        """Forget the journal's old heads in a store, unless it is held. Raises `PermanentError` when it keeps them."""
        records = await self._catalogue.stores()
        record = records.get(store)
        if record is None or record.hold is not None:
            return
        origin = self._stores.origin_of(store) if self._stores.is_mirror(store) else None
        superfluous = superfluous_anchors(record, records.get(origin) if origin is not None else None)
        if not superfluous:
            return
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.FORGET, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            gone = await repository.forget(superfluous)
            if gone:
                await self._journal.append(AnchorsForgotten(store, gone))
        if len(gone) < len(superfluous):
            raise _still_listed(store, len(superfluous) - len(gone))

    async def prune(self, store: str) -> None:
        """Remove unreferenced data from a store, so much at a time. Raises `RefusedByGuard` while the store is held.

        In a mirror only whole files go: those that a repack had replaced would all be carried there once more.
        """
        record = (await self._catalogue.stores()).get(store)
        if record is not None and record.hold is not None:
            raise RefusedByGuard(f"nothing is pruned in store {store}: {record.hold}", f"type: drd release {store}")
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.PRUNE, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            await self._require_all_listed(store, repository)
            started = self._clock.monotonic()
            await unless_away(repository.prune(self._most_repacked(store)), store, self._stores)
            await self._journal.append(StorePruned(store, self._clock.monotonic() - started))

    async def _why_not_all_listed(self, policy: str, store: str, listed: list[Snapshot]) -> str | None:
        """Guards count copies by the journal: while one of them has gone, there is nothing to go by."""
        ids = {snapshot.id for snapshot in listed}
        holdings = await self._catalogue.holdings(store)
        missing = {each: known for each, known in holdings.items() if known == policy and each not in ids}
        vanished = await self._vanished.among(store, missing, listed)
        return why_held(vanished) if vanished else None

    async def _require_all_listed(self, store: str, repository: Repository) -> None:
        """Look last whether every snapshot is there: what only a lost one holds would be gone for good."""
        listed = await repository.snapshots((MINE,))
        ids = {snapshot.id for snapshot in listed}
        missing = {each: policy for each, policy in (await self._catalogue.holdings(store)).items() if each not in ids}
        vanished = await self._vanished.among(store, missing, listed)
        if vanished:
            await self._vanished.tell(store, vanished)
            held = f"nothing is pruned in store {store}: {why_held(vanished)}"
            raise RefusedByGuard(held, f"drd heals it; if they were meant to go, type: drd release {store}")

    def _most_repacked(self, store: str) -> int:
        if self._stores.is_mirror(store):
            return 0
        return MOST_REPACKED_WAL_BYTES if is_wal_store(store) else MOST_REPACKED_BYTES

    @asynccontextmanager
    async def _turn_to_ask(self, store: str) -> AsyncIterator[None]:
        at_once = self._stores.configured(store).limits.at_once
        waited: list[str] = []
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(PLAN_SECONDS):
                    await stack.enter_async_context(
                        self._queues.take(store, JobClass.LIST, at_once, on_wait=waited.append)
                    )
            except TimeoutError as error:
                raise Busy(f"gave up {waited[-1]} after {PLAN_SECONDS:.0f} s", "ask again later") from error
            yield

    async def _judge(self, policy: str, store: str, repository: Repository, by_a_person: bool) -> Retention:
        await self._stores.confirm_identity(store, repository)
        protected = self._configuration().policies.get(policy)
        if protected is None:
            raise PermanentError(f"there is no policy {policy}", "type: drd status")
        plan = protected.policy.backup
        points = await self._catalogue.points(policy)
        moments = {copy.snapshot_id: point.moment for point in points for copy in point.copies}
        judged = [
            (each, proposed.reasons.get(each.id, reasons))
            for tags in _groups(policy, points)
            for proposed in (await repository.plan_forget(plan.keep, tags),)
            for snapshots, reasons in ((proposed.keep, ("kept by restic",)), (proposed.remove, ()))
            for each in snapshots
        ]
        candidates = [Candidate(each.id, moments.get(each.id, each.time), reasons) for each, reasons in judged]
        records = await self._catalogue.stores()
        record = records.get(store)
        hold = record.hold if record is not None else None
        suspected = why_suspect(await self._catalogue.policy(policy))
        if hold is None:
            hold = await self._why_not_all_listed(policy, store, [each for each, _ in judged])
        decided = decide(
            candidates,
            points,
            store,
            plan.require.copies,
            hold or suspected,
            by_a_person,
            damaged=damaged_stores(records),
            leading=await self._leading(protected, store, points),
            read_through=record.read_through if record is not None and not record.is_damaged else None,
        )
        return replace(decided, release=to_release(policy) if suspected and not hold else f"type: drd release {store}")

    async def _leading(self, protected: Protected, store: str, points: tuple[RecoveryPoint, ...]) -> frozenset[str]:
        """The runs without which a moment that is promised could not be restored from a store."""
        any_moment = protected.policy.backup.keep.any_moment
        if any_moment is None or not protected.wal_stores:
            return frozenset()
        shipped = await self._catalogue.wal(protected.policy.name)
        return leading_runs(points, shipped, store, any_moment, self._clock.now())


def _still_listed(store: str, count: int) -> PermanentError:
    return PermanentError(
        f"store {store} still lists {count} snapshots that were to be forgotten",
        "it is append-only: prune there with a credential that may delete",
    )


def _groups(policy: str, points: tuple[RecoveryPoint, ...]) -> tuple[tuple[str, ...], ...]:
    """The tags of what restic's rules count together: each part by itself, or three points of two parts are six."""
    parts = sorted({copy.part for point in points for copy in point.copies})
    if len(parts) <= 1:
        return (policy_tags(policy),)
    return tuple((*policy_tags(policy), f"part={part}") for part in parts)
