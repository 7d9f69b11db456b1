"""What a further store lacks of what the policies want there, and what is not to be carried there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from typing import TypeAlias

from drd.core.points import RecoveryPoint
from drd.core.postgres.groups import ShippedGroup
from drd.engines.wal_points import lacking, superseded, unwanted
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected, is_wal_store
from drd.ports.journal import Catalogue

Lacking: TypeAlias = Mapping[str, tuple[RecoveryPoint, ...]]
"""Policy → the recovery points that a store lacks."""


class Missing:
    """Looks up what stands elsewhere and not in a store."""

    def __init__(self, configuration: Callable[[], Configuration], catalogue: Catalogue, clock: Clock) -> None:
        self._configuration = configuration
        self._catalogue = catalogue
        self._clock = clock

    async def lacking(self, configuration: Configuration, store: str, asked: Set[str | None]) -> Lacking:
        """Of the policies that are asked for (None: of all) the points that stand whole in another store, but not here.

        In a store of WAL its groups stand for points.
        """
        names = [name for name in configuration.policies if name in asked or None in asked]
        missing: dict[str, tuple[RecoveryPoint, ...]] = {}
        for name in names:
            protected = configuration.policies[name]
            if is_wal_store(store):
                if store in protected.wal_stores and (wal := await self._lacking_wal(configuration, store, protected)):
                    missing[name] = wal
                continue
            to = protected.policy.backup.to
            if store in to and len(to) > 1:
                uncopied = await self._catalogue.uncopied(name, store)
                points = tuple(point for point in uncopied if set(point.stores) & set(configuration.stores))
                if points:
                    missing[name] = points
        return missing

    async def withheld(self, store: str) -> frozenset[str]:
        """Ids of snapshots of other stores that are not carried to this one."""
        if not is_wal_store(store):
            return await self._catalogue.withheld(store)
        found: frozenset[str] = frozenset()
        for name, protected in self._configuration().policies.items():
            groups = await self._catalogue.wal(name)
            found |= superseded(groups, store)
            if store in protected.wal_stores:
                found |= await self._unwanted_wal(store, protected, groups)
        return found

    async def _lacking_wal(
        self, configuration: Configuration, store: str, protected: Protected
    ) -> tuple[RecoveryPoint, ...]:
        groups = await self._catalogue.wal(protected.policy.name)
        found = lacking(groups, store, configuration.stores.keys())
        if not found:
            return ()
        not_wanted = await self._unwanted_wal(store, protected, groups)
        return tuple(point for point in found if point.run not in not_wanted)

    async def _unwanted_wal(self, store: str, protected: Protected, groups: tuple[ShippedGroup, ...]) -> frozenset[str]:
        points = await self._catalogue.points(protected.policy.name)
        any_moment = protected.policy.backup.keep.any_moment
        # Much to work out after many promotions, and the loop has to watch the primary meanwhile.
        return await asyncio.to_thread(unwanted, groups, points, store, any_moment, self._clock.now())
