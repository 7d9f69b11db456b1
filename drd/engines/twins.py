"""Stores that hold the same repository: each file in one of them is the file of that name in every other."""

from __future__ import annotations

from collections.abc import Mapping

from drd.core.catalogue import StoreRecord
from drd.engines.stores import Stores


def twins_of(store: str, stores: Stores, records: Mapping[str, StoreRecord]) -> list[str]:
    """The configured stores that hold the same repository as `store`, sound ones first, then the nearest."""
    own = records.get(store)
    if own is None or own.repository_id is None:
        return []
    twins = [
        name
        for name, record in records.items()
        if name != store and record.repository_id == own.repository_id and stores.is_configured(name)
    ]
    return sorted(twins, key=lambda each: (records[each].is_damaged, stores.configured(each).distance_metres, each))
