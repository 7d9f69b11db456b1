"""Sealing: the current file becomes a segment that nobody writes to any more, and a new one goes on from its head.

The new file is complete before the old one gets its new name, and takes the old one's place in one rename, so there is
always a `journal.db`. A crash between any two steps is finished or taken back by `finish_sealing` at the next start.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from drd.clients.durable import flush_folder
from drd.clients.journal.chain import StoredEvent
from drd.clients.journal.schema import CURRENT, Layout, create_file, create_tables, transaction
from drd.clients.journal.segments import sealed_files
from drd.clients.journal.tables import copy_projections, drop_projections
from drd.core.errors import Busy

NEXT = "journal-next.db"

Step = Callable[[], None]


class Sealing:
    """The steps for one journal, in order; each is complete or has no effect."""

    def __init__(self, connection: sqlite3.Connection, state: Path, month: str, layout: Layout) -> None:
        self.sealed = _free_name(state, month)
        self._connection = connection
        self._state = state
        self._layout = layout

    def steps(self, opening: StoredEvent) -> tuple[Step, ...]:
        """What has to be done; `opening` is the new file's first event."""
        return (lambda: self._build(opening), self._close_current, self._name_sealed, self._switch, self._strip)

    def _build(self, opening: StoredEvent) -> None:
        """Make the new file: the projections as they are, the mark, and the event that carries the last head."""
        target = self._state / NEXT
        _remove_database(target)
        create_file(target)
        self._connection.execute("ATTACH ? AS next", (str(target),))
        try:
            with transaction(self._connection):
                create_tables(self._connection, self._layout, "next")
                copy_projections(self._connection, "next")
                self._connection.execute("INSERT INTO next.events VALUES (?, ?, ?)", opening)
                self._connection.execute(
                    "UPDATE next.projection SET last_sequence = ?, last_head = ?", (opening[0], opening[2])
                )
                self._connection.execute("INSERT INTO next.mark SELECT * FROM main.mark")
        finally:
            self._connection.execute("DETACH next")

    def _close_current(self) -> None:
        """Put everything into the one file, which works only when nobody else has it open."""
        try:
            [(mode,)] = self._connection.execute("PRAGMA main.journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            mode = "wal"
        if mode != "delete":
            raise Busy("the journal is being read, so it cannot be sealed now", "it is tried again by itself")
        self._connection.close()

    def _name_sealed(self) -> None:
        os.link(self._state / CURRENT, self.sealed)
        flush_folder(self._state)

    def _switch(self) -> None:
        (self._state / NEXT).replace(self._state / CURRENT)
        flush_folder(self._state)

    def _strip(self) -> None:
        strip(self.sealed)


def finish_sealing(state: Path) -> None:
    """After a crash: before the switch everything is taken back, after it the rest is done."""
    current = state / CURRENT
    if not current.exists():
        return
    _remove_database(state / NEXT)
    for sealed in sealed_files(state):
        if sealed.samefile(current):
            sealed.unlink()
            flush_folder(state)
        elif sealed.stat().st_mode & 0o200:
            strip(sealed)


def strip(sealed: Path) -> None:
    """Remove the projections from a sealed segment and take away the right to write it."""
    with closing(sqlite3.connect(sealed, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            drop_projections(connection)
            connection.execute("DROP TABLE IF EXISTS mark")
    sealed.chmod(0o400)
    flush_folder(sealed.parent)


def _free_name(state: Path, month: str) -> Path:
    return next(path for path in _names(state, month) if not path.exists())


def _names(state: Path, month: str) -> Iterator[Path]:
    yield state / f"journal-{month}.db"
    for number in range(2, 10_000):
        yield state / f"journal-{month}.{number}.db"


def _remove_database(database: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
