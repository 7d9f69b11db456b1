"""Opening repositories: the configuration's store, its secrets read now, behind the restic client."""

from __future__ import annotations

import asyncio
import errno
from functools import partial

from drd.clients.restic import Access, Restic, ResticRepository
from drd.core.errors import PermanentError, StateFull
from drd.ports.host import Host
from drd.ports.repository import Repository
from drd.ports.store import ConfiguredStore
from drd.ports.world import World

CACHE_FLOOR_BYTES = 512 * 2**20
"""With less room than this on the disk of the caches they do not grow: the journal needs it more."""


class ResticRepositories:
    """Implements `drd.ports.repository.Repositories` with one restic program."""

    def __init__(self, restic: Restic, world: World, host: Host) -> None:
        self._restic = restic
        self._world = world
        self._host = host

    async def open(self, store: ConfiguredStore) -> Repository:
        """A repository with its secrets read now; nothing is asked of the store yet.

        Raises `StateFull` or `PermanentError` when there can be no folder for its cache.
        """
        location = await store.place.location(self._world)
        password = await self._world.secrets.read(store.password)
        await asyncio.to_thread(_make_folder, store)
        keeps_cache = await self._host.free_bytes(store.cache) >= CACHE_FLOOR_BYTES
        others = store.place.deleting()
        deleting = None if others is store.place else partial(others.location, self._world)
        access = Access(location, password, store.cache, keeps_cache, deleting)
        return ResticRepository(self._restic, access, self._world.runner, self._world.clock, store.limits)


def _make_folder(store: ConfiguredStore) -> None:
    try:
        store.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateFull(f"the disk that holds {store.cache} is full", f"make room: df -h {store.cache}") from error
        raise PermanentError(
            f"{store.cache} cannot be made: {error.strerror}", f"ls -ld {store.cache.parent}, as the daemon's user"
        ) from error
