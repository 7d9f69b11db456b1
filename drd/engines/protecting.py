"""Trying whether stores that are declared immutable are, keeping their locks long enough, and watching their keys.

A promise of a store is never believed: once a day drd attempts to delete from it, by all credentials that it holds.
What it finds is on record either way, so that drift shows on the day on which somebody changes a bucket's rules.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from drd.core.catalogue import StoreRecord
from drd.core.events import KeysListed, ProtectionProbed
from drd.engines.stores import Stores
from drd.ports.journal import Catalogue, Journal
from drd.ports.protection import Extended, Protection
from drd.ports.store import Carrier, ConfiguredStore
from drd.ports.world import World

PROBE_EVERY = timedelta(days=1)
KEYS_EVERY = timedelta(days=1)


class Protecting:
    """Probes one store at a time; when is due is told by what the journal knows of it."""

    def __init__(self, stores: Stores, carrier: Carrier, journal: Journal, catalogue: Catalogue, world: World) -> None:
        self._stores = stores
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._clock = world.clock
        self._listed: dict[str, float] = {}
        """When the keys of a store were listed last, in monotonic seconds."""

    def is_probe_due(self, record: StoreRecord, now: datetime) -> bool:
        """Whether a store is to be tried now: at most once a day, and only where it is declared immutable."""
        if not self._stores.is_configured(record.store) or self._stores.configured(record.store).immutable_days is None:
            return False
        return record.probed is None or not timedelta(0) <= now - record.probed < PROBE_EVERY

    def are_keys_due(self, store: str) -> bool:
        """Whether its keys are to be listed now: once after each start, and daily."""
        listed = self._listed.get(store)
        is_due = listed is None or self._clock.monotonic() - listed >= KEYS_EVERY.total_seconds()
        return is_due and self._stores.is_configured(store)

    async def probe(self, name: str) -> None:
        """Try to delete from a store, make its locks longer, and put on record what was found."""
        store = self._stores.configured(name)
        days = store.immutable_days
        if days is None:
            return
        await self._stores.look(name)
        found = await self._tried(store, days)
        extended = Extended(0, 0)
        if found.is_held:
            backend = await store.place.backend(self._world)
            extended = await self._carrier.extend(backend, days, self._clock.now())
        reason = found.reason
        if extended.failed:
            reason = f"{extended.failed} of {extended.files} locks cannot be made longer: {extended.message}"
        await self._journal.append(
            ProtectionProbed(
                store=name,
                is_held=found.is_held and not extended.failed,
                reason=reason,
                risks=found.risks,
                mode=found.mode,
                days=found.days,
                files=extended.files,
                extended=extended.extended,
            )
        )

    async def list_keys(self, name: str) -> None:
        """Hold a repository's keys against those that it had when drd took it over."""
        await self._stores.look(name)
        found = await self._carrier.key_files(await self._stores.configured(name).place.backend(self._world))
        record = (await self._catalogue.stores()).get(name)
        known = record.keys if record is not None else ()
        foreign = tuple(sorted(set(found) - set(known))) if known else ()
        before = record.foreign_keys if record is not None else ()
        if found and (not known or foreign != before):
            await self._journal.append(KeysListed(name, tuple(sorted(found)), foreign))
        self._listed[name] = self._clock.monotonic()

    async def _tried(self, store: ConfiguredStore, days: int) -> Protection:
        """By the credentials that write, and by those that forget and prune where they are others."""
        found = await self._carrier.probe(await store.place.backend(self._world), days)
        deleting = store.place.deleting()
        if not found.is_held or deleting is store.place:
            return found
        other = await self._carrier.probe(await deleting.backend(self._world), days)
        return other if not other.is_held else found
