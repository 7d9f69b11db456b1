"""The least that drd's role needs on a PostgreSQL server, as a person types it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drd.core.postgres import heartbeat
from drd.core.postgres.names import hba_name, sql_name

LOCAL: Final = "local"
SOMEWHERE: Final = "ADDRESS"
STATISTICS: Final = "pg_read_all_stats"
"""Without it a standby does not tell which timeline it follows until its next restart point."""
READING: Final = "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
"""What begins and ends a base backup since 15; a server before that names its own when drd asks for them."""

CHECKPOINT: Final = "pg_checkpoint"
PROMOTING: Final = "pg_promote(boolean, integer), pg_reload_conf()"
REWINDING: Final = (
    "pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), "
    "pg_read_binary_file(text, bigint, bigint, boolean)"
)
"""What pg_rewind asks the new primary for, as its manual says."""
PARAMETERS: Final = "synchronous_standby_names, primary_slot_name"
"""What is set before a promotion, and what cuts a standby off; since 15, before that only a superuser may."""


@dataclass(frozen=True, slots=True)
class Use:
    """What drd does on a server."""

    role: str
    database: str
    """The one that drd asks; base backups and WAL are of all of them."""
    address: str = SOMEWHERE
    """Where drd connects from: an IP address, a network with its mask, or `local` for the socket."""
    beats: bool = False
    """Whether it writes the heartbeat."""
    has_standbys: bool = False
    """Whether it chooses among several servers."""
    reads_files: bool = False
    """Whether the files of the data directory are read where they lie."""
    recovers: bool = False
    """Whether runbooks make standbys primaries and bring old primaries back."""
    incoming: str | None = None
    """The folder that the server's `archive_command` brings WAL into; None: it comes by a slot alone."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Statements for a superuser in the database that drd asks, and lines for pg_hba.conf, above any that are wider."""

    database: str
    sql: tuple[str, ...]
    hba: tuple[str, ...]
    archiving: tuple[str, ...] = ()
    """Statements after which the server hands its finished WAL over; a restart follows where archiving was off."""

    def __str__(self) -> str:
        lines = [
            f"-- as a superuser, in the database {self.database} of the primary:",
            *self.sql,
            "-- in pg_hba.conf of each server, above wider lines:",
            *(f"--   {line}" for line in self.hba),
            "SELECT pg_reload_conf();",
        ]
        if self.archiving:
            lines += ["-- on each server, and restart it where archive_mode was off:", *self.archiving]
        return "\n".join(lines)


def grants(use: Use) -> Grants:
    """What lets drd do this, and nothing else."""
    role = sql_name(use.role)
    sql = [f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '…';"]
    if use.has_standbys:
        sql.append(f"GRANT {STATISTICS} TO {role};")
    if use.reads_files:
        sql.append(f"GRANT pg_read_all_settings TO {role};")
        sql.append(f"GRANT EXECUTE ON FUNCTION {READING} TO {role};")
    if use.recovers:
        sql.append(f"GRANT {CHECKPOINT} TO {role};")
        sql.append(f"GRANT EXECUTE ON FUNCTION {PROMOTING}, {REWINDING} TO {role};")
        sql.append(f"GRANT ALTER SYSTEM ON PARAMETER {PARAMETERS} TO {role};")
    if use.beats:
        sql += [*heartbeat.CREATE, *heartbeat.rights(use.role)]
    return Grants(use.database, tuple(sql), tuple(_hba_lines(use)), tuple(_archiving(use)))


def _hba_lines(use: Use) -> list[str]:
    who = hba_name(use.role)
    databases = ("replication", hba_name(use.database))
    if use.address == LOCAL:
        return [f"local {database} {who} scram-sha-256" for database in databases]
    return [f"hostssl {database} {who} {_masked(use.address)} scram-sha-256" for database in databases]


def _archiving(use: Use) -> list[str]:
    if use.incoming is None:
        return []
    command = f"drd wal-push %p {use.incoming}".replace("'", "''")
    return ["ALTER SYSTEM SET archive_mode = 'on';", f"ALTER SYSTEM SET archive_command = '{command}';"]


def _masked(address: str) -> str:
    if "/" in address or not any(each in address for each in ".:") or not address[0].isalnum():
        return address
    if ":" in address:
        return f"{address}/128"
    return f"{address}/32" if address.replace(".", "").isdigit() else address
