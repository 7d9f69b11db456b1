"""Packs on their way to further stores while the backup that writes them still runs.

What is far away is then hardly older than what is here, also behind a first backup of two days, and two stores take
little longer than one. Only the files of mirrors can go so; what is missing then, the round behind the run brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drd.core.errors import DrdError
from drd.engines.stores import Stores
from drd.ports.configuration import Configuration
from drd.ports.store import Carrier
from drd.ports.world import World

AFTER_SECONDS = 3.0
"""A shorter run is not worth a process more: the round behind it sends its few packs."""


class SendingAhead:
    """Knows which stores are written to, and sends from there while nobody else fills the mirror."""

    def __init__(
        self, configuration: Callable[[], Configuration], stores: Stores, carrier: Carrier, world: World
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._carrier = carrier
        self._world = world
        self._saving: dict[str, set[str]] = {}
        """Mirror → the policies of which a run saves into the store before it."""
        self._begun: dict[str, asyncio.Event] = {}

    def run_started(self, policy: str) -> None:
        """A run began to save."""
        protected = self._configuration().policies.get(policy)
        if protected is None:
            return
        first, *further = protected.policy.backup.to
        for store in further:
            if self._stores.origin_of(store) == first and self._stores.is_mirror(store):
                self._saving.setdefault(store, set()).add(policy)
                self._event(store).set()

    def run_ended(self, policy: str) -> None:
        """It ended, however."""
        for store, policies in self._saving.items():
            policies.discard(policy)
            if not policies:
                self._event(store).clear()

    async def serve(self, store: str) -> None:
        """Send packs to `store` whenever they may come up, until cancelled, which is when a round begins."""
        begun = self._event(store)
        while True:
            await begun.wait()
            await self._world.clock.sleep(AFTER_SECONDS)
            if begun.is_set():
                await self._send(store)
                begun.clear()  # until another run begins

    async def _send(self, store: str) -> None:
        try:
            source = self._stores.origin_of(store)
            if source is None or not self._stores.is_mirror(store):
                return
            await self._stores.open(store, may_make=True)
            target, origin = self._stores.configured(store), self._stores.configured(source)
            await self._carrier.send_ahead(
                await origin.place.backend(self._world),
                await target.place.backend(self._world),
                origin.limits.rate_into(target.limits),
            )
        except DrdError:
            return  # the round behind the run meets the same, and tells of it

    def _event(self, store: str) -> asyncio.Event:
        return self._begun.setdefault(store, asyncio.Event())
