"""What is known of the policies' WAL, for whoever asks: how old it is where, and what needs a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from drd.core.catalogue import PolicyRecord
from drd.core.points import RecoveryPoint
from drd.core.postgres.gaps import WalState
from drd.core.postgres.groups import ShippedGroup
from drd.core.postgres.reached import rolled_forward
from drd.core.units import format_duration
from drd.daemon.house import House
from drd.engines.receiver_state import ReceiverState
from drd.ports.configuration import origin_of_wal, wal_store
from drd.ports.control import StoredWal, WalStatus

LATE: Final = timedelta(hours=1)
"""WAL in a store that is older needs a person, unless the policy may lose more."""


async def newest_points(house: House) -> dict[tuple[str, str], RecoveryPoint]:
    """(policy, store) → the newest good point there, of the moment to which the WAL beside it leads."""
    newest = await house.catalogue.newest_points()
    for name in _names(house):
        shipped = await house.catalogue.wal(name)
        for store in house.in_force().policies[name].policy.backup.to:
            if (point := newest.get((name, store))) is not None:
                beside = [each for each in shipped if each.store == wal_store(store)]
                newest[name, store] = rolled_forward(point, beside)
    return newest


async def wal_status(house: House) -> tuple[WalStatus, ...]:
    """How the WAL of each policy stands that is to be received."""
    records = await house.catalogue.policies()
    return tuple([await _status(house, name, records.get(name)) for name in _names(house)])


async def _status(house: House, name: str, record: PolicyRecord | None) -> WalStatus:
    protected, line = house.in_force().policies[name], house.archive.line(name)
    shipped = await house.catalogue.wal(name)
    stores = tuple(_stored(store, shipped, line) for store in protected.wal_stores)
    return WalStatus(
        policy=name,
        node=line.node,
        is_received=not line.why_not,
        received=None if line.safe is None else line.safe.moment,
        received_lsn=None if line.flushed is None else line.flushed.value,
        behind_bytes=line.behind_bytes,
        stores=stores,
        spool_bytes=line.spool_bytes,
        is_full=line.is_full,
        retained_bytes=None if line.held is None else line.held.retained_bytes,
        safe_bytes=None if line.held is None else line.held.safe_bytes,
        restarts=line.restarts,
        lost=_lost(line, record),
        needs={**_needs(house, name, line, record), **dict(_late(house, name, stores, record))},
    )


def _stored(store: str, shipped: Iterable[ShippedGroup], line: ReceiverState) -> StoredWal:
    moments = [each.group.moment for each in shipped if each.store == store and each.group.moment is not None]
    states: Counter[WalState] = Counter()
    for piece in line.way.get(store, ()):
        states[piece.state] += piece.count
    return StoredWal(
        store=origin_of_wal(store),
        moment=max(moments, default=None),
        segments={state.value: states[state] for state in WalState},
    )


def _lost(line: ReceiverState, record: PolicyRecord | None) -> tuple[str, ...]:
    """The stretches that are nowhere: as they were seen last, or as the journal knows them."""
    if line.way:
        return tuple(map(str, line.lost))
    known = record.lost_wal if record is not None else ()
    return tuple(gap.first if gap.first == gap.last else f"{gap.first} to {gap.last}" for gap in known)


def _needs(house: House, name: str, line: ReceiverState, record: PolicyRecord | None) -> dict[str, str]:
    """What a person should know, one sentence each → what to type."""
    found: dict[str, str] = {}
    if house.archive.is_received_here(name) and line.why_not:
        found[f"no WAL of {name} is received: {line.why_not}"] = line.why_hint
    if line.burden:
        found[f"WAL of {name}: {line.burden}"] = line.held.hint if line.held is not None else ""
    wanted = record.new_base if record is not None else None
    if wanted is not None and not house.dispatch.is_running(name):
        lost = ", and no later moment can be restored until there is one" if line.lost else ""
        found[f"{name} needs a new base backup, because {wanted.message}{lost}"] = (
            f"drd makes it by itself; to see what it waits for: drd explain {name}"
        )
    return found


def _late(
    house: House, name: str, stores: Iterable[StoredWal], record: PolicyRecord | None
) -> Iterator[tuple[str, str]]:
    """The stores whose WAL is older than it may be; what was never there is as old as the policy."""
    now, rpo = house.clock.now(), house.in_force().policies[name].policy.objectives.rpo
    for stored in stores:
        since = stored.moment or (record.created if record is not None else now)
        late = now - since
        if late > max(LATE, rpo or LATE):
            age = format_duration(timedelta(minutes=late // timedelta(minutes=1)))
            is_old = f"WAL of {name} in {stored.store} is {age} old"
            none = f"no WAL of {name} has come to {stored.store} in {age}"
            yield is_old if stored.moment else none, f"to see what it waits for: drd explain {name}"


def _names(house: House) -> list[str]:
    policies = house.in_force().policies
    return [name for name, each in sorted(policies.items()) if each.wal_origin is not None]
