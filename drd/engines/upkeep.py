"""What a store needs besides backups: reconciling hourly, checking and forgetting daily, pruning weekly.

A check reads a part of the data too when one is due, so that in time all of it is read.
One loop a store, one job at a time. Each job waits for its turn in the repository behind the more urgent classes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from drd.core.catalogue import StoreRecord
from drd.core.errors import NOT_NOW, DrdError, PermanentError, StoreAway
from drd.core.events import Event, JobFailed, RetentionApplied, SnapshotCreated
from drd.core.policy import Outcome
from drd.core.rotation import Part
from drd.engines.copy import Copy
from drd.engines.healing import Healing
from drd.engines.proof import Proof
from drd.engines.protecting import Protecting
from drd.engines.reconcile import Reconcile
from drd.engines.retain import Retain
from drd.engines.rotating_check import due_part
from drd.engines.stores import Stores
from drd.engines.telling import ToldOnce
from drd.engines.wal_retention import WalRetention
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, is_wal_store
from drd.ports.journal import Catalogue, Journal

RECONCILE_EVERY = timedelta(hours=1)
CHECK_EVERY = timedelta(days=1)
FORGET_EVERY = timedelta(days=1)
PRUNE_EVERY = timedelta(days=7)
PRUNE_WAL_EVERY = timedelta(hours=1)
"""Each batch of WAL makes the one before it superfluous, and leaves an index of its own: a prune joins them.

Often, so that each is short: batches wait for it.
"""
LOOK_SECONDS = 30.0
"""How often the loop asks what is due, and how long a store that is away is left alone."""
AGAIN_AFTER = timedelta(minutes=15)
"""How long work that failed for another reason is left alone: a person has to change something, or a lock has to go."""


@dataclass(slots=True)
class _Round:
    """One day's retention in a store, as far as it has come: what ends it in the middle does not begin it anew."""

    looked_at: set[str] = field(default_factory=set)
    removed: int = 0
    refused: int = 0
    refusal: DrdError | None = None

    def refuse(self, refusal: DrdError) -> None:
        """One policy could not be served."""
        self.refused += 1
        self.refusal = refusal


class Upkeep:
    """Decides from the catalogue what a store needs next."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        copy: Copy,
        reconcile: Reconcile,
        proof: Proof,
        healing: Healing,
        retain: Retain,
        wal_retention: WalRetention,
        protecting: Protecting,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._copy = copy
        self._reconcile = reconcile
        self._proof = proof
        self._healing = healing
        self._retain = retain
        self._wal_retention = wal_retention
        self._protecting = protecting
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._reconciled: set[str] = set()
        self._rounds: dict[str, _Round] = {}
        self._told = ToldOnce[tuple[str, str]](journal)
        self._failed: dict[tuple[str, str], float] = {}
        journal.observe(self._notice)

    async def serve(self, store: str) -> None:
        """Look after one store until cancelled."""
        while True:
            with suppress(*NOT_NOW):  # nothing can be put on record now; the daemon's tick tells people
                record = (await self._catalogue.stores()).get(store)
                if record is not None and record.repository_id is not None:
                    await self._look_after(store, record)
            await self._clock.sleep(LOOK_SECONDS)

    def _notice(self, event: Event) -> None:
        """A snapshot that is not good is marked soon: until then the store by itself calls it good."""
        if isinstance(event.body, SnapshotCreated) and event.body.outcome is not Outcome.SUCCEEDED:
            self._reconciled.discard(event.body.store)

    async def _look_after(self, store: str, record: StoreRecord) -> None:
        now = self._clock.now()
        if self._healing.is_due(record):
            await self._try(store, "heal", self._heal)
        is_behind = store not in self._reconciled or _is_due(record.last_reconciled, RECONCILE_EVERY, now)
        if is_behind and not await self._try(store, "reconcile", self._do_reconcile):
            return
        if self._reconcile.has_unmarked(store):
            await self._try(store, "mark", self._reconcile.mark)
        if self._protecting.are_keys_due(store):
            await self._try(store, "keys", self._protecting.list_keys)
        if self._protecting.is_probe_due(record, now):
            await self._try(store, "probe", self._protecting.probe)
        part = due_part(self._configuration(), record, now) if self._stores.is_configured(store) else None
        is_check_due = part is not None or _is_due(record.last_checked, CHECK_EVERY, now)
        if is_check_due and not await self._try(store, "check", partial(self._do_check, part=part)):
            return
        if _is_due(record.last_retained, FORGET_EVERY, now):
            await self._try(store, "forget", self._do_forget)
        if await self._is_prune_due(store):
            await self._try(store, "prune", self._retain.prune)

    async def _try(self, store: str, job: str, do: Callable[[str], Awaitable[None]]) -> bool:
        """Do a job unless it failed a moment ago; False when it was not done."""
        failed = self._failed.get((store, job))
        if failed is not None and self._clock.monotonic() - failed < AGAIN_AFTER.total_seconds():
            return False
        try:
            await do(store)
        except NOT_NOW:
            raise
        except StoreAway as error:
            await self._stores.went_away(store, error.message)
            return False
        except DrdError as error:
            self._failed[store, job] = self._clock.monotonic()
            told = JobFailed(store, job, error.message, error.hint)
            await self._told.tell((store, job), error.message, told)
            if isinstance(error, PermanentError) and job in ("reconcile", "check"):
                await self._look_at(store)
            return False
        self._told.over((store, job))
        self._failed.pop((store, job), None)
        return True

    async def _look_at(self, store: str) -> None:
        """Whether it is damage that keeps a store from being opened; then it is healed next."""
        try:
            if await self._healing.look(store):
                self._failed = {each: at for each, at in self._failed.items() if each[0] != store}
        except StoreAway as error:
            await self._stores.went_away(store, error.message)
        except PermanentError:
            return  # nothing more can be told than what was told already

    async def _do_reconcile(self, store: str) -> None:
        self._reconciled.add(store)
        try:
            found, missing = await self._reconcile.reconcile(store)
        except BaseException:
            self._reconciled.discard(store)
            raise
        if found or missing:
            for name in self._configuration().stores:
                self._copy.want(name)

    async def _heal(self, store: str) -> None:
        if await self._healing.heal(store):
            self._reconciled.discard(store)  # what was copied back has ids that nobody knows yet
            for name in self._configuration().stores:
                self._copy.want(name)

    async def _do_check(self, store: str, part: Part | None) -> None:
        await self._proof.check(store, part=part)

    async def _do_forget(self, store: str) -> None:
        """Apply retention to each policy; one that cannot be served does not hold the others up."""
        today = self._rounds.setdefault(store, _Round())
        for name, protected in self._configuration().policies.items():
            stores = (*protected.policy.backup.to, *protected.wal_stores)
            if store in stores and name not in today.looked_at:
                try:
                    today.removed += len(await self._forgotten(name, store))
                except PermanentError as error:
                    today.refuse(error)
                today.looked_at.add(name)
        try:
            await self._retain.forget_anchors(store)
        except PermanentError as error:
            today.refusal = error
        await self._journal.append(RetentionApplied(store, len(today.looked_at), today.removed, today.refused))
        del self._rounds[store]
        if today.refusal is not None:
            raise today.refusal

    async def _forgotten(self, policy: str, store: str) -> tuple[str, ...]:
        if is_wal_store(store):
            return await self._wal_retention.forget(policy, store)
        if await self._catalogue.points(policy):
            return await self._retain.forget(policy, store, "schedule")
        return ()

    async def _is_prune_due(self, store: str) -> bool:
        """Whether something was removed since the last prune, a week ago or more.

        A mirror waits for its origin, which would otherwise send it once more what was just pruned.
        """
        records = await self._catalogue.stores()
        record = records[store]
        origin = self._stores.origin_of(store) if self._stores.is_mirror(store) else None
        first = records.get(origin) if origin is not None else None
        every = PRUNE_WAL_EVERY if is_wal_store(store) else PRUNE_EVERY
        now = self._clock.now()
        # WAL is forgotten all day long: there the origin's last prune is enough, if it was in time.
        is_behind = first is not None and (not is_wal_store(store) or _is_due(first.last_pruned, every, now))
        if first is not None and is_behind and first.is_prune_owed and self._stores.why_away(first.store) is None:
            return False
        return record.is_prune_owed and record.hold is None and _is_due(record.last_pruned, every, now)


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether work last done at `last` is due again; a `last` in the future (a clock set back) is not believed."""
    return last is None or now - last >= every or last > now + timedelta(minutes=5)
