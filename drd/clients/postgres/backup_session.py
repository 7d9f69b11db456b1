"""A base backup by PostgreSQL's low-level functions: the session in which files may be read where they lie.

The server ends a backup whose session ends, so nothing is left on it however drd ends. A slot of the same life keeps
the WAL that the backup needs from being removed meanwhile, and shows by its folder whose data directory one looks at.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drd.clients.postgres.connection import Connection, Patience
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import sql_name

LONGEST: Final = timedelta(hours=1)
"""How long the server's checkpoint may take at the beginning."""
RENAMED_IN: Final = 15
"""Before, the functions had other names and one more argument."""
_IDLE_LIMIT_SINCE: Final = 14
_RIGHTS = """
SELECT pg_postmaster_start_time() AS started,
       has_function_privilege(%s, 'EXECUTE') AND has_function_privilege(%s, 'EXECUTE') AS may
"""
# To convert a text to the encoding that it has leaves each of its bytes as it is.
_STOP = """
SELECT lsn::text AS lsn, convert_to(labelfile, getdatabaseencoding()) AS label,
       convert_to(coalesce(spcmapfile, ''), getdatabaseencoding()) AS spaces
FROM {call}
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of a base backup. The files are as the server made them, byte for byte."""

    end: Lsn
    label: bytes
    tablespace_map: bytes
    """Empty where there are no tablespaces."""


def functions(major: int) -> tuple[str, str]:
    """What begins and what ends a base backup, with the types of their arguments."""
    if major >= RENAMED_IN:
        return "pg_backup_start(text,boolean)", "pg_backup_stop(boolean)"
    return "pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"


async def demand_rights(dsn: Dsn, major: int) -> datetime:
    """When the server was started. Raises `PermanentError` where the role may not begin a base backup."""
    connection = Connection(dsn)
    try:
        row = await connection.row(_RIGHTS, functions(major))
    finally:
        await connection.close()
    if not row["may"]:
        role = sql_name(dsn.user or "drd")
        raise PermanentError(
            f"{dsn.place} does not let {dsn.user or 'drd'} begin a base backup",
            f"GRANT EXECUTE ON FUNCTION {', '.join(functions(major))} TO {role};",
        )
    started: datetime = row["started"]
    return started


class BackupSession:
    """A base backup under way."""

    def __init__(self, connection: Connection, major: int, slot: str) -> None:
        self.slot = slot
        """The slot that is there while the session lasts."""
        self._connection = connection
        self._major = major

    async def reserve(self) -> None:
        """Keep WAL from being removed, from the server's last checkpoint on."""
        if self._major >= _IDLE_LIMIT_SINCE:
            await self._connection.rows("SET idle_session_timeout = 0")
        await self._connection.rows("SELECT pg_create_physical_replication_slot(%s, true, true)", (self.slot,))

    async def begin(self, label: str) -> None:
        """Begin; the files may be read when this returns."""
        call = "pg_backup_start(%s, true)" if self._major >= RENAMED_IN else "pg_start_backup(%s, true, false)"
        await self._connection.rows(f"SELECT {call}", (label,))

    async def end(self) -> Stopped:
        """End it. Raises `TransientError` when the server has ended it before: what was read is worth nothing."""
        call = "pg_backup_stop(false)" if self._major >= RENAMED_IN else "pg_stop_backup(false, false)"
        try:
            row = await self._connection.row(_STOP.format(call=call))
        except TransientError:
            raise
        except PermanentError as error:
            raise TransientError(
                f"the base backup was ended by the server before all was read: {error.message}",
                "the next run makes another one",
            ) from error
        return Stopped(Lsn.parse(row["lsn"]), bytes(row["label"]), bytes(row["spaces"]))

    async def close(self) -> None:
        """End the session, and with it the slot."""
        await self._connection.close()


@asynccontextmanager
async def backup_session(dsn: Dsn, major: int) -> AsyncIterator[BackupSession]:
    """A session of its own, which ends with the context, and with it a base backup that was not ended."""
    connection = Connection(dsn, Patience(answer=LONGEST))
    try:
        yield BackupSession(connection, major, f"drd_read_{secrets.token_hex(8)}")
    finally:
        await connection.close()
