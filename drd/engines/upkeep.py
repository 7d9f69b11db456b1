"""What a store needs besides backups: reconciling hourly, checking and forgetting daily, pruning weekly.

One loop a store, one job at a time. Each job waits for its turn in the repository behind the more urgent classes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from drd.core.catalogue import StoreRecord
from drd.core.errors import DrdError, StoreAway
from drd.core.events import JobFailed
from drd.engines.copy import Copy
from drd.engines.proof import Proof
from drd.engines.reconcile import Reconcile
from drd.engines.retain import Retain
from drd.engines.stores import Stores
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal

RECONCILE_EVERY = timedelta(hours=1)
CHECK_EVERY = timedelta(days=1)
FORGET_EVERY = timedelta(days=1)
PRUNE_EVERY = timedelta(days=7)
LOOK_SECONDS = 30.0
"""How often the loop asks what is due, and how long a store that is away is left alone."""


class Upkeep:
    """Decides from the catalogue what a store needs next."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        copy: Copy,
        reconcile: Reconcile,
        proof: Proof,
        retain: Retain,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._copy = copy
        self._reconcile = reconcile
        self._proof = proof
        self._retain = retain
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._reconciled: set[str] = set()
        self._retained: dict[tuple[str, str], datetime] = {}
        self._removed: set[str] = set()
        self._told: dict[tuple[str, str], str] = {}

    async def serve(self, store: str) -> None:
        """Look after one store until cancelled."""
        while True:
            record = (await self._catalogue.stores()).get(store)
            if record is not None and record.repository_id is not None:
                await self._look_after(store, record)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look_after(self, store: str, record: StoreRecord) -> None:
        now = self._clock.now()
        is_behind = store not in self._reconciled or _is_due(record.last_reconciled, RECONCILE_EVERY, now)
        if is_behind and not await self._try(store, "reconcile", self._do_reconcile):
            return
        if _is_due(record.last_checked, CHECK_EVERY, now) and not await self._try(store, "check", self._do_check):
            return
        await self._try(store, "forget", self._do_forget)
        if store in self._removed and _is_due(record.last_pruned, PRUNE_EVERY, now):
            await self._try(store, "prune", self._do_prune)

    async def _try(self, store: str, job: str, do: Callable[[str], Awaitable[None]]) -> bool:
        try:
            await do(store)
        except StoreAway as error:
            await self._stores.went_away(store, error.message)
            return False
        except DrdError as error:
            if self._told.get((store, job)) != error.message:
                self._told[store, job] = error.message
                await self._journal.append(JobFailed(store, job, error.message, error.hint))
            return False
        self._told.pop((store, job), None)
        return True

    async def _do_reconcile(self, store: str) -> None:
        found, missing = await self._reconcile.reconcile(store)
        self._reconciled.add(store)
        if found or missing:
            for name in self._configuration().stores:
                self._copy.want(name)

    async def _do_check(self, store: str) -> None:
        await self._proof.check(store)

    async def _do_forget(self, store: str) -> None:
        for name, protected in self._configuration().policies.items():
            last = self._retained.get((name, store))
            if store in protected.policy.backup.to and _is_due(last, FORGET_EVERY, self._clock.now()):
                points = await self._catalogue.points(name)
                if points and await self._retain.forget(name, store, "schedule"):
                    self._removed.add(store)
                self._retained[name, store] = self._clock.now()

    async def _do_prune(self, store: str) -> None:
        await self._retain.prune(store)
        self._removed.discard(store)


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Whether work last done at `last` is due again; a `last` in the future (a clock set back) is not believed."""
    return last is None or now - last >= every or last > now + timedelta(minutes=5)
