"""Bringing the projections up to the last event: at every start a look, after a change of their meaning a rebuild."""

from __future__ import annotations

import ctypes
import gc
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from drd.clients.journal.chain import START, Link, StoredEvent
from drd.clients.journal.schema import transaction
from drd.clients.journal.segments import rows, sealed_rows
from drd.clients.journal.sqlite_errors import damaged
from drd.clients.journal.tables import SqlTables, create_projections, projected
from drd.core.encoding import read_fact
from drd.core.projections import fold
from drd.core.upcast import Upcasters

_EVENTS_AT_ONCE = 25_000
_ROWS_IN_MEMORY = 300_000


def last_link(connection: sqlite3.Connection) -> Link:
    """The end of the chain as it stands in the file."""
    row = connection.execute("SELECT sequence, head FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
    return Link(row[0], row[1]) if row else START


def bring_up_to_date(
    connection: sqlite3.Connection, tables: SqlTables, state: Path, database: Path, upcasters: Upcasters
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
            tables.begin_empty()
            tables.save(START)
        known = START
    if known.sequence < last.sequence:
        with _in_a_hurry(connection):
            fold_stored(connection, tables, _stored(connection, state, known.sequence), upcasters)
            tables.forget()
    return last.sequence - known.sequence


@contextmanager
def _in_a_hurry(connection: sqlite3.Connection) -> Iterator[None]:
    """More memory and fewer syncs while rows are written that could be built once more.

    The collector of cycles is off meanwhile: there are none, and looking for them takes a third of the time.
    """
    [(cache_size,)] = connection.execute("PRAGMA cache_size")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -32000")
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()
        connection.execute(f"PRAGMA cache_size = {cache_size}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA shrink_memory")
        _give_memory_back()


def fold_stored(
    connection: sqlite3.Connection, tables: SqlTables, stored: Iterator[StoredEvent], upcasters: Upcasters
) -> None:
    """Fold stored events in order.

    Runs that are over are not looked at again and are written now and then. The other rows change often, so they are
    written at the end, or when there are very many. Broken off, it goes on at the next start from where they were
    written last; runs that were written already are then written once more.
    """
    link: Link | None = None
    for sequence, data, head in stored:
        fold(tables, read_fact(data, upcasters))
        if sequence % _EVENTS_AT_ONCE == 0:
            with transaction(connection):
                if tables.rows_in_memory > _ROWS_IN_MEMORY:
                    tables.save(Link(sequence, head))
                else:
                    tables.runs.save()
        link = Link(sequence, head)
    if link is not None:
        with transaction(connection):
            tables.save(link)


def _give_memory_back() -> None:
    """Have the C library return what it holds for later: after a rebuild of a large journal that is most of it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other libraries do without
    if trim is not None:
        trim(0)


def _stored(connection: sqlite3.Connection, state: Path, after: int) -> Iterator[StoredEvent]:
    [(first,)] = connection.execute("SELECT min(sequence) FROM events")
    return chain(sealed_rows(state, after, first), rows(connection, after))
