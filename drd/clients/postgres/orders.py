"""Orders to a server that change how it works: its settings, its slots, a checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from drd.clients.postgres.connection import Connection, Patience
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.errors import RightMissing
from drd.core.postgres.names import sql_name
from drd.core.units import format_duration

QUICK: Final = Patience(timedelta(seconds=3), timedelta(seconds=5))
LOOK_SECONDS: Final = 0.02
LONGEST_CHECKPOINT: Final = timedelta(hours=1)
_IS_SUPERUSER: Final = "SELECT rolsuper AS may FROM pg_roles WHERE rolname = current_user"
_MAY_SET: Final = """
SELECT has_parameter_privilege(%s, 'ALTER SYSTEM') AND has_function_privilege('pg_reload_conf()', 'EXECUTE') AS may
"""
_TIMELINES: Final = """
SELECT control.timeline_id AS flushed,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS written
FROM pg_control_checkpoint() AS control
"""


async def set_parameter(dsn: bytes, name: str, value: str, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Set a parameter for good, and return once it is in force.

    Raises `RightMissing` with what to grant, and `TransientError` when it is not in force in time.
    """
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        if await _in_force(connection, name) == value:
            return
        quoted = value.replace("'", "''")
        try:
            await connection.rows(f"ALTER SYSTEM SET {name} = '{quoted}'")
            await connection.rows("SELECT pg_reload_conf()")
        except RightMissing as error:
            raise _without_right(connection.dsn, name) from error
        for _ in range(round(QUICK.answer.total_seconds() / LOOK_SECONDS)):
            if await _in_force(connection, name) == value:
                return
            await sleep(LOOK_SECONDS)
    finally:
        await connection.close()
    raise TransientError(f"{name} is not in force on {connection.dsn.place}", "look at its log")


async def demand_right(dsn: bytes, name: str) -> None:
    """Raise `RightMissing` when the role may not set a parameter for good. Changes nothing."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        may = (await connection.row(_IS_SUPERUSER))["may"] or (await connection.row(_MAY_SET, (name,)))["may"]
    except PermanentError:
        may = False  # before 15 nobody but a superuser may, and the function that tells is not there
    finally:
        await connection.close()
    if not may:
        raise _without_right(connection.dsn, name)


async def parameter(dsn: bytes, name: str) -> str:
    """What a parameter is set to. Raises `RightMissing` for one that the role may not see."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        return await _in_force(connection, name)
    finally:
        await connection.close()


async def checkpoint(dsn: bytes, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Have all that a primary holds written, its timeline too: else pg_rewind takes it for what it was before.

    Where the role may not order a checkpoint, the one that follows a promotion by itself is waited for.
    """
    patience = Patience(QUICK.connect, LONGEST_CHECKPOINT)
    connection = Connection(Dsn.parse(dsn), patience)
    try:
        try:
            await connection.rows("CHECKPOINT")
        except RightMissing:
            for _ in range(round(LONGEST_CHECKPOINT.total_seconds() / LOOK_SECONDS)):
                row = await connection.row(_TIMELINES)
                if row["flushed"] == row["written"]:
                    return
                await sleep(LOOK_SECONDS)
            late = f"{connection.dsn.place} made no checkpoint within {format_duration(LONGEST_CHECKPOINT)}"
            raise TransientError(late, f"GRANT pg_checkpoint TO {sql_name(connection.dsn.user)};") from None
    finally:
        await connection.close()


async def _in_force(connection: Connection, name: str) -> str:
    return str((await connection.row("SELECT current_setting(%s) AS value", (name,)))["value"])


def _without_right(dsn: Dsn, name: str) -> RightMissing:
    role = sql_name(dsn.user or "drd")
    return RightMissing(
        f"{dsn.place} does not let {dsn.user or 'drd'} set {name}",
        f"GRANT ALTER SYSTEM ON PARAMETER {name} TO {role}; GRANT EXECUTE ON FUNCTION pg_reload_conf() TO {role};",
    )
