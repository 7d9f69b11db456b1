"""Reading the chain, and the whole journal beside a daemon or without one: never writes."""

# ruff: noqa: S608 — what is put into the SQL here are names and conditions that stand in this program

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path

from drd.clients.journal.chain import START, StoredEvent
from drd.clients.journal.rebuilding import fold_stored, last_link
from drd.clients.journal.schema import (
    CURRENT,
    Layout,
    Mark,
    connect_readonly,
    read_mark,
    refuse_newer,
    stored_daemon_id,
    stored_format,
    transaction,
)
from drd.clients.journal.segments import rows, sealed_rows, verify, whole_chain
from drd.clients.journal.sqlite_errors import translated
from drd.clients.journal.tables import SqlTables, create_projections, projected
from drd.clients.journal.views import Views
from drd.core.encoding import canonical, decode
from drd.core.errors import PermanentError
from drd.core.events import Event
from drd.ports.journal import Head, Verdict


class StoredChain:
    """All files of one journal, read through connections of their own; blocking, from any thread."""

    def __init__(self, state: Path, layout: Layout, *, is_writers: bool) -> None:
        self._state = state
        self._layout = layout
        self._is_writers = is_writers

    def verify(self, anchors: Mapping[int, str]) -> Verdict:
        """Walk the whole chain; `anchors` are sequence → head as they were written down elsewhere."""
        return verify(self._state, anchors, is_writers=self._is_writers)

    def events(self, after: int, newest: int | None, run: str | None, kind: str | None) -> Iterator[Event]:
        """Events in order after a sequence number, of one run, of one kind; with `newest` only the last so many."""
        wanted = _Wanted(after, run, kind)
        with whole_chain(self._state, is_writers=self._is_writers) as (segments, current):
            if newest is not None:
                yield from reversed(self._newest(wanted, newest))
                return
            for segment in segments:
                with closing(connect_readonly(segment.path, is_sealed=True)) as connection:
                    yield from self._fitting(connection, wanted)
            yield from self._fitting(current, wanted)

    def _newest(self, wanted: _Wanted, newest: int) -> list[Event]:
        found: list[Event] = []
        with whole_chain(self._state, is_writers=self._is_writers) as (segments, current):
            connections = chain(
                (current,), (connect_readonly(segment.path, is_sealed=True) for segment in reversed(segments))
            )
            for connection in connections:
                with closing(connection):
                    for event in self._fitting(connection, wanted, is_backwards=True):
                        if len(found) >= newest:
                            return found
                        found.append(event)
        return found

    def _fitting(
        self, connection: sqlite3.Connection, wanted: _Wanted, *, is_backwards: bool = False
    ) -> Iterator[Event]:
        for data, head in wanted.select(connection, is_backwards=is_backwards):
            event = decode(data, head.hex(), self._layout.upcasters)
            if wanted.fits(event):
                yield event


class _Wanted:
    """Which events are asked for. SQL looks for the words in the bytes, so only what may fit is decoded."""

    def __init__(self, after: int, run: str | None, kind: str | None) -> None:
        self.after = after
        self.run = run
        self.kind = kind

    def select(self, connection: sqlite3.Connection, *, is_backwards: bool) -> Iterator[tuple[bytes, bytes]]:
        words = [
            f'"{name}":{canonical(value)}'
            for name, value in (("run", self.run), ("kind", self.kind))
            if value is not None
        ]
        conditions = "".join(" AND instr(bytes, ?)" for _ in words)
        order = "DESC" if is_backwards else "ASC"
        return connection.execute(
            f"SELECT bytes, head FROM events WHERE sequence > ?{conditions} ORDER BY sequence {order}",
            (self.after, *(word.encode("ascii") for word in words)),
        )

    def fits(self, event: Event) -> bool:
        return (self.run is None or event.run == self.run) and (self.kind is None or self.kind == event.body.KIND)


class Reader:
    """The projections of a journal that another process may be writing to; blocking, used by one thread."""

    def __init__(self, state: Path, layout: Layout) -> None:
        self.database = state / CURRENT
        self.daemon = ""
        self._state = state
        self._layout = layout
        self._seen_version = 0

    def open(self) -> None:
        """Open the file. Raises PermanentError when there is none, JournalDamaged for one that cannot be read."""
        if not self.database.exists():
            raise PermanentError(
                f"there is no journal in {self._state}", "start the daemon with `drd run`, which makes it"
            )
        with translated(self.database):
            self.daemon = stored_daemon_id(self._state) or ""
        self._connection = connect_readonly(self.database)
        try:
            with translated(self.database):
                self._look()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def views(self) -> Views:
        """The catalogue as it is now: what another process has written since is seen."""
        with translated(self.database):
            [(version,)] = self._connection.execute("PRAGMA data_version")
        if version != self._seen_version:
            self._seen_version = version
            self._tables.forget()
            self._views.forget()
        return self._views

    @property
    def head(self) -> Head:
        """The end of the chain."""
        with translated(self.database):
            last = last_link(self._connection)
        return Head(last.sequence, last.digest, self.database.name)

    def read_mark(self) -> Mark | None:
        """When the daemon was last known to live."""
        with translated(self.database):
            return read_mark(self._connection)

    def _look(self) -> None:
        stored = stored_format(self._connection, self.database)
        refuse_newer(stored, self._layout, self.database)
        if stored < self._layout.format:
            raise PermanentError(
                f"the journal {self.database} has the older format {stored}",
                "start the new daemon once: it copies the journal and brings it to its own format",
            )
        known = projected(self._connection)
        is_current = known is not None and known == last_link(self._connection)
        self._tables = SqlTables(self._connection if is_current else self._rebuilt())
        self._views = Views(self._tables)

    def _rebuilt(self) -> sqlite3.Connection:
        """The projections in memory, when those in the file belong to another version of drd."""
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        tables = SqlTables(memory)
        with transaction(memory):
            create_projections(memory)
            tables.begin_empty()
            tables.save(START)
        fold_stored(memory, tables, self._stored(), self._layout.upcasters)
        return memory

    def _stored(self) -> Iterator[StoredEvent]:
        [(first,)] = self._connection.execute("SELECT min(sequence) FROM events")
        return chain(sealed_rows(self._state, 0, first), rows(self._connection))
