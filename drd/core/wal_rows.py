"""Rows of groups of WAL as values."""

from __future__ import annotations

from collections.abc import Iterable

from drd.core.encoding import moment
from drd.core.postgres.groups import Group, ShippedGroup, read_switches
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment
from drd.core.projections.stores import SNAPSHOTS
from drd.core.rows import Key, StoreRow, WalRow


def wal_key(system_identifier: str, group: str) -> str:
    """What a group is called in rows: another cluster's WAL has the same names."""
    return f"{system_identifier}/{group}"


def shipped_groups(rows: Iterable[tuple[Key, WalRow]]) -> tuple[ShippedGroup, ...]:
    """The groups in these rows, those of each cluster in the order of their WAL."""
    found = [_shipped(key, row) for key, row in rows]
    return tuple(sorted(found, key=lambda each: (each.group.system_identifier, each.group.first, each.store)))


def bad_snapshots(store: StoreRow | None) -> frozenset[str]:
    """The ids of the snapshots of a store that are damaged or gone."""
    damage = store["damage"] if store is not None else None
    files = damage["files"] if damage is not None else ()
    return frozenset(each.removeprefix(SNAPSHOTS) for each in files if each.startswith(SNAPSHOTS))


def _shipped(key: Key, row: WalRow) -> ShippedGroup:
    policy, store, group = map(str, key)
    first = Segment.parse(group.removeprefix(wal_key(row["system_identifier"], "")), row["segment_bytes"])
    if first is None:
        raise ValueError(f"{group!r} is no group of WAL")
    known = None if row["moment"] is None else moment(row["moment"])
    return ShippedGroup(
        policy=policy,
        store=store,
        group=Group(row["system_identifier"], first, Lsn.parse(row["through"]), known, read_switches(row["switches"])),
        snapshot_id=row["snapshot_id"],
        superseded=tuple(row["superseded"]),
        marks=tuple(Mark(moment(at), first.timeline, Lsn.parse(lsn)) for at, lsn in row["marks"]),
        shipped=moment(row["shipped"]),
    )
