"""The moments to which a policy's database can be brought back, out of each store by itself."""

from __future__ import annotations

from dataclasses import replace

from drd.core.catalogue import damaged_stores
from drd.core.points import RecoveryPoint
from drd.core.postgres.coverage import spans
from drd.core.postgres.groups import systems
from drd.core.postgres.kept import kept_of
from drd.core.postgres.recovery import Kept
from drd.daemon.house import House
from drd.ports.configuration import wal_store
from drd.ports.control import CoveredRange


async def covered_ranges(house: House, policy: str) -> tuple[CoveredRange, ...]:
    """By store, of each cluster, oldest first."""
    points, shipped = await house.catalogue.points(policy), await house.catalogue.wal(policy)
    damaged = damaged_stores(await house.catalogue.stores())
    found: list[CoveredRange] = []
    for store in dict.fromkeys(copy.store for point in points for copy in point.copies):
        there = [each for each in shipped if each.store == wal_store(store)]
        here = [part for point in points if (part := _only_in(point, store)) is not None]
        is_damaged = not damaged.isdisjoint((store, wal_store(store)))
        for system_identifier in systems(there):
            kept = kept_of(here, there, system_identifier)
            found += () if kept is None else _ranges(kept, store, system_identifier, is_damaged=is_damaged)
    return tuple(found)


def _ranges(kept: Kept, store: str, system_identifier: str, *, is_damaged: bool) -> list[CoveredRange]:
    return [
        CoveredRange(
            store=store,
            system_identifier=system_identifier,
            timeline=span.covered.timeline,
            first=span.covered.first,
            last=span.covered.last,
            gap=span.gap,
            is_damaged=is_damaged,
        )
        for span in spans(kept)
    ]


def _only_in(point: RecoveryPoint, store: str) -> RecoveryPoint | None:
    copies = tuple(copy for copy in point.copies if copy.store == store)
    return replace(point, copies=copies) if store in point.stores else None
