"""Holding the journal against what the stores really hold: the repository is the truth, the journal a record."""

from __future__ import annotations

from datetime import timedelta

from drd.core.events import Body, HoldPlaced, SnapshotFound, SnapshotMissing, StoreReconciled
from drd.core.tags import MINE, Origin, read_tags
from drd.engines.stores import Stores
from drd.engines.turns import JobClass, Turns
from drd.ports.clock import Clock
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Snapshot

FOREIGN_IS_LIVE = timedelta(hours=24)
"""Another daemon's snapshot younger than this means that the other daemon is alive."""


class Reconcile:
    """Lists stores and journals what the catalogue did not know, and what it wrongly believed."""

    def __init__(
        self, stores: Stores, turns: Turns, journal: Journal, catalogue: Catalogue, clock: Clock, daemon: str
    ) -> None:
        self._stores = stores
        self._turns = turns
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._daemon = daemon
        self._since = clock.now()

    async def reconcile(self, store: str) -> tuple[int, int]:
        """Compare one store with the catalogue; returns how many snapshots were found and how many are missing.

        The catalogue is read before and after the store is listed, so that a snapshot which is made or forgotten
        meanwhile is neither reported as found nor as missing.
        """
        repository = await self._stores.open(store)
        async with self._turns.take(store, JobClass.COPY, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            before = await self._catalogue.holdings(store)
            listed = await repository.snapshots((MINE,))
        after = await self._catalogue.holdings(store)
        found = [
            (snapshot, origin)
            for snapshot in listed
            if snapshot.id not in after
            and snapshot.id not in before
            and (origin := read_tags(snapshot.tags)) is not None
        ]
        settled = await self._settled(found)
        ids = {snapshot.id for snapshot in listed}
        missing = [(policy, each) for each, policy in before.items() if each not in ids and each in after]
        bodies: list[Body] = [SnapshotMissing(policy, store, each) for policy, each in missing]
        await self._journal.append(*bodies, StoreReconciled(store, len(listed), len(settled), len(missing)))
        for snapshot, origin in settled:
            await self._journal.append(_found(store, snapshot, origin), run=origin.run)
        await self._look_for_others(store, listed)
        return len(settled), len(missing)

    async def _settled(self, found: list[tuple[Snapshot, Origin]]) -> list[tuple[Snapshot, Origin]]:
        """Without the snapshots of runs that are under way: their own engine is about to journal them."""
        under_way = {record.run for record in await self._catalogue.unfinished()}
        return [(snapshot, origin) for snapshot, origin in found if origin.run not in under_way]

    async def _look_for_others(self, store: str, listed: tuple[Snapshot, ...]) -> None:
        horizon = max(self._clock.now() - FOREIGN_IS_LIVE, self._since)
        others = {
            origin.daemon
            for snapshot in listed
            if snapshot.time > horizon
            and (origin := read_tags(snapshot.tags)) is not None
            and origin.daemon not in ("", self._daemon)
        }
        record = (await self._catalogue.stores()).get(store)
        if others and (record is None or record.hold is None):
            other = sorted(others)[0]
            await self._journal.append(
                HoldPlaced(store, f"another live daemon ({other[-6:]}) writes there with the same policies")
            )


def _found(store: str, snapshot: Snapshot, origin: Origin) -> SnapshotFound:
    return SnapshotFound(
        policy=origin.policy,
        run=origin.run,
        part=origin.part,
        store=store,
        snapshot_id=snapshot.id,
        moment=origin.moment,
        mode=origin.mode,
        outcome=origin.outcome,
        daemon=origin.daemon,
    )
