"""The journal's file: its tables, its format, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from types import MappingProxyType
from urllib.parse import quote

from drd.clients.durable import flush_folder
from drd.clients.journal.sqlite_errors import damaged, translated
from drd.core.encoding import moment, moment_text
from drd.core.errors import JournalDamaged
from drd.core.events import FORMAT
from drd.core.upcast import UPCASTERS, Upcasters

CURRENT = "journal.db"
"""Name of the file that is written to, in the state folder."""

DAEMON_ID = "daemon-id"
"""Name of the file with the id of the daemon that owns the state folder."""

APPLICATION_ID = 0x64726464
"""Tells `file` and us that a SQLite file is drd's ("drdd")."""

LOCK_SECONDS = 5.0
"""How long a statement waits for another connection's lock."""

Migration = Callable[[sqlite3.Connection], None]
"""Changes the tables from one format to the next, inside a transaction that its caller holds."""

TABLES = """
CREATE TABLE events (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL, head BLOB NOT NULL);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_are_never_removed BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), at TEXT NOT NULL, monotonic REAL NOT NULL,
    boot TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Layout:
    """What this drd writes and how it gets there from older formats; tests make up their own."""

    format: int = FORMAT
    migrations: Mapping[int, Migration] = field(default_factory=lambda: MappingProxyType({}))
    """Format → what turns it into the next one."""
    upcasters: Upcasters = field(default_factory=lambda: UPCASTERS)


@dataclass(frozen=True, slots=True)
class Mark:
    """When the daemon was last known to live: a crash came after it."""

    at: datetime
    monotonic: float
    boot: str


def connect(database: Path) -> sqlite3.Connection:
    """Open the journal for writing: write-ahead log, full sync, no implicit transactions.

    Raises JournalDamaged for what is no journal, Busy for a locked one.
    """
    with translated(database):
        connection = sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _tune(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_readonly(database: Path, *, is_sealed: bool = False, is_writers: bool = False) -> sqlite3.Connection:
    """Open the journal for reading, beside a writer or without one, and leave nothing behind.

    A reader that made the log's files would own them, and a daemon under another user could not write any more. So
    without a log the file is read as one that does not change, and with one only what is there is used. A log whose
    index is gone, as after a copy by hand, is read from a copy.
    """
    log, index = (database.with_name(database.name + suffix) for suffix in ("-wal", "-shm"))
    with translated(database):
        if is_writers and not is_sealed:
            return _opened_readonly(database, "mode=ro")
        if is_sealed or not (log.exists() or index.exists()):
            return _opened_readonly(database, "mode=ro&immutable=1")
        if index.exists():
            return _opened_readonly(database, "mode=ro&readonly_shm=1")
        with TemporaryDirectory(prefix="drd-journal-") as folder:
            for path in (database, log):
                copyfile(path, Path(folder, path.name))
            return _opened_readonly(Path(folder, database.name), "mode=rw")


def create_file(database: Path) -> None:
    """An empty file that only its owner may read; SQLite gives the log's files the same mode."""
    os.close(os.open(database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def create_tables(connection: sqlite3.Connection, layout: Layout, schema: str = "main") -> None:
    """Make a new journal's tables, inside the caller's transaction."""
    for statement in _statements(TABLES):
        head, _, tail = statement.partition(" ")
        what, _, rest = tail.partition(" ")
        connection.execute(f"{head} {what} {schema}.{rest}")
    connection.execute(f"PRAGMA {schema}.application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA {schema}.user_version = {layout.format}")


def stored_format(connection: sqlite3.Connection, database: Path) -> int:
    """The format of the file. Raises JournalDamaged when it is a database of something else."""
    [(application,)] = connection.execute("PRAGMA application_id")
    [(version,)] = connection.execute("PRAGMA user_version")
    if application != APPLICATION_ID:
        raise damaged(database, "it is a database, but not a journal of drd's")
    return int(version)


def refuse_newer(stored: int, layout: Layout, database: Path) -> None:
    """Raises JournalDamaged for a journal that a newer drd has written."""
    if stored > layout.format:
        raise JournalDamaged(
            f"the journal {database} has format {stored}, and this drd knows formats up to {layout.format}",
            f"install the newer drd again, or put back the copy from before: "
            f"`cp {database.with_name(copy_name(stored))} {database}`",
        )


def migrate(connection: sqlite3.Connection, database: Path, layout: Layout) -> None:
    """Bring an older file to this format, after copying it to `journal-before-<format>.db`.

    Raises JournalDamaged when no way leads there.
    """
    stored = stored_format(connection, database)
    refuse_newer(stored, layout, database)
    if stored == layout.format:
        return
    missing = next((number for number in range(stored, layout.format) if number not in layout.migrations), None)
    if missing is not None:
        raise damaged(database, f"no migration is known from its format {missing}")
    _copy(connection, database.with_name(copy_name(layout.format)))
    with transaction(connection):
        for number in range(stored, layout.format):
            layout.migrations[number](connection)
        connection.execute(f"PRAGMA user_version = {layout.format}")


def read_mark(connection: sqlite3.Connection) -> Mark | None:
    """The newest mark."""
    row = connection.execute("SELECT at, monotonic, boot FROM mark").fetchone()
    return Mark(moment(row[0]), row[1], row[2]) if row else None


def write_mark(connection: sqlite3.Connection, mark: Mark) -> None:
    """Replace the mark."""
    connection.execute(
        "INSERT OR REPLACE INTO mark VALUES (1, ?, ?, ?)", (moment_text(mark.at), mark.monotonic, mark.boot)
    )


def stored_daemon_id(state: Path) -> str | None:
    """The id of the daemon that owns this state folder, if one ever did."""
    try:
        return (state / DAEMON_ID).read_text("ascii").strip() or None
    except FileNotFoundError:
        return None


def copy_name(format_number: int) -> str:
    """Name of the copy that is made before a journal becomes one of `format_number`."""
    return f"journal-before-{format_number}.db"


class transaction:  # noqa: N801 — used like a keyword
    """`with transaction(connection):` commits at the end, and takes everything back on an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # some errors, a full disk among them, have rolled back already
            self._connection.execute("ROLLBACK")


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA cache_size = -8000")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    connection.execute("PRAGMA temp_store = MEMORY")


def _opened_readonly(database: Path, parameters: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(database.absolute()))}?{parameters}",
        uri=True,
        timeout=LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.strip().splitlines():
        pending = f"{pending} {line.strip()}".strip()
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the whole database, its log included, over what a migration that was broken off has left."""
    partial = target.with_suffix(".part")
    partial.unlink(missing_ok=True)
    create_file(partial)
    copy = sqlite3.connect(partial, isolation_level=None)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(target)
    flush_folder(target.parent)
