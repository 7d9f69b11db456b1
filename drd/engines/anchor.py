"""Anchoring the journal outside this machine: it is sealed monthly, and the chain's head is written into every store.

Whoever rewrites the journal would have to rewrite the anchors too, and those lie encrypted in repositories elsewhere.
An anchor is a tiny snapshot whose tags carry the head, so that listing is enough to read it; mirrors get theirs by
mirroring. When a store was anchored last follows from the journal, so a restart writes none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

from drd.core.errors import NOT_NOW, DrdError, JournalDamaged
from drd.core.events import HeadAnchored, JobFailed
from drd.core.tags import HOST, MINE, anchor_tags, read_anchor
from drd.engines.outbox import Outbox
from drd.engines.stores import Stores
from drd.engines.telling import ToldOnce
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration
from drd.ports.journal import Catalogue, Journal, JournalReader, Verdict
from drd.ports.repository import Snapshots

ANCHOR_EVERY = timedelta(days=7)
VERIFY_EVERY = timedelta(days=1)
LOOK_SECONDS = 300.0
VERIFY_HINT = "type: drd journal verify --anchors"


class Sealed(Protocol):
    """A journal that is cut into sealed segments."""

    async def seal_if_due(self) -> str | None:
        """Seal when the month has changed; the sealed segment's name, or None."""
        ...


class Anchor:
    """Seals and anchors when it is time."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        queues: WorkQueues,
        journal: Journal,
        sealed: Sealed,
        catalogue: Catalogue,
        clock: Clock,
        daemon: str,
        reader: JournalReader,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._queues = queues
        self._journal = journal
        self._sealed = sealed
        self._catalogue = catalogue
        self._clock = clock
        self._daemon = daemon
        self._reader = reader
        self._verified: datetime | None = None
        self._problem = ""
        self._told = ToldOnce[str](journal)
        self.outbox = Outbox(journal)

    @property
    def problem(self) -> str:
        """What the last verification of the whole chain found wrong; empty when it fits, and until one has been."""
        return self._problem

    async def serve(self) -> None:
        """Look every few minutes, until cancelled. A store that is away gets its anchor at a later look."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            with suppress(*NOT_NOW):  # somebody reads it, or there is no room: the next look tries again
                await self._seal()
                await self._verify()
            for store in self._configuration().stores:
                await self._try(store)

    async def anchor(self, store: str) -> None:
        """Write the head of this moment into a store. Mirrors are left out: they get it from their origin."""
        if self._stores.is_mirror(store):
            return
        record = (await self._catalogue.stores()).get(store)
        if record is None or record.repository_id is None:
            return
        repository = await self._stores.open(store)
        head = await self._journal.head()
        document = {"daemon": self._daemon, "sequence": head.sequence, "head": head.digest, "segment": head.segment}
        tags = anchor_tags(self._daemon, head.sequence, head.digest)
        async with self._queues.take(store, JobClass.LIST, self._stores.configured(store).limits.at_once):
            await self._stores.confirm_identity(store, repository)
            content = json.dumps(document, indent=1).encode()
            snapshot_id = await repository.save_bytes(content, "journal-head.json", HOST, tags)
        await self.outbox.record(HeadAnchored(store, snapshot_id, head.sequence, head.digest))

    async def anchors(self, store: str) -> dict[int, str]:
        """Sequence → head, as this daemon wrote them into a store."""
        return await anchors_in(await self._stores.open(store), self._daemon)

    async def _seal(self) -> None:
        """Seal when it is time. A file system that does not let it be sealed keeps no daemon from its work."""
        try:
            await self._sealed.seal_if_due()
        except NOT_NOW:
            raise
        except DrdError as error:
            await self._tell("seal", error)
        else:
            self._told.over("seal")

    async def _verify(self) -> None:
        """Walk the chain once a day, and after each start: nobody has watched the disk while the daemon was away.

        Damage is told, and backups go on: the stores hold the data, not the journal.
        """
        if self._verified is not None and self._clock.now() - self._verified < VERIFY_EVERY:
            return
        try:
            verdict = await asyncio.to_thread(self._reader.verify)
        except NOT_NOW:
            raise
        except DrdError as error:
            verdict = Verdict(sound=False, events=0, problem=error.message)
        self._verified = self._clock.now()
        self._problem = "" if verdict.sound else verdict.problem
        if verdict.sound:
            self._told.over("verify")
        else:
            await self._tell("verify", JournalDamaged(f"the journal does not verify: {self._problem}", VERIFY_HINT))

    async def _tell(self, job: str, error: DrdError) -> None:
        await self._told.tell(job, error.message, JobFailed("", job, error.message, error.hint))

    async def _try(self, store: str) -> None:
        """Anchor when it is time; not while an anchor is written that is not on record yet."""
        with suppress(DrdError):  # the engines that need this store more often have journaled why
            record = (await self._catalogue.stores()).get(store)
            if record is not None and not self.outbox.owed and is_anchor_due(record.last_anchored, self._clock.now()):
                await self.anchor(store)


def is_anchor_due(last: datetime | None, now: datetime) -> bool:
    """Whether a store is due for an anchor: each week, and in a new month, when the last one's segment is sealed.

    A `last` in the future (a clock set back) is not believed.
    """
    if last is None or now - last >= ANCHOR_EVERY or last > now + timedelta(minutes=5):
        return True
    return (last.year, last.month) != (now.year, now.month)


async def anchors_in(repository: Snapshots, daemon: str) -> dict[int, str]:
    """Sequence → head, as a daemon wrote them into a repository."""
    listed = [read_anchor(snapshot.tags) for snapshot in await repository.snapshots((MINE, "kind=anchor"))]
    return {anchor.sequence: anchor.head for anchor in listed if anchor is not None and anchor.daemon == daemon}
