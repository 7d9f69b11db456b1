"""Bringing the projections up to the last event: at every start a look, after a change of their meaning a rebuild."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from drd.clients.journal.chain import START, Link, StoredEvent
from drd.clients.journal.schema import transaction
from drd.clients.journal.segments import rows, sealed_rows
from drd.clients.journal.shelves import SqlShelves, create_projections, projected
from drd.clients.journal.sqlite_errors import damaged
from drd.core.encoding import read_fact
from drd.core.projections import fold
from drd.core.upcast import Upcasters

_EVENTS_A_TRANSACTION = 50_000


def last_link(connection: sqlite3.Connection) -> Link:
    """The end of the chain as it stands in the file."""
    row = connection.execute("SELECT sequence, head FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
    return Link(row[0], row[1]) if row else START


def bring_up_to_date(
    connection: sqlite3.Connection, shelves: SqlShelves, state: Path, database: Path, upcasters: Upcasters
) -> int:
    """Fold what the projections do not know yet, and return how many events that were.

    Raises JournalDamaged when the projections know more than the events: then events are missing.
    """
    last = last_link(connection)
    known = projected(connection)
    if known is not None and (known.sequence > last.sequence or (known.sequence == last.sequence and known != last)):
        raise damaged(
            database, f"events up to {known.sequence} were written, and it ends differently at {last.sequence}"
        )
    if known is None:
        with transaction(connection):
            create_projections(connection)
            shelves.forget()
            shelves.save(START)
        known = START
    if known.sequence < last.sequence:
        fold_stored(connection, shelves, _stored(connection, state, known.sequence), upcasters)
    return last.sequence - known.sequence


def fold_stored(
    connection: sqlite3.Connection, shelves: SqlShelves, stored: Iterator[StoredEvent], upcasters: Upcasters
) -> None:
    """Fold stored events in order, many to a transaction; broken off, it goes on from there at the next start."""
    while batch := list(islice(stored, _EVENTS_A_TRANSACTION)):
        for _, data, _ in batch:
            fold(shelves, read_fact(data, upcasters))
        with transaction(connection):
            shelves.save(Link(batch[-1][0], batch[-1][2]))


def _stored(connection: sqlite3.Connection, state: Path, after: int) -> Iterator[StoredEvent]:
    [(first,)] = connection.execute("SELECT min(sequence) FROM events")
    return chain(sealed_rows(state, after, first), rows(connection, after))
