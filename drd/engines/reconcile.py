"""Holding the journal against what the stores really hold: the repository is the truth, the journal a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from datetime import timedelta

from drd.core.events import Body, HoldPlaced, SnapshotFound, SnapshotMissing, StoreReconciled, WalShipped
from drd.core.policy import Outcome
from drd.core.postgres.groups import read_group, switch_texts
from drd.core.run import worse
from drd.core.tags import MINE, Origin, outcome_tag, read_tags
from drd.engines.stores import Stores
from drd.engines.vanished import Vanished
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Snapshot

FOREIGN_IS_LIVE = timedelta(hours=24)
"""Another daemon's snapshot younger than this means that the other daemon is alive."""
FOUND_AT_ONCE = 300
"""So many snapshots that were found share a transaction of the journal; each alone would cost a sync of the disk."""
BATCH_IS_YOUNG = timedelta(minutes=10)
"""A batch of WAL younger than this may be on its way into the journal."""
RUNS_LOOKED_AT = 500
"""How many of a policy's newest runs are asked whether a snapshot's run ended well."""


class Reconcile:
    """Lists stores and journals what the catalogue did not know, and what it wrongly believed."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
        daemon: str,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._daemon = daemon
        self._since = clock.now()
        self._vanished = Vanished(journal, catalogue)
        self._unmarked: dict[str, tuple[tuple[Snapshot, Origin], ...]] = {}

    async def reconcile(self, store: str) -> tuple[int, int]:
        """Compare one store with the catalogue; returns how many snapshots were found and how many are missing.

        The catalogue is read before and after the store is listed, so that a snapshot which is made or forgotten
        meanwhile is neither reported as found nor as missing. A snapshot is never taken for better than its run: one
        that a crash left behind before anybody judged it is found as what the journal knows of its run.
        """
        repository = await self._stores.open(store)
        # To the end in one turn: what is forgotten meanwhile would be neither listed nor known to be leaving.
        async with self._queues.take(store, JobClass.LIST, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            before = await self._catalogue.holdings(store)
            listed = await repository.snapshots((MINE,))
            found, missing = await self._compare(store, before, listed)
        await self._look_for_others(store, listed)
        return found, missing

    async def _compare(self, store: str, before: Mapping[str, str], listed: tuple[Snapshot, ...]) -> tuple[int, int]:
        under_way = {record.run for record in await self._catalogue.unfinished()}
        after = await self._catalogue.holdings(store)
        mine = [(snapshot, origin) for snapshot, origin in _origins(listed) if origin.run not in under_way]
        outcomes = await self._outcomes(mine)
        found = [
            (snapshot, origin)
            for snapshot, origin in mine
            if snapshot.id not in after and snapshot.id not in before and origin.run in outcomes
        ]
        ids = {snapshot.id for snapshot in listed}
        found = await self._without_twins(store, found, ids)
        missing = {each: policy for each, policy in before.items() if each not in ids and each in after}
        vanished = await self._vanished.among(store, missing, listed)
        bodies: list[Body] = [
            SnapshotMissing(policy, store, each) for each, policy in missing.items() if each not in vanished
        ]
        facts = [
            (_found(store, each, replace(origin, outcome=outcomes[origin.run])), origin.run) for each, origin in found
        ]
        wal = await self._wal_found(store, [each for each in listed if each.id not in before and each.id not in after])
        for start in range(0, len(wal), FOUND_AT_ONCE):
            await self._journal.append(*wal[start : start + FOUND_AT_ONCE])
        for start in range(0, len(facts), FOUND_AT_ONCE):
            batch = facts[start : start + FOUND_AT_ONCE]
            await asyncio.gather(*(self._journal.append(fact, run=run) for fact, run in batch))
        await self._vanished.tell(store, vanished)
        await self._journal.append(*bodies, StoreReconciled(store, len(listed), len(found) + len(wal), len(missing)))
        self._unmarked[store] = _unmarked(mine, outcomes)
        return len(found) + len(wal), len(missing)

    async def _without_twins(
        self, store: str, found: list[tuple[Snapshot, Origin]], ids: Set[str]
    ) -> list[tuple[Snapshot, Origin]]:
        """Those found, but for what says that it is a part of a run of which the store lists drd's own snapshot.

        Whoever may write there can plant such a one; it never counts beside what drd saved.
        """
        own = {
            (point.run, copy.part)
            for policy in {origin.policy for _, origin in found}
            for point in await self._catalogue.points(policy)
            for copy in point.copies
            if copy.store == store and copy.snapshot_id in ids
        }
        return [(snapshot, origin) for snapshot, origin in found if (origin.run, origin.part) not in own]

    async def _wal_found(self, store: str, unknown: list[Snapshot]) -> list[WalShipped]:
        """Facts about batches of WAL that the journal does not know; those made a moment ago are left to who made them.

        Of a group that it knows they hold nothing more, unless they were not whole: they are superseded.
        """
        record = (await self._catalogue.stores()).get(store)
        # Of a store that was never looked through nobody here has made any: on a new machine the newest count most.
        is_new = record is None or record.last_reconciled is None
        young = self._clock.now() - BATCH_IS_YOUNG
        found = [
            (each, group, each.tag("policy") or "") for each in unknown if (group := read_group(each.tags)) is not None
        ]
        known = {
            (policy, each.group.system_identifier, each.group.name)
            for policy in {policy for _, _, policy in found}
            for each in await self._catalogue.wal(policy)
            if each.store == store
        }
        batches = [
            (each, group, policy)
            for each, group, policy in found
            if each.time < young or (is_new and (policy, group.system_identifier, group.name) not in known)
        ]
        return [
            WalShipped(
                policy=policy,
                store=store,
                snapshot_id=each.id,
                system_identifier=group.system_identifier,
                group=group.name,
                segment_bytes=group.first.size,
                through=str(
                    group.first.start if (policy, group.system_identifier, group.name) in known else group.through
                ),
                moment=group.moment,
                switches=switch_texts(group.switches),
            )
            for each, group, policy in batches
        ]

    def has_unmarked(self, store: str) -> bool:
        """Whether the last reconciliation saw snapshots that are not good and do not say so."""
        return bool(self._unmarked.get(store))

    async def mark(self, store: str) -> None:
        """Make snapshots that are not good say so themselves: a store must tell the truth when the journal is lost.

        Tried once: a store that lets nothing be replaced keeps the unmarked snapshot beside the marked one, each time.
        """
        unmarked = self._unmarked.pop(store, ())
        if not unmarked:
            return
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.FORGET, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            for snapshot, origin in unmarked:
                new_id = await repository.mark(snapshot.id, outcome_tag(origin.outcome))
                await self._journal.append(
                    _found(store, replace(snapshot, id=new_id), origin),
                    SnapshotMissing(origin.policy, store, snapshot.id),
                    run=origin.run,
                )

    async def _outcomes(self, mine: list[tuple[Snapshot, Origin]]) -> dict[str, Outcome]:
        """Run → the worst that its snapshots or the journal say of it.

        A run that the journal does not know and of which a part is missing is left out: perhaps it is being copied
        here, perhaps it was cut off. It is no recovery point until the rest is there.
        """
        outcomes: dict[str, Outcome] = {}
        parts: dict[str, set[str]] = {}
        unknown: dict[str, set[str]] = {}
        for _, origin in mine:
            unknown.setdefault(origin.policy, set()).add(origin.run)
            outcomes[origin.run] = worse(origin.outcome, outcomes.get(origin.run, Outcome.SUCCEEDED))
            parts.setdefault(origin.run, set()).add(origin.part)
        for policy, runs in unknown.items():
            for point in await self._catalogue.points(policy):
                if point.run in outcomes:
                    outcomes[point.run] = worse(point.outcome, outcomes[point.run])
                    parts[point.run] |= {copy.part for copy in point.copies}
                    runs.discard(point.run)
            # A point is as bad as its run, so runs are asked for what is no point (yet): many, and seldom needed.
            for record in await self._catalogue.runs(policy, newest=RUNS_LOOKED_AT) if runs else ():
                if record.run in runs and record.outcome is not None:
                    outcomes[record.run] = worse(record.outcome, outcomes[record.run])
        for _, origin in mine:
            if len(parts[origin.run]) < origin.parts and outcomes.get(origin.run) is Outcome.SUCCEEDED:
                del outcomes[origin.run]
        return outcomes

    async def _look_for_others(self, store: str, listed: tuple[Snapshot, ...]) -> None:
        """Hold a store where a daemon with our policies writes too.

        What it wrote before this start is perhaps our own earlier state, and what it wrote before a person released
        the store was seen then. Sharing a store with daemons of other policies is nothing to be alarmed about.
        """
        record = (await self._catalogue.stores()).get(store)
        if record is not None and record.hold is not None:
            return
        horizon = max(self._clock.now() - FOREIGN_IS_LIVE, self._since)
        if record is not None and record.last_released is not None:
            horizon = max(horizon, record.last_released)
        ours = self._configuration().policies
        others = {
            origin.daemon
            for snapshot, origin in _origins(listed)
            if snapshot.time > horizon and origin.policy in ours and origin.daemon not in ("", self._daemon)
        }
        if others:
            other = min(others)
            await self._journal.append(
                HoldPlaced(store, f"another live daemon ({other[-6:]}) writes there with the same policies")
            )


def _origins(listed: tuple[Snapshot, ...]) -> list[tuple[Snapshot, Origin]]:
    return [(snapshot, origin) for snapshot in listed if (origin := read_tags(snapshot.tags)) is not None]


def _unmarked(
    mine: list[tuple[Snapshot, Origin]], outcomes: Mapping[str, Outcome]
) -> tuple[tuple[Snapshot, Origin], ...]:
    """Snapshots whose tags tell a better outcome than their run had, unless a marked twin stands beside them."""
    marked: set[str | None] = {
        snapshot.original for snapshot, origin in mine if origin.outcome is not Outcome.SUCCEEDED
    }
    return tuple(
        (snapshot, replace(origin, outcome=outcomes[origin.run]))
        for snapshot, origin in mine
        if origin.outcome is Outcome.SUCCEEDED
        and outcomes.get(origin.run, Outcome.SUCCEEDED) is not Outcome.SUCCEEDED
        and (snapshot.original or snapshot.id) not in marked
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
        total_bytes=snapshot.total_bytes or 0,
        total_files=snapshot.total_files or 0,
        facts=origin.facts,
    )
