"""What Prometheus is told of stores."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from drd.core.catalogue import StoreRecord
from drd.ports.store import ConfiguredStore
from drd.reports.exposition import Family, gauge, seconds


def families_of_stores(
    configured: Mapping[str, ConfiguredStore],
    known: Mapping[str, StoreRecord],
    away: Collection[str],
    free_bytes: Mapping[str, int],
) -> Iterator[Family]:
    """The series of every store."""
    stores = [(name, store, (("store", name),)) for name, store in configured.items()]
    yield gauge(
        "drd_store_up",
        "1 if the store answers.",
        [(labels, float(name not in away)) for name, _, labels in stores],
    )
    yield gauge(
        "drd_store_free_bytes",
        "Room in the store, where it can be known.",
        [(labels, float(free_bytes[name])) for name, _, labels in stores if name in free_bytes],
    )
    yield gauge(
        "drd_store_distance_meters",
        "How far away the store is, along the great circle.",
        [(labels, store.distance_metres) for _, store, labels in stores],
    )
    records = [(labels, known.get(name)) for name, _, labels in stores]
    yield gauge(
        "drd_store_last_check_timestamp_seconds",
        "When the repository was last checked; 0 if never.",
        [(labels, seconds(record.last_checked if record else None)) for labels, record in records],
    )
    yield gauge(
        "drd_store_unread_since_timestamp_seconds",
        "All that the store holds was read after this moment; 0 while nothing is known of it.",
        [(labels, seconds(record.unread_since if record else None)) for labels, record in records],
    )
    yield gauge(
        "drd_store_damaged",
        "1 if the last check of the repository found damage.",
        [(labels, float(record is not None and record.is_damaged)) for labels, record in records],
    )
    damages = [(labels, record.damage if record is not None else None) for labels, record in records]
    yield gauge(
        "drd_store_damage_unhealed",
        "1 if drd could not heal all the damage that was found there.",
        [(labels, float(damage is not None and bool(damage.left))) for labels, damage in damages],
    )
    yield gauge(
        "drd_store_lost_files",
        "Files and folders that recovery points in the store cannot give back any more.",
        [(labels, float(damage.lost_count if damage is not None else 0)) for labels, damage in damages],
    )
    yield Family(
        "drd_store_healed_total",
        "counter",
        "How often damage in the store was healed.",
        tuple((labels, float(record.healed if record is not None else 0)) for labels, record in records),
    )
    yield gauge(
        "drd_store_immutable",
        "Of a store that is declared immutable: 1 unless it let something be deleted when that was tried last.",
        [
            (labels, float(record is None or record.is_protected is not False))
            for (_, store, labels), (_, record) in zip(stores, records, strict=True)
            if store.immutable_days is not None
        ],
    )
    yield gauge(
        "drd_store_deletion_risks",
        "How many ways are known by which somebody could delete there all the same; drd explain names them.",
        [(labels, float(len(record.risks) if record else 0)) for labels, record in records],
    )
    yield gauge(
        "drd_store_foreign_keys",
        "Keys of the repository that drd did not add.",
        [(labels, float(len(record.foreign_keys) if record else 0)) for labels, record in records],
    )
    yield gauge(
        "drd_store_held",
        "1 if nothing is forgotten there until a person has looked.",
        [(labels, float(record is not None and record.hold is not None)) for labels, record in records],
    )
