"""The projections' rows as tables of the journal's own database."""

# ruff: noqa: S608 — what is put into the SQL here are names and conditions that stand in this program

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar, cast

from drd.clients.journal.chain import Link
from drd.core import projections
from drd.core.encoding import canonical
from drd.core.rows import (
    IncidentRow,
    Key,
    PauseRow,
    PlaceRow,
    PointRow,
    PolicyRow,
    RestoresRow,
    RunRow,
    StoreRow,
    WalRow,
)

Row = TypeVar("Row")


@dataclass(frozen=True)
class TableSchema:
    """The table of one kind of row: a column a field, lists and objects among them as JSON."""

    name: str
    keys: tuple[str, ...]
    row: type
    """The TypedDict of its rows."""
    json: tuple[str, ...] = ()
    """Fields that are lists or objects."""
    sorted_by: str | None = None
    """A field with an index of its own."""
    is_small: bool = False
    """Whether what was used of it stays in memory while the journal is open."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The row's fields."""
        return tuple(self.row.__annotations__)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys and what of the row is no key."""
        return (*self.keys, *(field for field in self.fields if field not in self.keys))

    @property
    def creation(self) -> tuple[str, ...]:
        """The statements that make it."""
        columns = ", ".join(f"{column} NOT NULL" if column in self.keys else column for column in self.columns)
        table = f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.keys)})) WITHOUT ROWID"
        index = f"CREATE INDEX {self.name}_by_{self.sorted_by} ON {self.name} ({self.sorted_by})"
        return (table, index) if self.sorted_by else (table,)


POLICIES = TableSchema(
    "policies",
    ("policy",),
    PolicyRow,
    json=(
        "last_start",
        "last_success_start",
        "last_run",
        "failures",
        "new_base",
        "lost_wal",
        "suspicion",
        "last_primary",
        "outages",
        "unseen",
    ),
    is_small=True,
)
RUNS = TableSchema("runs", ("policy", "slot"), RunRow, json=("figures",), sorted_by="sequence")
OPEN_RUNS = TableSchema("open_runs", ("run",), RunRow, json=("figures",), is_small=True)
POINTS = TableSchema("points", ("policy", "run"), PointRow, json=("copies", "forgotten_in", "facts", "moments"))
PLACES = TableSchema("places", ("store", "snapshot_id"), PlaceRow)
STORES = TableSchema(
    "stores",
    ("store",),
    StoreRow,
    json=(
        "unsound",
        "anchors",
        "forgotten_anchors",
        "parts_read",
        "risks",
        "keys",
        "foreign_keys",
        "damage",
        "leaving",
    ),
    is_small=True,
)
RESTORES = TableSchema("restores", ("policy",), RestoresRow, json=("restores",), is_small=True)
INCIDENTS = TableSchema("incidents", ("run",), IncidentRow, json=("facts",), sorted_by="sequence")
PAUSES = TableSchema("pauses", ("policy", "what"), PauseRow, is_small=True)
WAL = TableSchema("wal", ("policy", "store", "group_name"), WalRow, json=("superseded", "switches", "marks"))
TABLES = (POLICIES, RUNS, OPEN_RUNS, POINTS, PLACES, STORES, RESTORES, INCIDENTS, PAUSES, WAL)


class SqlTable(Generic[Row]):
    """Rows of one table: read when first asked for, written at `save`."""

    def __init__(self, connection: sqlite3.Connection, table: TableSchema) -> None:
        self.table = table
        self._changed: set[Key] = set()
        """Keys that were put or dropped since the last `save`."""
        self._connection = connection
        self._rows: dict[Key, Row | None] = {}
        self._is_empty = False
        """Whether the table is known to hold nothing, so that only memory has to be asked."""
        where = " AND ".join(f"{key} = ?" for key in table.keys)
        self._fields = ", ".join(table.fields)
        self._rest = _getter([column for column in table.columns if column not in table.keys])
        self._json = [table.columns.index(field) for field in table.json]
        self._get = f"SELECT {self._fields} FROM {table.name} WHERE {where}"
        self._upsert = f"INSERT OR REPLACE INTO {table.name} VALUES ({', '.join('?' for _ in table.columns)})"
        self._delete = f"DELETE FROM {table.name} WHERE {where}"

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Key) -> Row | None:
        """The row, or None."""
        try:
            return self._rows[key]
        except KeyError:
            if self._is_empty:
                return None
            found = self._connection.execute(self._get, key).fetchone()
            row = self._rows[key] = self._row(found) if found else None
            return row

    def put(self, key: Key, row: Row) -> None:
        """Add or replace."""
        self._rows[key] = row
        self._changed.add(key)

    def drop(self, key: Key) -> None:
        """Remove, if it is there."""
        if self._is_empty:
            self._rows.pop(key, None)
            self._changed.discard(key)
        else:
            self._rows[key] = None
            self._changed.add(key)

    def begin_empty(self) -> None:
        """The table was just made: it holds nothing until the next `save`."""
        self.forget()
        self._is_empty = True

    def save(self) -> set[Key]:
        """Write what changed, inside the caller's transaction, and tell the keys."""
        changed, self._changed = self._changed, set()
        if changed:
            self._is_empty = False
            rows, in_order = self._rows, sorted(changed)  # in the order of the tree: its pages are then touched once
            self._connection.executemany(
                self._upsert, [self._values(key, row) for key in in_order if (row := rows[key]) is not None]
            )
            gone = [key for key in in_order if rows[key] is None]
            self._connection.executemany(self._delete, gone)
            for key in gone:
                del rows[key]
        if not self.table.is_small:
            self._rows.clear()
        return changed

    def forget(self) -> None:
        """Take back what was not saved."""
        self._rows.clear()
        self._changed = set()
        self._is_empty = False

    def select(self, clause: str = "", parameters: Iterable[Any] = ()) -> list[tuple[Key, Row]]:
        """Saved rows with their keys, for a WHERE or ORDER BY clause."""
        keys = self.table.keys
        found = self._connection.execute(
            f"SELECT {', '.join(keys)}, {self._fields} FROM {self.table.name} {clause}", tuple(parameters)
        )
        return [(values[: len(keys)], self._row(values[len(keys) :])) for values in found]

    def distinct(self, key: str) -> list[str]:
        """The different values of one key column, sorted."""
        found = self._connection.execute(f"SELECT DISTINCT {key} FROM {self.table.name} ORDER BY 1")
        return [str(row[0]) for row in found]

    def _values(self, key: Key, row: Row) -> Sequence[Any]:
        rest = self._rest(cast(dict[str, Any], row))
        if not self._json:
            return (*key, *rest)
        values = [*key, *rest]
        for column in self._json:
            values[column] = canonical(values[column])
        return values

    def _row(self, values: Sequence[Any]) -> Row:
        row = dict(zip(self.table.fields, values, strict=True))
        for field in self.table.json:
            row[field] = json.loads(row[field])
        return cast(Row, row)


class SqlTables:
    """All projections of one journal file, with how far they have come."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.policies: SqlTable[PolicyRow] = SqlTable(connection, POLICIES)
        self.runs: SqlTable[RunRow] = SqlTable(connection, RUNS)
        self.open_runs: SqlTable[RunRow] = SqlTable(connection, OPEN_RUNS)
        self.points: SqlTable[PointRow] = SqlTable(connection, POINTS)
        self.places: SqlTable[PlaceRow] = SqlTable(connection, PLACES)
        self.stores: SqlTable[StoreRow] = SqlTable(connection, STORES)
        self.restores: SqlTable[RestoresRow] = SqlTable(connection, RESTORES)
        self.incidents: SqlTable[IncidentRow] = SqlTable(connection, INCIDENTS)
        self.pauses: SqlTable[PauseRow] = SqlTable(connection, PAUSES)
        self.wal: SqlTable[WalRow] = SqlTable(connection, WAL)
        self._all: tuple[SqlTable[Any], ...] = (
            self.policies, self.runs, self.open_runs, self.points, self.places, self.stores, self.restores,
            self.incidents, self.pauses, self.wal,
        )  # fmt: skip

    def save(self, link: Link) -> dict[str, set[Key]]:
        """Write what changed up to `link`, inside the caller's transaction; table → changed keys."""
        changed = {each.table.name: each.save() for each in self._all}
        self._connection.execute(
            "INSERT OR REPLACE INTO projection VALUES (1, ?, ?, ?)", (projections.VERSION, link.sequence, link.head)
        )
        return changed

    def begin_empty(self) -> None:
        """The tables were just made: they hold nothing."""
        for each in self._all:
            each.begin_empty()

    @property
    def rows_in_memory(self) -> int:
        """How many rows stand in memory."""
        return sum(len(each) for each in self._all)

    def forget(self) -> None:
        """Take back what was not saved."""
        for each in self._all:
            each.forget()


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


def _getter(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of these fields, always as a tuple: of a single one, `itemgetter` alone gives the bare value."""
    if len(fields) > 1:
        return itemgetter(*fields)
    return lambda row: tuple(row[field] for field in fields)


def _in_schema(statement: str, schema: str) -> str:
    for what in ("CREATE TABLE ", "CREATE INDEX "):
        if statement.startswith(what):
            return f"{what}{schema}.{statement.removeprefix(what)}"
    return statement
