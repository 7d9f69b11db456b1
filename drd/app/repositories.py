"""Opening repositories: the configuration's store, its secrets read now, behind the restic client."""

from __future__ import annotations

import asyncio

from drd.clients.restic import Restic, ResticRepository
from drd.ports.repository import Repository
from drd.ports.store import ConfiguredStore
from drd.ports.world import World


class ResticRepositories:
    """Implements `drd.ports.repository.Repositories` with one restic program."""

    def __init__(self, restic: Restic, world: World) -> None:
        self._restic = restic
        self._world = world

    async def open(self, store: ConfiguredStore) -> Repository:
        """A repository with its secrets read now; nothing is asked of the store yet."""
        location = await store.place.location(self._world)
        password = await self._world.secrets.read(store.password)
        await asyncio.to_thread(store.cache.mkdir, parents=True, exist_ok=True, mode=0o700)
        return ResticRepository(
            self._restic, location, password, store.cache, self._world.runner, self._world.clock, store.limits
        )
