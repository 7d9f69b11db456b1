"""Which part of a store's data is to be read now, so that all of it is read within the time that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from drd.core.catalogue import StoreRecord
from drd.core.forbidden import ForbiddenTime
from drd.core.local_time import label_at
from drd.core.rotation import Part, next_part
from drd.ports.configuration import Configuration, Protected, is_wal_store

READ_WITHIN = timedelta(days=30)
"""Within which time all is read of a store at drd's own site, unless a policy says otherwise.

Reading a store elsewhere may cost money, so there it is done when somebody asks for it.
"""
LONGEST_SECONDS = 120.0
"""How long reading one part may take, which needs the repository alone, before the parts are made smaller."""
LONGEST_WAL_SECONDS = 30.0
"""WAL that arrives meanwhile waits for it."""


def read_within(configuration: Configuration, store: str) -> timedelta | None:
    """Within which time all that a store holds is to be read; None where nobody asks for it."""
    wanted = [
        protected.policy.backup.require.read_within
        for protected in _users(configuration, store)
        if protected.policy.backup.require.read_within is not None
    ]
    if wanted:
        return min(wanted)
    return READ_WITHIN if configuration.stores[store].site == configuration.site else None


def due_part(configuration: Configuration, record: StoreRecord, now: datetime) -> Part | None:
    """The part of a store that is to be read now, if any; in hours that a policy keeps free, only if it is urgent."""
    within = read_within(configuration, record.store)
    if within is None:
        return None
    longest = LONGEST_WAL_SECONDS if is_wal_store(record.store) else LONGEST_SECONDS
    label = label_at(now, configuration.zone)
    spans = (
        ForbiddenTime.parse(text)
        for protected in _users(configuration, record.store)
        for text in protected.policy.backup.window.not_
    )
    is_dear = any(span.end_of(label) is not None for span in spans)
    return next_part(record, within, longest, now, is_dear=is_dear)


def _users(configuration: Configuration, store: str) -> Iterator[Protected]:
    for protected in configuration.policies.values():
        if store in (*protected.policy.backup.to, *protected.wal_stores):
            yield protected
