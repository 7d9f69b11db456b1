"""What is known of the stores of a policy, for its requirements: from the journal and the last look at each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from drd.core.catalogue import RecoveryPoint, StoreRecord
from drd.core.policy import Policy
from drd.core.requirements import Clause, Place, hold_against, rpo_in
from drd.daemon.house import House
from drd.daemon.wal import newest_points
from drd.ports.store import ConfiguredStore


async def clauses(house: House, policy: str | None = None) -> dict[str, tuple[Clause, ...]]:
    """How every clause of a policy stands, or of every policy: of a thousand that is work for a thread."""
    newest = await newest_points(house)
    stores = await house.catalogue.stores()
    now = house.clock.now()
    known = [
        (protected.policy, places(house, protected.policy, newest, stores))
        for name, protected in house.in_force().policies.items()
        if policy in (None, name)
    ]
    return await asyncio.to_thread(
        lambda: {each.name: hold_against(each.backup.require, there, now) for each, there in known}
    )


def places(
    house: House,
    policy: Policy,
    newest: Mapping[tuple[str, str], RecoveryPoint],
    stores: Mapping[str, StoreRecord],
) -> tuple[Place, ...]:
    """The stores that a policy's points go to; `newest` and `stores` are the catalogue's."""
    return tuple(
        _place(house, policy, name, newest.get((policy.name, name)), stores.get(name)) for name in policy.backup.to
    )


def _place(house: House, policy: Policy, name: str, point: RecoveryPoint | None, record: StoreRecord | None) -> Place:
    store = house.stores.configured(name)
    is_offsite = store.site != house.in_force().site
    return Place(
        store=name,
        newest=_moment(point),
        rpo=rpo_in(policy, is_offsite=is_offsite, ships_wal=_ships_wal(house, policy.name)),
        is_offsite=is_offsite,
        distance_metres=store.distance_metres,
        is_immutable=store.immutable_days is not None,
        broken_promise=_broken_promise(house, store),
        doubt="is damaged: its last check found it" if record is not None and record.is_damaged else "",
    )


def _ships_wal(house: House, name: str) -> bool:
    protected = house.in_force().policies.get(name)
    return protected is not None and bool(protected.wal_stores)


def _moment(point: RecoveryPoint | None) -> datetime | None:
    return point.moment if point is not None else None


def _broken_promise(house: House, store: ConfiguredStore) -> str:
    """A store that was not seen yet, or does not answer, is believed: how old its copies are tells soon enough."""
    look = house.stores.look_of(store.name)
    return store.broken_promise(look) if look is not None and look.reachable else ""
