"""Taking good files from the stores that hold the same repository, and from what a bucket keeps of its own past."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from drd.core.catalogue import StoreRecord
from drd.core.errors import PermanentError, StoreAway, TransientError
from drd.core.events import DamageMended
from drd.engines.stores import Stores
from drd.engines.twins import twins_of
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import OnProgress
from drd.ports.store import Carrier
from drd.ports.world import World

KEYS = "keys"
FILES_TOLD = 100
"""So many files are named in an event at most."""
AFTER_PRUNE = timedelta(minutes=5)
"""By so much a bucket's clock may be ahead: what a prune of drd's own deleted does not come back."""


@dataclass(slots=True)
class Brought:
    """What mirrors have given a damaged store."""

    bad: Mapping[str, str]
    """Path → why it is bad, of what is still so."""
    means: list[str] = field(default_factory=list)
    unasked: set[str] = field(default_factory=set)
    """Stores that were not to be had."""
    paths: tuple[str, ...] = ()
    """What the store's own versions gave back."""
    refusal: str = ""
    """Why those could not be looked at; empty when they were, or when there are none."""


class FromMirrors:
    """Heals a store from its mirrors, the nearest first. The caller has the store alone."""

    def __init__(self, stores: Stores, carrier: Carrier, journal: Journal, catalogue: Catalogue, world: World) -> None:
        self._stores = stores
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._world = world

    async def twins(self, store: str) -> list[str]:
        """The stores to ask."""
        return twins_of(store, self._stores, await self._catalogue.stores())

    async def mend(self, store: str, bad: Mapping[str, str], aside: Path, on_progress: OnProgress) -> Brought:
        """Replace damaged files by good ones of the same name; what was there is saved in the folder `aside`."""
        brought = Brought(bad)
        configured = self._stores.configured(store)
        for twin in await self.twins(store):
            if not brought.bad:
                break
            try:
                await self._stores.confirm_identity(twin, await self._stores.open(twin))
                refused = await self._carrier.mend(
                    await self._stores.configured(twin).place.backend(self._world),
                    await configured.place.deleting().backend(self._world),
                    tuple(sorted(brought.bad)),
                    configured.limits.upload,
                    on_progress,
                    aside,
                )
            except (StoreAway, PermanentError) as error:
                await self._pass_over(store, twin, error, brought)
                continue
            mended = tuple(sorted(brought.bad.keys() - refused.keys()))
            brought.bad = dict(refused)
            if mended:
                brought.means.append(f"{counted_files(len(mended))} from store {twin}")
                await self._journal.append(DamageMended(store, twin, mended[:FILES_TOLD], str(aside)))
        return brought

    async def uncover(self, store: str, paths: Collection[str], aside: Path) -> Brought:
        """Bring back what somebody deleted or overwrote in a store that keeps versions; elsewhere nothing.

        Beside `paths` and the snapshots that the store is known to hold that are packs and indexes that went after
        drd deleted there last, and of keys drd's own. What lies in `aside` comes back only when it is good.
        Where the versions may not be looked at, that is told, and everything else can still be tried. Raises
        `StoreAway`.
        """
        look = await self._stores.look(store, lasts_seconds=0)
        if not look.versioning:
            return Brought({})
        record = (await self._catalogue.stores()).get(store)
        snapshots = (f"snapshots/{each}" for each in await self._catalogue.holdings(store))
        named = (*snapshots, *drds_keys(record), *sorted(each for each in paths if each.partition("/")[0] != KEYS))
        try:
            uncovered = await self._carrier.uncover(
                await self._stores.configured(store).place.deleting().backend(self._world),
                named,
                hidden_since(record),
                aside,
            )
        except StoreAway:
            raise
        except (PermanentError, TransientError) as error:
            return Brought({}, refusal=f"the bucket's own versions could not be asked: {error.message}")
        brought = Brought(uncovered.left)
        if uncovered.paths:
            count = counted_files(len(uncovered.paths))
            brought.means.append(f"{count} that had been deleted or overwritten, from the bucket's own versions")
            await self._journal.append(DamageMended(store, store, uncovered.paths[:FILES_TOLD], ""))
        brought.paths = uncovered.paths
        return brought

    async def bring_what_lacks(self, store: str, twin: str, on_progress: OnProgress) -> Brought:
        """Bring all that a mirror has and the store lacks, but for what the store itself has forgotten."""
        brought = Brought({})
        configured = self._stores.configured(store)
        try:
            await self._stores.confirm_identity(twin, await self._stores.open(twin))
            carried = await self._carrier.carry(
                await self._stores.configured(twin).place.backend(self._world),
                await configured.place.backend(self._world),
                configured.limits.upload,
                on_progress,
                await self._catalogue.withheld(store),
            )
        except (StoreAway, PermanentError) as error:
            await self._pass_over(store, twin, error, brought)
        else:
            if carried.files:
                brought.means.append(f"{counted_files(carried.files)} that had gone, from store {twin}")
        return brought

    async def _pass_over(self, store: str, twin: str, error: StoreAway | PermanentError, brought: Brought) -> None:
        if isinstance(error, StoreAway) and await self._stores.is_away(store):
            raise error
        brought.unasked.add(twin)
        brought.means.append(f"store {twin} could not be asked: {error.message}")


def hidden_since(record: StoreRecord | None) -> datetime | None:
    """Since when nothing of drd's own has deleted in a store: what was hidden before that was meant to go."""
    if record is None:
        return None
    own = [each + AFTER_PRUNE for each in (record.last_pruned, record.last_given_up) if each is not None]
    return max(own, default=record.known_since)


def drds_keys(record: StoreRecord | None) -> tuple[str, ...]:
    """The keys that may come back, by their paths; the whole folder where nobody has listed them yet.

    One that somebody added and a person took away again must not open the repository once more.
    """
    if record is None or not (record.keys or record.foreign_keys):
        return (KEYS,)
    return tuple(f"{KEYS}/{each}" for each in record.keys)


def counted_files(count: int) -> str:
    """So many files, in words."""
    return "1 file" if count == 1 else f"{count} files"


def in_words(bad: Mapping[str, str]) -> str:
    """The first of what is bad and why, and how many more there are."""
    first = min(bad)
    more = f", and {counted_files(len(bad) - 1)} more" if len(bad) > 1 else ""
    return f"{first}: {bad[first]}{more}"
