"""Snapshots that a store lists no more although drd did not forget them: that is damage until it is healed.

Whoever reads a store's list holds it against the journal: what drd forgets is on record before it goes, so all else was
taken by somebody or lost. Nothing is pruned there meanwhile, since a prune would remove what only those snapshots hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from drd.core.events import DamageFound, HoldPlaced
from drd.core.events.healing import BY_LISTING
from drd.core.postgres.groups import read_group
from drd.core.postgres.lsn import Lsn
from drd.core.tags import read_tags
from drd.ports.configuration import is_wal_store
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Snapshot

FILES_TOLD = 1000
"""So many are named in an event, and all of them in several."""


class Vanished:
    """Tells what is gone for a reason from what is not."""

    def __init__(self, journal: Journal, catalogue: Catalogue) -> None:
        self._journal = journal
        self._catalogue = catalogue

    async def among(self, store: str, missing: Mapping[str, str], listed: Iterable[Snapshot]) -> dict[str, str]:
        """Of the snapshots that a store does not list (id → policy) those that nobody accounts for, id → its point.

        The same part of the same run under another id stands for the one that is gone: it was tagged or copied back.
        """
        record = (await self._catalogue.stores()).get(store)
        if record is None or record.is_replaced or not missing.keys() - record.leaving:
            return {}
        unaccounted = missing.keys() - record.leaving
        if is_wal_store(store):
            return await self._wal_among(store, unaccounted, set(missing.values()), listed)
        origins = (read_tags(each.tags) for each in listed)
        standing = {(origin.run, origin.part) for origin in origins if origin is not None}
        return {
            copy.snapshot_id: point.label
            for policy in dict.fromkeys(missing.values())
            for point in await self._catalogue.points(policy)
            for copy in point.copies
            if copy.store == store and copy.snapshot_id in unaccounted and (point.run, copy.part) not in standing
        }

    async def _wal_among(
        self, store: str, missing: Set[str], policies: Set[str], listed: Iterable[Snapshot]
    ) -> dict[str, str]:
        """The same of batches of WAL: only the newest of a group counts, and one that goes as far stands for it."""
        standing: dict[tuple[str, str], Lsn] = {}
        for group in filter(None, (read_group(each.tags) for each in listed)):
            key = (group.system_identifier, group.name)
            standing[key] = max(group.through, standing.get(key, group.through))
        groups = list(await self._catalogue.lost_wal(store))
        for policy in sorted(policies):
            groups += await self._catalogue.wal(policy)
        return {
            each.snapshot_id: each.label
            for each in groups
            if each.store == store
            and each.snapshot_id in missing
            and standing.get((each.group.system_identifier, each.group.name), Lsn(0)) < each.group.through
        }

    async def tell(self, store: str, vanished: Mapping[str, str]) -> None:
        """Put on record, once, that they are gone, and hold the store."""
        record = (await self._catalogue.stores()).get(store)
        known = record.damage.files if record is not None and record.damage is not None else ()
        paths = sorted({f"snapshots/{each}" for each in vanished} - set(known))
        for start in range(0, len(paths), FILES_TOLD):
            hold = HoldPlaced(store, why_held(vanished), is_damage=True)
            named = tuple(paths[start : start + FILES_TOLD])
            await self._journal.append(DamageFound(store, BY_LISTING, named, in_words(vanished)), hold)


def in_words(vanished: Mapping[str, str]) -> str:
    """What is gone, for people."""
    first = vanished[min(vanished)]
    more, them = (f" and {len(vanished) - 1} more are", "them") if len(vanished) > 1 else (" is", "it")
    return f"{first}{more} gone from there: drd did not remove {them}; somebody else did, or the store lost {them}"


def why_held(vanished: Mapping[str, str]) -> str:
    """Why nothing is forgotten or pruned in such a store."""
    count = f"{len(vanished)} snapshots are" if len(vanished) > 1 else "1 snapshot is"
    return f"{count} gone from there that drd did not forget"
