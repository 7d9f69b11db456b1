"""Proving that stores hold what they claim. In this release: the structure, daily."""

from __future__ import annotations

from drd.core.events import HoldPlaced, StoreChecked
from drd.engines.stores import Stores
from drd.engines.turns import JobClass, Turns
from drd.ports.journal import Journal
from drd.ports.repository import CheckReport


class Proof:
    """Checks repositories; damage holds retention there, since the copy elsewhere may be the only good one left."""

    def __init__(self, stores: Stores, turns: Turns, journal: Journal) -> None:
        self._stores = stores
        self._turns = turns
        self._journal = journal

    async def check(self, store: str) -> CheckReport:
        """Check the structure of a store's repository and journal what was found."""
        repository = await self._stores.open(store)
        async with self._turns.take(store, JobClass.CHECK, self._stores.configured(store).limits.at_once):
            report = await repository.check()
        first = report.errors[0] if report.errors else ""
        await self._journal.append(
            StoreChecked(store, "", report.sound, len(report.errors), first[:300], report.seconds)
        )
        if not report.sound:
            await self._journal.append(HoldPlaced(store, "its last check found damage"))
        return report
