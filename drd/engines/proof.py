"""Proving that stores hold what they claim: the structure of each daily, and all of its data in rotation."""

from __future__ import annotations

import re
from collections.abc import Callable

from drd.core.events import Body, DamageFound, HoldPlaced, StoreChecked
from drd.core.rotation import Part
from drd.engines.doubting import unless_away
from drd.engines.stores import Stores
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.journal import Journal
from drd.ports.repository import CheckReport, Repository

LOGGED_ERRORS = 20
"""So many findings of a check go to the log, as restic words them; a broken repository has thousands."""
NAMED_PACKS = 100
"""So many damaged files are named in an event."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)')
"""How restic writes names of files in what it finds: as Go quotes them."""


class Proof:
    """Checks repositories; damage holds retention there, since the copy elsewhere may be the only good one left."""

    def __init__(self, stores: Stores, queues: WorkQueues, journal: Journal, log: Callable[[str], None]) -> None:
        """`log` takes lines that name what lies inside a source, which the journal may not."""
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._log = log

    async def check(
        self, store: str, on_wait: Callable[[str], None] | None = None, part: Part | None = None
    ) -> CheckReport:
        """Check the structure of a store's repository, journal what was found, and log it as restic worded it.

        With `part` that part of its data is read as well. `on_wait` is told what its turn is waited for.
        """
        repository = await self._stores.open(store)
        async with self._queues.take(store, JobClass.CHECK, self._stores.configured(store).limits.at_once, on_wait):
            await self._stores.confirm_identity(store, repository)
            return await self.look(store, repository, part)

    async def look(self, store: str, repository: Repository, part: Part | None) -> CheckReport:
        """What `check` does, for who has the repository alone already."""
        subset = "" if part is None else str(part)
        report = await unless_away(repository.check(subset or None), store, self._stores)
        first = self.without_names(report.errors[0])[:300] if report.errors else ""
        facts: list[Body] = [StoreChecked(store, subset, report.sound, len(report.errors), first, report.seconds)]
        if not report.sound:
            packs = tuple(f"data/{pack[:2]}/{pack}" for pack in report.broken_packs[:NAMED_PACKS])
            facts.append(DamageFound(store, subset, packs, first))
            facts.append(HoldPlaced(store, "its last check found damage", is_damage=True))
        await self._journal.append(*facts)
        for error in report.errors[:LOGGED_ERRORS]:
            self._log(f"check of {store}: {error}")
        return report

    @staticmethod
    def without_names(finding: str) -> str:
        """A finding of a check without the names of files, which stay inside the source."""
        return _QUOTED.sub('"…"', finding)
