"""What a mirror refused: which of the two stores holds a file that is not what it is called."""

from __future__ import annotations

from drd.core.events import DamageFound, HoldPlaced
from drd.core.events.healing import BY_MIRROR
from drd.engines.stores import Stores
from drd.ports.journal import Catalogue, Journal
from drd.ports.store import Carrier
from drd.ports.world import World

FILES_TOLD = 100
"""So many damaged files are named in an event."""


class RefusedFiles:
    """Puts on record what filling a mirror has shown of the stores."""

    def __init__(self, stores: Stores, carrier: Carrier, journal: Journal, catalogue: Catalogue, world: World) -> None:
        self._stores = stores
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._world = world

    async def look(self, ends: tuple[str, str], refused: tuple[str, ...]) -> None:
        """Read refused files at both ends, and put on record, once, where they are damaged. Raises a `DrdError`.

        A file that travelled badly is good at both; one that has another size at the mirror may be damaged at either.
        """
        records = await self._catalogue.stores()
        damages = [record.damage for end in ends if (record := records.get(end)) is not None]
        if set(refused) <= {path for damage in damages if damage is not None for path in damage.files}:
            return
        for end in ends:
            place = await self._stores.configured(end).place.backend(self._world)
            found = await self._carrier.examine(place, refused, lambda _: None)
            # What has not come yet is no damage of the mirror.
            there = {path: why for path, why in found.items() if end == ends[0] or why != "it is not there"}
            if there:
                paths = tuple(sorted(there))[:FILES_TOLD]
                message = f"filling store {ends[1]} from store {ends[0]} met {paths[0]}: {there[paths[0]]}"
                hold = HoldPlaced(end, "filling a mirror met damaged files there", is_damage=True)
                await self._journal.append(DamageFound(end, BY_MIRROR, paths, message), hold)
