"""The least that drd's role needs on a PostgreSQL server, as a person types it there."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.postgres.names import hba_name, sql_name


@dataclass(frozen=True, slots=True)
class Use:
    """What drd does on a server."""

    role: str
    database: str
    """The one that drd asks; base backups and WAL are of all of them."""
    address: str = "ADDRESS"
    """Where drd connects from: an IP address, a network with its mask, or `local` for the socket."""
    receives_wal: bool = False
    heartbeat_schema: str | None = None
    """Where the heartbeat's table stands; None: drd writes nothing."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Statements for a superuser in the database that drd asks, and lines for pg_hba.conf, above any that are wider."""

    sql: tuple[str, ...]
    hba: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [
                "-- as a superuser, in the database that drd asks:",
                *self.sql,
                "-- in pg_hba.conf, above wider lines:",
                *(f"--   {line}" for line in self.hba),
                "SELECT pg_reload_conf();",
            ]
        )


def grants(use: Use) -> Grants:
    """What lets drd do this, and nothing else."""
    role = sql_name(use.role)
    sql = [f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '…';"]
    if use.receives_wal:
        sql += [
            f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {role};",
            f"GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO {role};",
        ]
    if use.heartbeat_schema is not None:
        sql.append(f"CREATE SCHEMA IF NOT EXISTS {sql_name(use.heartbeat_schema)} AUTHORIZATION {role};")
    return Grants(tuple(sql), tuple(_hba_lines(use)))


def _hba_lines(use: Use) -> list[str]:
    who = hba_name(use.role)
    databases = ("replication", hba_name(use.database))
    if use.address == "local":
        return [f"local {database} {who} scram-sha-256" for database in databases]
    return [f"hostssl {database} {who} {_masked(use.address)} scram-sha-256" for database in databases]


def _masked(address: str) -> str:
    if "/" in address or not any(each in address for each in ".:") or not address[0].isalnum():
        return address
    if ":" in address:
        return f"{address}/128"
    return f"{address}/32" if address.replace(".", "").isdigit() else address
