"""Opening stores for work: looking at them first, making them on first use, noticing when they go and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from drd.core.errors import PermanentError, RepositoryMissing, StoreAway
from drd.core.events import HoldPlaced, StoreCameBack, StoreCreated, StoreWentAway
from drd.engines.outbox import Outbox
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, is_wal_store
from drd.ports.journal import Catalogue, Journal
from drd.ports.look import Look
from drd.ports.repository import Repositories, Repository
from drd.ports.secrets import Secrets
from drd.ports.store import Carrier, ConfiguredStore
from drd.ports.world import World

LOOK_LASTS_SECONDS = 600.0
"""How long a good look at a remote store is believed; a failure of the work itself ends it at once."""
CONFIRMED_SECONDS = 5.0
"""How old a look may be by which a store passes for the same as ever, when work in it begins."""


@dataclass(frozen=True, slots=True)
class _Seen:
    store: ConfiguredStore
    """As it was configured then; of another place of the same name the look says nothing."""
    look: Look
    at: float


class Stores:
    """The stores of the configuration, ready to be worked in."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        repositories: Repositories,
        carrier: Carrier,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
    ) -> None:
        self._configuration = configuration
        self._repositories = repositories
        self._carrier = carrier
        self._journal = journal
        self._catalogue = catalogue
        self._secrets: Secrets = world.secrets
        self._clock: Clock = world.clock
        self._world = world
        self._identities: dict[str, str] = {}
        self._away: dict[str, str] = {}
        self._seen: dict[str, _Seen] = {}
        self._doubted: set[str] = set()
        self._looking: dict[str, asyncio.Lock] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self.outbox = Outbox(journal)

    async def load(self) -> None:
        """Take over what the journal knows: which repository each store held, and which stores were away."""
        for name, record in (await self._catalogue.stores()).items():
            if record.repository_id:
                self._identities[name] = record.repository_id
            if record.away_since:
                self._away[name] = "away since before this start"

    def configured(self, name: str) -> ConfiguredStore:
        """A store of the configuration in force. Raises `PermanentError` when it is not there any more."""
        stores = self._configuration().stores
        if name not in stores:
            raise PermanentError(f"there is no store {name} in the configuration", f"add stores: {name}: to drd.yaml")
        return stores[name]

    def is_configured(self, name: str) -> bool:
        """Whether the configuration in force has this store."""
        return name in self._configuration().stores

    def origin_of(self, name: str) -> str | None:
        """The store that this one is filled from, or None when sources are read straight into it."""
        return origin_of(self._configuration(), name)

    def is_mirror(self, name: str) -> bool:
        """Whether a store holds the same files as the one that it is filled from."""
        return self.origin_of(name) is not None and not self.configured(name).independent

    def look_of(self, name: str) -> Look | None:
        """The last look at a store as it is configured now."""
        seen = self._seen.get(name)
        return seen.look if seen and seen.store == self._configuration().stores.get(name) else None

    def why_away(self, name: str) -> str | None:
        """Why a store is away, or None when it is not."""
        return self._away.get(name)

    async def open(self, name: str, may_make: bool = False) -> Repository:
        """A repository that is reachable and exists. Raises `StoreAway` or a `PermanentError`.

        With `may_make` it is made on first use. Whoever only reads must not: an empty repository at a mistyped place
        looks like a store that never held anything.
        """
        store = self.configured(name)
        await self.look(name)
        repository = await self._repositories.open(store)
        if name not in self._identities:
            async with self._making.setdefault(name, asyncio.Lock()):
                if name not in self._identities:
                    self._identities[name] = await self._find_or_make(store, repository, may_make)
        return repository

    async def look(self, name: str, lasts_seconds: float = LOOK_LASTS_SECONDS) -> Look:
        """Look at a store, unless that was done less than `lasts_seconds` ago.

        Raises `StoreAway`, and journals going and coming back.

        Those who ask while somebody looks share that look: two hundred runs must not wait for two hundred time-outs.
        """
        asked = self._clock.monotonic()
        async with self._looking.setdefault(name, asyncio.Lock()):
            seen, store = self._seen.get(name), self.configured(name)
            if seen is None or seen.store != store or not self._is_believed(name, seen, asked, lasts_seconds):
                look = await store.place.look(self._world)
                seen = self._seen[name] = _Seen(store, look, self._clock.monotonic())
                if look.reachable:
                    await self._came_back(name)
                self._doubted.discard(name)
        if not seen.look.reachable:
            await self.went_away(name, seen.look.message)
            raise StoreAway(f"store {name} is away: {seen.look.message}", seen.look.hint)
        return seen.look

    async def went_away(self, name: str, message: str) -> None:
        """Note that a store does not answer: journaled once, until it comes back; a full disk only puts that off."""
        self._doubted.add(name)
        if name not in self._away:
            self._away[name] = message
            await self.outbox.record(StoreWentAway(name, message))

    async def is_away(self, name: str) -> bool:
        """Look afresh: work that failed between two stores does not tell which of them was away."""
        try:
            await self.look(name, lasts_seconds=0)
        except StoreAway:
            return True
        return False

    async def confirm_identity(self, name: str, repository: Repository) -> None:
        """Hold a store against what the journal knows of it, at the beginning of each piece of work there.

        Another or an emptied repository must neither be written to nor be believed. Raises `StoreAway`, and a
        `PermanentError` after the hold is journaled.
        """
        look = await self.look(name, lasts_seconds=CONFIRMED_SECONDS)
        known = self._identities.get(name)
        try:
            found = await repository.identity(look.config)
        except RepositoryMissing as missing:
            raise await self._not_the_same(name, known, "holds no repository now") from missing
        if known is not None and found != known:
            raise await self._not_the_same(name, known, f"holds repository {found[:8]} now")

    async def accept(self, name: str) -> str:
        """Take what a store holds now for what it shall hold: a person's word that the old repository is gone."""
        store = self.configured(name)
        await self.look(name, lasts_seconds=0)
        identity = await self._find_or_make(store, await self._repositories.open(store), may_make=True)
        self._identities[name] = identity
        return identity

    def _is_believed(self, name: str, seen: _Seen, asked: float, lasts_seconds: float) -> bool:
        if name in self._doubted or not seen.look.reachable:
            return seen.at > asked
        return seen.at > asked - lasts_seconds

    async def _came_back(self, name: str) -> None:
        if self._away.pop(name, None) is not None:
            await self.outbox.record(StoreCameBack(name))

    async def _not_the_same(self, name: str, known: str | None, what: str) -> PermanentError:
        reason = f"store {name} held repository {(known or '')[:8]} and {what}"
        record = (await self._catalogue.stores()).get(name)
        if record is None or record.hold is None:
            await self._journal.append(HoldPlaced(name, reason, is_identity=True))
        return PermanentError(
            reason, f"mount or reconnect the right place; if the old one is gone for good, type: drd accept {name}"
        )

    async def _find_or_make(self, store: ConfiguredStore, repository: Repository, may_make: bool) -> str:
        try:
            identity = await repository.identity()
            mirror_of = None
        except RepositoryMissing:
            if not may_make:
                raise
            identity, mirror_of = await self._make(store, repository)
        await self._journal.append(StoreCreated(store.name, identity, mirror_of))
        return identity

    async def _clear_unfinished(self, store: ConfiguredStore) -> None:
        """Take away what an earlier making left; who may delete is only asked for where there is something."""
        if await self._carrier.key_files(await store.place.backend(self._world)):
            await self._carrier.clear_unfinished(await store.place.deleting().backend(self._world))

    async def _make(self, store: ConfiguredStore, repository: Repository) -> tuple[str, str | None]:
        origin_name = self.origin_of(store.name)
        if origin_name is None or store.independent:
            await self._clear_unfinished(store)
        if origin_name is None:
            return await repository.create(), None
        origin = self.configured(origin_name)
        origin_repository = await self.open(origin_name, may_make=True)
        if store.independent:
            return await repository.create(like=origin_repository), None
        await self._carrier.adopt(
            await origin.place.backend(self._world),
            await store.place.backend(self._world),
            await self._secrets.read(origin.password),
            await self._secrets.read(store.password),
        )
        return await repository.identity(), origin_name


def origin_of(configuration: Configuration, name: str) -> str | None:
    """The first store of the policies that list `name` further on; None when every one lists it first, or none does.

    Where policies name two stores in opposite orders, the one that stands first under `stores:` is nobody's mirror.
    """
    origin = _listed_behind(configuration, name)
    above = origin
    seen: set[str] = set()
    while above is not None and above not in seen:
        seen.add(above)
        if above == name:
            order = list(configuration.stores)
            return None if name == min(seen, key=order.index) else origin
        above = _listed_behind(configuration, above)
    return origin


def _listed_behind(configuration: Configuration, name: str) -> str | None:
    for protected in configuration.policies.values():
        to = protected.wal_stores if is_wal_store(name) else protected.policy.backup.to
        if name in to[1:]:
            return to[0]
    return None
