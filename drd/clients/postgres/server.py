"""The Postgres port over a real server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from drd.clients.postgres.connection import USUAL, Connection, Patience, Row
from drd.clients.postgres.dsn import Dsn
from drd.core.postgres.errors import LoginRefused
from drd.core.postgres.heartbeat import DELETE, MAY_DELETE, MAY_READ, MAY_WRITE, READ, WRITE, Beat, Heartbeat
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, Role, ServerFacts, ServerSettings, Slot, Tablespace, WalStatus, last_end

# The timeline of a server that was promoted stands in its control file only after its next checkpoint, so a primary is
# asked for what it writes, and a standby for what it receives. CASE keeps from calling what fails in recovery.
_FACTS = """
SELECT system.system_identifier::text AS system_identifier,
       current_setting('server_version_num')::int AS version,
       pg_is_in_recovery() AS is_in_recovery,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(control.timeline_id, recovery.min_recovery_end_timeline,
                          (SELECT received_tli FROM pg_stat_wal_receiver))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       current_setting('data_checksums') = 'on' AS has_checksums,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes,
       current_setting('wal_level') AS wal_level,
       current_setting('archive_mode') AS archive_mode,
       (SELECT setting::bigint * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS most_kept,
       (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory
FROM pg_control_system() AS system, pg_control_checkpoint() AS control, pg_control_recovery() AS recovery
"""
_TABLESPACES = """
SELECT spcname AS name, oid::bigint AS oid, pg_tablespace_location(oid) AS location
FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY oid
"""
_ROLE = """
SELECT rolname AS name, rolsuper AS is_superuser, rolreplication AS may_replicate, rolcreaterole AS may_create_roles,
       rolcreatedb AS may_create_databases, rolbypassrls AS bypasses_row_security,
       ARRAY(SELECT other.rolname::text FROM pg_roles AS other
             WHERE other.oid <> mine.oid AND NOT mine.rolsuper AND pg_has_role(mine.oid, other.oid, 'MEMBER')
             ORDER BY 1) AS memberships
FROM pg_roles AS mine WHERE rolname = current_user
"""
_SETTINGS = """
SELECT current_setting('max_replication_slots')::int AS max_replication_slots,
       (SELECT count(*)::int FROM pg_replication_slots) AS used_slots,
       current_setting('max_wal_senders')::int AS max_wal_senders,
       (SELECT count(*)::int FROM pg_stat_replication) AS used_senders,
       current_setting('fsync') = 'on' AS is_synced,
       current_setting('full_page_writes') = 'on' AS writes_full_pages,
       current_setting('password_encryption') AS password_encryption,
       current_setting('restore_command') AS restore_command,
       current_setting('summarize_wal', true)::bool AS summarizes_wal,
       current_setting('synchronous_standby_names') LIKE '%*%' AS awaits_anybody,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'wal_retrieve_retry_interval') AS retry_seconds,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'wal_receiver_timeout') AS receiver_seconds,
       current_setting('wal_log_hints') = 'on' AS logs_hints
"""
# To ask for the size of a database that one may not see is an error. The shared catalogues are in no database.
_DATA_BYTES = """
SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint AS data_bytes FROM pg_database
WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
"""
# The clock comes first, so that what was committed before it lies before the positions.
_POSITIONS = """
SELECT clock_timestamp() AS taken,
       pg_is_in_recovery() AS is_in_recovery,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn() END::text AS written,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END::text AS flushed,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END::text AS inserted,
       current_setting('wal_block_size')::int AS page_bytes,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END::text AS received,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text AS replayed,
       CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END AS replayed_until
"""
_SLOT = """
SELECT slot_name AS name, active AS is_active, restart_lsn::text AS restart, wal_status, safe_wal_size AS safe_bytes
FROM pg_replication_slots WHERE slot_name = %s
"""
# Another session may make it in between, which is as good.
_CREATE_SLOT = """
SELECT pg_create_physical_replication_slot(%s, true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)
"""
_DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"

# A slot moves only forward, and no further than what the server has.
_ADVANCE_SLOT = """
SELECT pg_replication_slot_advance(slot_name, wanted) FROM pg_replication_slots, (SELECT %s::pg_lsn AS wanted) AS given
WHERE slot_name = %s AND NOT active AND restart_lsn < wanted
"""
_DATABASES = """
SELECT datname AS name FROM pg_database
WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') AND datname NOT IN (current_database(), 'template1')
ORDER BY datname
"""


class PostgresServer:
    """One server, by one connection. The methods are the port's; see there."""

    def __init__(self, dsn: Dsn, patience: Patience = USUAL) -> None:
        self._connection = Connection(dsn, patience)

    @property
    def place(self) -> str:
        """The server in words."""
        return self._connection.dsn.place

    async def facts(self) -> ServerFacts:
        """What it is."""
        row = await self._connection.row(_FACTS)
        spaces = await self._connection.rows(_TABLESPACES)
        most_kept = row["most_kept"]
        return ServerFacts(
            system_identifier=row["system_identifier"],
            version=row["version"],
            timeline=row["timeline"],
            is_in_recovery=row["is_in_recovery"],
            has_checksums=row["has_checksums"],
            segment_bytes=row["segment_bytes"],
            wal_level=row["wal_level"],
            archive_mode=row["archive_mode"],
            max_slot_wal_keep_bytes=None if most_kept is None or most_kept < 0 else most_kept,
            data_directory=PurePosixPath(row["data_directory"]) if row["data_directory"] else None,
            tablespaces=tuple(
                Tablespace(space["name"], space["oid"], PurePosixPath(space["location"])) for space in spaces
            ),
        )

    async def role(self) -> Role:
        """Whom it takes us for."""
        row = await self._connection.row(_ROLE)
        return Role(**{**row, "memberships": tuple(row["memberships"])})

    async def settings(self) -> ServerSettings:
        """How it is set."""
        return ServerSettings(**await self._connection.row(_SETTINGS))

    async def try_replication(self) -> None:
        """Connect as base backups do."""
        other = self._connection.replicating()
        try:
            await other.rows("IDENTIFY_SYSTEM")
        finally:
            await other.close()

    async def data_bytes(self) -> int:
        """About how large a base backup of it is."""
        return int((await self._connection.row(_DATA_BYTES))["data_bytes"])

    async def positions(self) -> Positions:
        """How far it is."""
        row = await self._connection.row(_POSITIONS)
        inserted = _lsn(row["inserted"])
        return Positions(
            taken=row["taken"],
            is_in_recovery=row["is_in_recovery"],
            written=_lsn(row["written"]),
            flushed=_lsn(row["flushed"]),
            inserted=inserted and last_end(inserted, row["page_bytes"], row["segment_bytes"]),
            received=_lsn(row["received"]),
            replayed=_lsn(row["replayed"]),
            replayed_until=row["replayed_until"],
        )

    async def switch_wal(self) -> Lsn:
        """End the segment in writing."""
        row = await self._connection.row("SELECT pg_switch_wal()::text AS lsn")
        return Lsn.parse(row["lsn"])

    async def create_restore_point(self, name: str) -> Lsn:
        """Name this moment."""
        row = await self._connection.row("SELECT pg_create_restore_point(%s)::text AS lsn", (name,))
        return Lsn.parse(row["lsn"])

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def slot(self, name: str) -> Slot | None:
        """What became of a slot."""
        rows = await self._connection.rows(_SLOT, (name,))
        return _slot(rows[0]) if rows else None

    async def create_slot(self, name: str) -> Slot:
        """Make a slot."""
        await self._connection.rows(_CREATE_SLOT, (name, name))
        return _slot(await self._connection.row(_SLOT, (name,)))

    async def advance_slot(self, name: str, to: Lsn) -> Slot | None:
        """Let go of WAL."""
        await self._connection.rows(_ADVANCE_SLOT, (str(to), name))
        return await self.slot(name)

    async def drop_slot(self, name: str) -> bool:
        """Remove a slot."""
        return bool(await self._connection.rows(_DROP_SLOT, (name,)))

    async def may_beat(self) -> bool:
        """Whether it may write the table."""
        return any(row["may_write"] for row in await self._connection.rows(MAY_WRITE))

    async def beat(self, beat: Beat) -> Heartbeat:
        """Write the row."""
        row = await self._connection.row(WRITE, (beat.policy, beat.daemon, beat.term, beat.sequence))
        return _heartbeat(row)

    async def forget_beats(self, policy: str, daemon: str, older: timedelta) -> tuple[str, ...]:
        """Remove rows of daemons that are gone."""
        if not any(row["may_delete"] for row in await self._connection.rows(MAY_DELETE)):
            return ()
        gone = await self._connection.rows(DELETE, (policy, daemon, older.total_seconds()))
        return tuple(row["daemon"] for row in gone)

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        """Read all rows of all databases."""
        found = await _heartbeats(self._connection)
        for row in await self._connection.rows(_DATABASES):
            other = self._connection.to(row["name"])
            try:
                found += await _heartbeats(other)
            except LoginRefused:
                continue  # pg_hba.conf may admit to fewer databases than the rights do
            finally:
                await other.close()
        return tuple(sorted(found, key=lambda each: each.written, reverse=True))


async def _heartbeats(connection: Connection) -> list[Heartbeat]:
    if not any(row["may_read"] for row in await connection.rows(MAY_READ)):
        return []
    return [_heartbeat(row) for row in await connection.rows(READ)]


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)


def _slot(row: Row) -> Slot:
    status: Any = row["wal_status"]
    return Slot(
        name=row["name"],
        is_active=row["is_active"],
        restart=_lsn(row["restart"]),
        wal_status=None if status is None else WalStatus(status),
        safe_bytes=row["safe_bytes"],
    )


def _heartbeat(row: Row) -> Heartbeat:
    beat = Beat(row["policy"], row["daemon"], row["term"], row["sequence"])
    return Heartbeat(beat, row["written"], Lsn.parse(row["lsn"]), row.get("replaced"))
