"""Config and keys of a store, without which restic opens nothing: how damage to them is told, and how it is healed.

A config has no name to be verified by, and a place without one may be another disk. So nothing is put there unless the
place still holds a whole snapshot that the journal knows: then it is the repository that it was. Its config is the same
bytes as in every mirror. Its key is made anew, since a mirror has one of its own for the same master key.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from drd.core.errors import PermanentError, RepositoryDamaged, StoreAway
from drd.core.events import DamageFound, HoldPlaced, KeysListed
from drd.core.events.healing import BY_OPENING
from drd.engines.from_mirrors import drds_keys
from drd.engines.stores import Stores
from drd.engines.twins import twins_of
from drd.ports.journal import Catalogue, Journal
from drd.ports.store import Carrier
from drd.ports.world import World

CONFIG = "config"
KEYS = "keys"
SNAPSHOTS_TRIED = 50
"""So many of the snapshots that a store is known to hold are looked for: one is enough."""


class ConfigAndKeys:
    """Looks at what a repository is opened with."""

    def __init__(self, stores: Stores, carrier: Carrier, journal: Journal, catalogue: Catalogue, world: World) -> None:
        self._stores = stores
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._world = world

    async def look(self, store: str) -> bool:
        """Put damage to config and keys on record, for who could not open a store; whether there is any.

        Raises a `DrdError` when that cannot be told.
        """
        bad = await self.damaged(store)
        if bad:
            first = min(bad)
            message = f"{first}: {bad[first]}"
            record = (await self._catalogue.stores())[store]
            if record.damage is None or not bad.keys() <= set(record.damage.files):
                found = DamageFound(store, BY_OPENING, tuple(sorted(bad)), message)
                await self._journal.append(found, HoldPlaced(store, "it cannot be opened any more", is_damage=True))
        return bool(bad)

    async def damaged(self, store: str) -> dict[str, str]:
        """What of config and keys is not what it was, and why; nothing where the place is not that repository."""
        target = await self._stores.configured(store).place.backend(self._world)
        look = await self._stores.look(store, lasts_seconds=0)
        known = [f"snapshots/{each}" for each in islice(await self._catalogue.holdings(store), SNAPSHOTS_TRIED)]
        found = await self._carrier.examine(target, (KEYS, *known), lambda _: None)
        if found.keys() >= set(known):
            # Where versions are kept, whoever hid everything from restic has not taken it away.
            if not look.versioning:
                return {}
            try:
                named = (*known, *drds_keys((await self._catalogue.stores()).get(store)))
                hidden = (await self._carrier.uncover(target, named, None, only_look=True)).left
            except PermanentError:
                return {}  # these credentials may not look at versions: nothing tells this place from an empty one
            return _to_open_with(hidden) if hidden.keys() & set(known) else {}
        bad = {path: why for path, why in found.items() if path.startswith(f"{KEYS}/")}
        if not await self._carrier.key_files(target):
            bad[KEYS] = "there is no key"
        if not look.config:
            bad[CONFIG] = "it is not there"
        elif await self._is_another(store, look.config, is_opened=not bad):
            bad[CONFIG] = "it is not what it was"
        return bad

    async def mend(self, store: str, aside: Path) -> tuple[dict[str, str], list[str]]:
        """Bring config and keys back; returns what is still wrong, and what was done."""
        bad = await self.damaged(store)
        means: list[str] = []
        if CONFIG in bad:
            means += await self._mend_config(store, bad, aside)
        keys = bad.keys() - {CONFIG}
        if keys and CONFIG not in bad:
            means += await self._mend_keys(store, tuple(sorted(keys - {KEYS})), aside)
        return (await self.damaged(store) if means else bad), means

    async def _is_another(self, store: str, config: str, is_opened: bool) -> bool:
        """Whether a config is not that of the repository: by its mirrors, else by whether it can be read."""
        for twin in twins_of(store, self._stores, await self._catalogue.stores()):
            found = await self._config_of(twin)
            if found:
                return found != config
        if not is_opened:
            return False  # a key that is damaged itself tells nothing of the config
        try:
            await (await self._stores.open(store)).identity(config)
        except RepositoryDamaged:
            return True
        return False

    async def _config_of(self, twin: str) -> str:
        """The digest of a mirror's config, if it can be had and is that of the repository which the journal knows."""
        try:
            look = await self._stores.look(twin, lasts_seconds=0)
            await self._stores.confirm_identity(twin, await self._stores.open(twin))
            return look.config
        except (StoreAway, PermanentError):
            return ""

    async def _mend_config(self, store: str, bad: dict[str, str], aside: Path) -> list[str]:
        place = self._stores.configured(store).place.deleting()
        for twin in twins_of(store, self._stores, await self._catalogue.stores()):
            if not await self._config_of(twin):
                continue
            origin = await self._stores.configured(twin).place.backend(self._world)
            target = await place.backend(self._world)
            await self._carrier.mend(origin, target, (CONFIG,), None, lambda _: None, aside)
            del bad[CONFIG]
            return [f"the config from store {twin}"]
        return []

    async def _mend_keys(self, store: str, damaged: tuple[str, ...], aside: Path) -> list[str]:
        configured = self._stores.configured(store)
        for twin in twins_of(store, self._stores, await self._catalogue.stores()):
            if not await self._config_of(twin):
                continue
            origin = self._stores.configured(twin)
            if damaged:
                deleting = await configured.place.deleting().backend(self._world)
                await self._carrier.remove(deleting, damaged, aside)
            target = await configured.place.backend(self._world)
            await self._carrier.adopt(
                await origin.place.backend(self._world),
                target,
                await self._world.secrets.read(origin.password),
                await self._world.secrets.read(configured.password),
            )
            keys = await self._carrier.key_files(target)
            foreign = (await self._catalogue.stores())[store].foreign_keys
            await self._journal.append(
                KeysListed(store, tuple(sorted(keys)), tuple(each for each in foreign if each in keys))
            )
            return [f"a new key for the master key of store {twin}"]
        return []


def _to_open_with(hidden: Mapping[str, str]) -> dict[str, str]:
    """Of what is hidden in a repository that which opens it."""
    return {path: why for path, why in hidden.items() if path == CONFIG or path.startswith(f"{KEYS}/")}
