"""The heartbeat: a row that drd writes into a database again and again, so that any copy of it tells its own moment.

A copy that was restored, or a standby that was promoted, holds the newest row that came to it. What the primary
committed before that row was written came with it, since WAL is one sequence; what it committed more than an interval
later did not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import sql_name

SCHEMA: Final = "drd"
TABLE: Final = "drd.heartbeat"
PART: Final = 5
"""The interval is at most this part of what may be lost, because it is the error bar of what was lost."""
GONE: Final = timedelta(days=30)
"""A daemon that has not written for so long is gone, and its row with it."""
LEAST: Final = timedelta(milliseconds=200)
"""Of an `rpo` of a second, the shortest that WAL can keep."""
MOST: Final = timedelta(seconds=60)

CREATE: Final = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};",
    # No column that changes has an index, and half of each page stays free: each update is a heap-only tuple in the
    # same page, which the next one tidies.
    f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    policy text, daemon text, term bigint NOT NULL, sequence bigint NOT NULL,
    written timestamptz NOT NULL, lsn pg_lsn NOT NULL, PRIMARY KEY (policy, daemon)
) WITH (fillfactor = 50);""",
)
"""What a superuser types once; drd itself makes nothing in a protected database."""
MAY_WRITE: Final = """
SELECT has_schema_privilege(space.oid, 'USAGE') AND has_table_privilege(found.oid, 'SELECT')
       AND has_table_privilege(found.oid, 'INSERT') AND has_table_privilege(found.oid, 'UPDATE') AS may_write
FROM pg_class AS found JOIN pg_namespace AS space ON space.oid = found.relnamespace
WHERE space.nspname = 'drd' AND found.relname = 'heartbeat'
"""
MAY_DELETE: Final = """
SELECT has_table_privilege(found.oid, 'DELETE') AS may_delete
FROM pg_class AS found JOIN pg_namespace AS space ON space.oid = found.relnamespace
WHERE space.nspname = 'drd' AND found.relname = 'heartbeat'
"""
MAY_READ: Final = """
SELECT has_schema_privilege(space.oid, 'USAGE') AND has_table_privilege(found.oid, 'SELECT') AS may_read
FROM pg_class AS found JOIN pg_namespace AS space ON space.oid = found.relnamespace
WHERE space.nspname = 'drd' AND found.relname = 'heartbeat'
"""
# In one transaction with its setting. `local` waits for the server's own disk, so that a row that drd knows of outlives
# a crash as a client's commit does, and for no standby: one that waits for a standby that is away would tell nothing.
WRITE: Final = """
WITH local AS MATERIALIZED (SELECT set_config('synchronous_commit', 'local', true) AS is_set)
INSERT INTO drd.heartbeat AS mine (policy, daemon, term, sequence, written, lsn)
SELECT %s, %s, %s, %s, clock_timestamp(), pg_current_wal_insert_lsn() FROM local WHERE is_set IS NOT NULL
ON CONFLICT (policy, daemon) DO UPDATE
SET term = excluded.term, sequence = excluded.sequence, written = excluded.written, lsn = excluded.lsn
RETURNING policy, daemon, term, sequence, written, lsn::text AS lsn,
          (SELECT was.written FROM drd.heartbeat AS was
           WHERE was.policy = mine.policy AND was.daemon = mine.daemon) AS replaced -- as it was before this command
"""
DELETE: Final = """
DELETE FROM drd.heartbeat AS other USING drd.heartbeat AS mine
WHERE mine.policy = %s AND mine.daemon = %s AND other.policy = mine.policy AND other.daemon <> mine.daemon
      AND other.written < mine.written - make_interval(secs => %s)
RETURNING other.daemon
"""
"""Rows of daemons that are gone, once a newer one tells the moment of every copy that could hold them."""
READ: Final = """
SELECT policy, daemon, term, sequence, written, lsn::text AS lsn FROM drd.heartbeat ORDER BY written DESC
"""


@dataclass(frozen=True, slots=True)
class Beat:
    """What drd says of itself."""

    policy: str
    daemon: str
    term: int = 0
    """The fencing token of the lease under which the daemon acts; 0 where there is none."""
    sequence: int = 0
    """How many it has written since its start."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A row as a server has it."""

    beat: Beat
    written: datetime
    """By the server's clock."""
    lsn: Lsn
    """All that was committed before it was written lies before this."""
    replaced: datetime | None = field(default=None, compare=False)
    """When the row was written whose place it took, by the clock of the server where that was; None for the first."""


def interval(rpo: timedelta | None) -> timedelta:
    """How often it is written for a policy that may lose so much."""
    return MOST if rpo is None else min(max(rpo / PART, LEAST), MOST)


def newest(found: Iterable[Heartbeat], policy: str) -> Heartbeat | None:
    """The row by which a copy tells its moment, whichever daemon wrote it; None when it holds none of the policy."""
    return max((each for each in found if each.beat.policy == policy), key=lambda each: each.written, default=None)


def lost(until: datetime, found: Heartbeat) -> timedelta:
    """What a copy lacks of all that was committed until a moment (RPA): at most this, at least an interval less."""
    return max(timedelta(0), until - found.written)


def rights(role: str) -> tuple[str, ...]:
    """What lets a role write it, after `CREATE`."""
    name = sql_name(role)
    return (f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name};", f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO {name};")
