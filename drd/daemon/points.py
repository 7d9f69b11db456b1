"""The recovery points of a policy as people are shown them, with why retention keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from drd.core.catalogue import StoreRecord, damaged_stores
from drd.core.errors import Busy, DrdError, RepositoryMissing, StoreAway
from drd.core.points import RecoveryPoint
from drd.core.postgres.base import BaseRecord
from drd.core.retention import Retention, Verdict
from drd.daemon.house import House
from drd.daemon.names import points_of
from drd.ports.control import PointStatus

NO_ANSWER = (StoreAway, RepositoryMissing)
"""A store of which nothing can be told now; that hides nothing of the others."""
Reasons: TypeAlias = dict[tuple[str, str], tuple[str, ...]]
"""(store, snapshot id) → why it is kept."""


async def point_statuses(house: House, policy: str, why: bool) -> tuple[PointStatus, ...]:
    """The points, newest first; with `why` the stores are asked for what retention would keep, and why."""
    points = await points_of(house, policy)
    reasons = await _reasons(house, policy, points) if why else {}
    stores = await house.catalogue.stores()
    newest_first = sorted(points, key=lambda each: each.order, reverse=True)
    return tuple(_point(point, reasons, stores) for point in newest_first)


async def planned(house: House, policy: str, store: str, passed: tuple[type[DrdError], ...] = NO_ANSWER) -> Retention:
    """What retention would do in a store; after an error that is `passed` over, nothing, and why."""
    try:
        return await house.retain.plan(policy, store)
    except passed as error:
        return Retention(
            tuple(
                Verdict(copy.snapshot_id, point.moment, False, (error.message,))
                for point in await house.catalogue.points(policy)
                for copy in point.copies
                if copy.store == store
            )
        )


async def _reasons(house: House, policy: str, points: tuple[RecoveryPoint, ...]) -> Reasons:
    """(store, snapshot id) → why retention keeps it; retention lets what is no policy any more alone."""
    protected = house.in_force().policies.get(policy)
    if protected is None:
        why = ("no policy asks for it any more, and nothing forgets it",)
        return {(copy.store, copy.snapshot_id): why for point in points for copy in point.copies}
    plans = {store: await planned(house, policy, store, (*NO_ANSWER, Busy)) for store in protected.policy.backup.to}
    return {(store, each.snapshot_id): each.reasons for store, plan in plans.items() for each in plan.verdicts}


def _point(point: RecoveryPoint, reasons: Reasons, stores: Mapping[str, StoreRecord]) -> PointStatus:
    damaged = damaged_stores(stores)
    return PointStatus(
        run=point.run,
        mode=point.mode,
        moment=point.moment,
        outcome=point.outcome,
        total_bytes=point.total_bytes,
        total_files=point.total_files,
        stores=tuple(store for store in point.stores if store not in damaged),
        damaged_in=tuple(store for store in point.stores if store in damaged),
        proven_in=tuple(store for store in point.proven_in if store not in damaged),
        notes=(
            *(str(base) for facts in point.facts.values() if (base := BaseRecord.of_tags(facts)) is not None),
            *(f"part {part}: WAL leads here from the base backup before" for part in point.reached_by_wal),
            *(f"lost in {store}: {path}" for store in point.stores for path in _lost(point, stores.get(store))),
        ),
        why_kept={
            copy.store: reasons[copy.store, copy.snapshot_id]
            for copy in point.copies
            if (copy.store, copy.snapshot_id) in reasons
        },
    )


def _lost(point: RecoveryPoint, record: StoreRecord | None) -> tuple[str, ...]:
    return record.damage.lost_of(point) if record is not None and record.damage is not None else ()
