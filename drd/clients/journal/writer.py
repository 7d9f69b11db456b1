"""The one writer of the journal: blocking, used by one thread only."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from drd.clients.durable import flush_folder
from drd.clients.journal.ballast import Ballast
from drd.clients.journal.chain import START, Link, next_head
from drd.clients.journal.rebuilding import bring_up_to_date, last_link
from drd.clients.journal.schema import (
    CURRENT,
    DAEMON_ID,
    Layout,
    Mark,
    connect,
    create_file,
    create_tables,
    migrate,
    read_mark,
    stored_daemon_id,
    transaction,
    write_mark,
)
from drd.clients.journal.sealing import Sealing, finish_sealing
from drd.clients.journal.segments import sealed_files
from drd.clients.journal.sqlite_errors import damaged, free_bytes, in_our_words, translated
from drd.clients.journal.tables import SqlTables
from drd.clients.journal.views import Views
from drd.core.encoding import Fact, canonical, envelope, moment_text, read_fact
from drd.core.errors import StateFull
from drd.core.events import BallastReleased, BallastRestored, Body, Event, SegmentOpened
from drd.core.projections import fold
from drd.core.rows import Key
from drd.core.ulid import RANDOM_BYTES, ulid
from drd.ports.clock import Clock
from drd.ports.journal import Head


@dataclass(frozen=True, slots=True)
class Draft:
    """Facts that belong together, with the moment at which they were told."""

    bodies: tuple[Body, ...]
    run: str | None
    at: datetime
    monotonic_ns: int


@dataclass(slots=True)
class Written:
    """What a transaction wrote: per draft its events, or why it cannot be encoded."""

    link: Link
    outcomes: list[tuple[Event, ...] | Exception] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    """All of them in order, also those that the writer added."""
    facts: list[Fact] = field(default_factory=list)
    rows: list[tuple[int, bytes, bytes]] = field(default_factory=list)


class Writer:
    """Holds the connection, the projections and the end of the chain."""

    connection: sqlite3.Connection
    tables: SqlTables
    views: Views

    def __init__(self, state: Path, clock: Clock, layout: Layout, ballast: Ballast) -> None:
        self.state = state
        self.database = state / CURRENT
        self.ballast = ballast
        self.link = START
        self.daemon = ""
        self.folded_at_open = 0
        """How many events the projections had to be brought forward by."""
        self._clock = clock
        self._layout = layout
        self._is_open = False

    def open(self) -> None:
        """Open or make the journal, finish what a crash broke off, and bring the projections up to date.

        Raises JournalDamaged, Busy or StateFull.
        """
        with translated(self.database):
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.daemon = daemon_id(self.state, self._clock)
            finish_sealing(self.state)
            is_new = not self.database.exists() or self.database.stat().st_size == 0
            if is_new and sealed_files(self.state):
                raise damaged(self.database, "it is missing, though sealed segments of it are there")
            self._connect_whatever_it_costs(is_new)
            if is_new:
                self.append([self._draft(SegmentOpened(None, START.digest, 0))])
                self.ballast.restore()

    def close(self) -> None:
        """Close the file; the log goes into it if nobody else reads."""
        self.connection.close()

    def append(self, drafts: Sequence[Draft]) -> Written:
        """Write drafts in one transaction, with their projections.

        A draft that cannot be encoded is left out and its outcome says why. Raises StateFull when the disk is full even
        without the ballast, and Busy or JournalDamaged; then nothing is written.
        """
        try:
            return self._write(drafts)
        except StateFull:
            free = free_bytes(self.state)
            if not self.ballast.release():
                raise
        return self._write([*drafts, self._draft(BallastReleased(free))])

    def tend_ballast(self) -> Written | None:
        """Bring the ballast back when there is room again; what was written then."""
        with translated(self.database):
            if not self.ballast.restore():
                return None
        return self.append([self._draft(BallastRestored(free_bytes(self.state)))])

    def seal(self) -> Written:
        """Close the current file for good and go on in a new one.

        Raises Busy when somebody reads the current file; then nothing has changed.
        """
        sealing, written = self.sealing()
        try:
            with translated(self.database):
                for step in sealing.steps(written.rows[0]):
                    step()
        finally:
            self._reopen()
        return written

    def sealing(self) -> tuple[Sealing, Written]:
        """The steps of sealing now, and the event that the new file will begin with."""
        sealing = Sealing(self.connection, self.state, self._last_month(), self._layout)
        opened = SegmentOpened(sealing.sealed.name, self.link.digest, self.link.sequence)
        return sealing, self._plan([self._draft(opened)])

    @property
    def is_seal_due(self) -> bool:
        """Whether the last event is of an earlier month, UTC."""
        return self._last_month() != moment_text(self._clock.now())[:7]

    def write_mark(self, mark: Mark) -> None:
        """Note that the daemon lives."""
        with translated(self.database), transaction(self.connection):
            write_mark(self.connection, mark)

    def read_mark(self) -> Mark | None:
        """When the daemon was last known to live."""
        with translated(self.database):
            return read_mark(self.connection)

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return Head(self.link.sequence, self.link.digest, self.database.name)

    def _reopen(self) -> None:
        """Close and open the file; when that fails, as on a full disk, the next append tries again."""
        self.connection.close()
        self._is_open = False
        with translated(self.database):
            finish_sealing(self.state)
            self._connect(is_new=False)

    def _last_month(self) -> str:
        with translated(self.database):
            row = self.connection.execute("SELECT bytes FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
        return read_fact(row[0], self._layout.upcasters).at[:7]

    def _connect_whatever_it_costs(self, is_new: bool) -> None:
        """Even opening writes a little: on a full disk the ballast goes for it."""
        free = free_bytes(self.state)
        try:
            self._connect(is_new)
        except StateFull:
            if not self.ballast.release():
                raise
            self._connect(is_new)
            self.append([self._draft(BallastReleased(free))])

    def _connect(self, is_new: bool) -> None:
        if is_new:
            create_file(self.database)
            flush_folder(self.state)
        self.connection = connect(self.database)
        try:
            with translated(self.database):
                self._bring_up(is_new)
        except BaseException:
            self.connection.close()
            raise

    def _bring_up(self, is_new: bool) -> None:
        if is_new:
            with transaction(self.connection):
                create_tables(self.connection, self._layout)
        migrate(self.connection, self.database, self._layout)
        self.tables = SqlTables(self.connection)
        self.views = Views(self.tables)
        self.folded_at_open = bring_up_to_date(
            self.connection, self.tables, self.state, self.database, self._layout.upcasters
        )
        self.link = last_link(self.connection)
        self._is_open = True

    def _write(self, drafts: Sequence[Draft]) -> Written:
        if not self._is_open:
            self._reopen()
        written = self._plan(drafts)
        try:
            changed = self._commit(written)
        except sqlite3.Error as error:
            raise in_our_words(error, self.database) from error
        self.link = written.link
        self.views.refresh(changed)
        return written

    def _commit(self, written: Written) -> dict[str, set[Key]]:
        try:
            with transaction(self.connection):
                self.connection.executemany("INSERT INTO events VALUES (?, ?, ?)", written.rows)
                for fact in written.facts:
                    fold(self.tables, fact)
                return self.tables.save(written.link)
        except BaseException:
            self.tables.forget()
            self.views.forget()
            raise

    def _plan(self, drafts: Sequence[Draft]) -> Written:
        written = Written(self.link)
        for draft in drafts:
            start = len(written.rows)
            try:
                events = tuple(self._encode(written, draft, body) for body in draft.bodies)
            except (TypeError, ValueError) as error:
                del written.rows[start:], written.facts[start:]
                last = written.rows[-1] if written.rows else None
                written.link = Link(last[0], last[2]) if last else self.link
                written.outcomes.append(error)
            else:
                written.outcomes.append(events)
                written.events.extend(events)
        return written

    def _encode(self, written: Written, draft: Draft, body: Body) -> Event:
        event = Event(
            daemon=self.daemon,
            sequence=written.link.sequence + 1,
            at=draft.at,
            boot=self._clock.boot_id,
            monotonic_ns=draft.monotonic_ns,
            run=draft.run,
            term=0,
            body=body,
        )
        stored = envelope(event)
        data = canonical(stored).encode("ascii")
        written.link = Link(event.sequence, next_head(written.link.head, data))
        written.rows.append((event.sequence, data, written.link.head))
        written.facts.append(Fact(event.sequence, stored["at"], draft.run, body.KIND, stored["body"]))
        return replace(event, head=written.link.digest)

    def _draft(self, *bodies: Body) -> Draft:
        return Draft(bodies, None, self._clock.now(), round(self._clock.monotonic() * 1e9))


def daemon_id(state: Path, clock: Clock) -> str:
    """The id of the daemon that owns this state folder, from `<state>/daemon-id`; made when it is not there."""
    known = stored_daemon_id(state)
    if known is not None:
        return known
    made = ulid(clock.now(), secrets.token_bytes(RANDOM_BYTES))
    path = state / DAEMON_ID
    partial = path.with_suffix(".part")
    partial.write_text(f"{made}\n", "ascii")
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    flush_folder(state)
    return made
