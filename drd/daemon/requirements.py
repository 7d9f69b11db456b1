"""What is known of the stores of a policy, for its requirements: from the journal and the last look at each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from drd.core.catalogue import StoreRecord
from drd.core.points import RecoveryPoint
from drd.core.policy import Outcome, Policy
from drd.core.requirements import Clause, Place, hold_against, rpo_in
from drd.daemon.house import House
from drd.daemon.wal import newest_points
from drd.ports.store import ConfiguredStore


async def clauses(house: House, policy: str | None = None) -> dict[str, tuple[Clause, ...]]:
    """How every clause of a policy stands, or of every policy: of a thousand that is work for a thread."""
    newest = await newest_points(house)
    stores = await house.catalogue.stores()
    verified = await last_verified(house)
    now = house.clock.now()
    known = [
        (protected.policy, places(house, protected.policy, newest, stores, verified))
        for name, protected in house.in_force().policies.items()
        if policy in (None, name)
    ]
    return await asyncio.to_thread(
        lambda: {each.name: hold_against(each.backup.require, there, now) for each, there in known}
    )


async def last_verified(house: House) -> dict[tuple[str, str], datetime]:
    """(policy, store) → when a restore read a whole point from there last; asked only where a policy wants to know."""
    wanted = {
        name
        for name, each in house.in_force().policies.items()
        if each.policy.backup.require.verified_within is not None
    }
    if not wanted:
        return {}
    found: dict[tuple[str, str], datetime] = {}
    for restore in await house.catalogue.restores():
        is_whole = restore.whole and restore.outcome is Outcome.SUCCEEDED
        if restore.policy in wanted and is_whole and restore.finished is not None:
            key = (restore.policy, restore.store)
            found[key] = max(restore.finished, found.get(key, restore.finished))
    return found


def places(
    house: House,
    policy: Policy,
    newest: Mapping[tuple[str, str], RecoveryPoint],
    stores: Mapping[str, StoreRecord],
    verified: Mapping[tuple[str, str], datetime],
) -> tuple[Place, ...]:
    """The stores that a policy's points go to; `newest` and `stores` are the catalogue's."""
    return tuple(
        _place(
            house,
            policy,
            name,
            newest.get((policy.name, name)),
            stores.get(name),
            verified.get((policy.name, name)),
        )
        for name in policy.backup.to
    )


def _place(
    house: House,
    policy: Policy,
    name: str,
    point: RecoveryPoint | None,
    record: StoreRecord | None,
    verified: datetime | None,
) -> Place:
    store = house.stores.configured(name)
    is_offsite = store.site != house.in_force().site
    return Place(
        store=name,
        newest=_moment(point),
        rpo=rpo_in(policy, is_offsite=is_offsite, ships_wal=_ships_wal(house, policy.name)),
        is_offsite=is_offsite,
        distance_metres=store.distance_metres,
        is_immutable=store.immutable_days is not None,
        broken_promise=broken_promise(house, store, record),
        doubt="is damaged: its last check found it" if record is not None and record.is_damaged else "",
        medium=store.place.kind,
        known_since=record.known_since if record is not None else None,
        verified=verified,
        unread_since=record.unread_since if record is not None else None,
    )


def _ships_wal(house: House, name: str) -> bool:
    protected = house.in_force().policies.get(name)
    return protected is not None and bool(protected.wal_stores)


def _moment(point: RecoveryPoint | None) -> datetime | None:
    return point.moment if point is not None else None


def broken_promise(house: House, store: ConfiguredStore, record: StoreRecord | None) -> str:
    """What of a store's immutability was found not to hold, by the last try to delete there, or by the last look.

    A store that was not seen yet, or does not answer, is believed: how old its copies are tells soon enough.
    """
    if store.immutable_days is not None and record is not None and record.is_protected is not None:
        declared = f"is declared immutable for {store.immutable_days} days, but {record.protection}"
        return "" if record.is_protected else declared
    look = house.stores.look_of(store.name)
    return store.broken_promise(look) if look is not None and look.reachable else ""
