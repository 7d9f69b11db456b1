"""The projections' rows as tables of the journal's own database."""

# ruff: noqa: S608 — what is put into the SQL here are names and conditions that stand in this program

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from drd.clients.journal.chain import Link
from drd.core import projections
from drd.core.encoding import canonical
from drd.core.projections import Key, PauseRow, PlaceRow, PointRow, PolicyRow, RunRow, StoreRow

Row = TypeVar("Row")


@dataclass(frozen=True)
class Table:
    """A shelf's table: key columns, the whole row as JSON, and what of it SQL sorts or selects by."""

    name: str
    keys: tuple[str, ...]
    sorted_by: str | None = None
    """A field of the row with a column and an index of its own."""
    is_small: bool = False
    """Whether all of it stays in memory while the journal is open."""

    @property
    def creation(self) -> tuple[str, ...]:
        """The statements that make it."""
        extra = f", {self.sorted_by}" if self.sorted_by else ""
        keys = ", ".join(f"{key} NOT NULL" for key in self.keys)
        table = (
            f"CREATE TABLE {self.name} ({keys}{extra}, row TEXT NOT NULL, "
            f"PRIMARY KEY ({', '.join(self.keys)})) WITHOUT ROWID"
        )
        index = f"CREATE INDEX {self.name}_by_{self.sorted_by} ON {self.name} ({self.sorted_by})"
        return (table, index) if self.sorted_by else (table,)


POLICIES = Table("policies", ("policy",), is_small=True)
RUNS = Table("runs", ("policy", "slot"), sorted_by="sequence")
OPEN_RUNS = Table("open_runs", ("run",), is_small=True)
POINTS = Table("points", ("policy", "run"))
PLACES = Table("places", ("store", "snapshot_id"))
STORES = Table("stores", ("store",), is_small=True)
PAUSES = Table("pauses", ("policy", "what"), is_small=True)
TABLES = (POLICIES, RUNS, OPEN_RUNS, POINTS, PLACES, STORES, PAUSES)


class SqlShelf(Generic[Row]):
    """Rows of one table: read when first asked for, written at `save`."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self.table = table
        self.changed: set[Key] = set()
        """Keys that were put or dropped since the last `save`."""
        self._connection = connection
        self._rows: dict[Key, Row | None] = {}
        where = " AND ".join(f"{key} = ?" for key in table.keys)
        columns = [*table.keys, *([table.sorted_by] if table.sorted_by else []), "row"]
        self._select = f"SELECT row FROM {table.name} WHERE {where}"
        self._upsert = f"INSERT OR REPLACE INTO {table.name} VALUES ({', '.join('?' for _ in columns)})"
        self._delete = f"DELETE FROM {table.name} WHERE {where}"

    def get(self, key: Key) -> Row | None:
        """The row, or None."""
        try:
            return self._rows[key]
        except KeyError:
            found = self._connection.execute(self._select, key).fetchone()
            row = cast(Row, json.loads(found[0])) if found else None
            self._rows[key] = row
            return row

    def put(self, key: Key, row: Row) -> None:
        """Add or replace."""
        self._rows[key] = row
        self.changed.add(key)

    def drop(self, key: Key) -> None:
        """Remove, if it is there."""
        self._rows[key] = None
        self.changed.add(key)

    def save(self) -> set[Key]:
        """Write what changed, inside the caller's transaction, and tell the keys."""
        kept = [(key, row) for key in self.changed if (row := self._rows[key]) is not None]
        gone = [key for key in self.changed if self._rows[key] is None]
        self._connection.executemany(self._upsert, [self._columns(key, row) for key, row in kept])
        self._connection.executemany(self._delete, gone)
        changed, self.changed = self.changed, set()
        if not self.table.is_small:
            self._rows.clear()
        return changed

    def forget(self) -> None:
        """Take back what was not saved."""
        self._rows.clear()
        self.changed = set()

    def select(self, clause: str = "", parameters: Iterable[Any] = ()) -> list[tuple[Key, Row]]:
        """Saved rows with their keys, for a WHERE or ORDER BY clause."""
        keys = self.table.keys
        found = self._connection.execute(
            f"SELECT {', '.join(keys)}, row FROM {self.table.name} {clause}", tuple(parameters)
        )
        return [(row[:-1], json.loads(row[-1])) for row in found]

    def distinct(self, key: str) -> list[str]:
        """The different values of one key column, sorted."""
        return [
            str(row[0]) for row in self._connection.execute(f"SELECT DISTINCT {key} FROM {self.table.name} ORDER BY 1")
        ]

    def _columns(self, key: Key, row: Row) -> tuple[Any, ...]:
        text = canonical(row)
        return (*key, cast(dict[str, Any], row)[self.table.sorted_by], text) if self.table.sorted_by else (*key, text)


class SqlShelves:
    """All projections of one journal file, with how far they have come."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.policies: SqlShelf[PolicyRow] = SqlShelf(connection, POLICIES)
        self.runs: SqlShelf[RunRow] = SqlShelf(connection, RUNS)
        self.open_runs: SqlShelf[RunRow] = SqlShelf(connection, OPEN_RUNS)
        self.points: SqlShelf[PointRow] = SqlShelf(connection, POINTS)
        self.places: SqlShelf[PlaceRow] = SqlShelf(connection, PLACES)
        self.stores: SqlShelf[StoreRow] = SqlShelf(connection, STORES)
        self.pauses: SqlShelf[PauseRow] = SqlShelf(connection, PAUSES)
        self._all: tuple[SqlShelf[Any], ...] = (
            self.policies, self.runs, self.open_runs, self.points, self.places, self.stores, self.pauses,
        )  # fmt: skip

    def save(self, link: Link) -> dict[str, set[Key]]:
        """Write what changed up to `link`, inside the caller's transaction; table → changed keys."""
        changed = {shelf.table.name: shelf.save() for shelf in self._all}
        self._connection.execute(
            "INSERT OR REPLACE INTO projection VALUES (1, ?, ?, ?)", (projections.VERSION, link.sequence, link.head)
        )
        return changed

    def forget(self) -> None:
        """Take back what was not saved."""
        for shelf in self._all:
            shelf.forget()


def create_projections(connection: sqlite3.Connection, schema: str = "main") -> None:
    """Make the tables anew and empty, inside the caller's transaction."""
    drop_projections(connection, schema)
    for table in TABLES:
        for statement in table.creation:
            connection.execute(_in_schema(statement, schema))
    connection.execute(
        f"CREATE TABLE {schema}.projection (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, "
        "last_sequence INTEGER NOT NULL, last_head BLOB NOT NULL)"
    )


def drop_projections(connection: sqlite3.Connection, schema: str = "main") -> None:
    """Remove the tables; the events say everything again."""
    for name in (*(table.name for table in TABLES), "projection"):
        connection.execute(f"DROP TABLE IF EXISTS {schema}.{name}")


def copy_projections(connection: sqlite3.Connection, target: str) -> None:
    """Copy all of them from `main` into the attached database `target`."""
    create_projections(connection, target)
    for name in (*(table.name for table in TABLES), "projection"):
        connection.execute(f"INSERT INTO {target}.{name} SELECT * FROM main.{name}")


def projected(connection: sqlite3.Connection) -> Link | None:
    """How far the projections in the file have come; None when there are none of this version."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'projection'").fetchone() is None:
        return None
    row = connection.execute("SELECT version, last_sequence, last_head FROM projection").fetchone()
    return Link(row[1], row[2]) if row and row[0] == projections.VERSION else None


def _in_schema(statement: str, schema: str) -> str:
    for what in ("CREATE TABLE ", "CREATE INDEX "):
        if statement.startswith(what):
            return f"{what}{schema}.{statement.removeprefix(what)}"
    return statement
