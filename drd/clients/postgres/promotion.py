"""Making a standby the primary, and what is known of a server just before that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from drd.clients.postgres.connection import Connection, Patience
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.server import PostgresServer
from drd.core.errors import DrdError, TransientError
from drd.core.postgres.errors import RightMissing
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import sql_name
from drd.core.postgres.verdicts import may_hang
from drd.core.units import format_duration

PATIENCE: Final = Patience(timedelta(seconds=3), timedelta(seconds=5))
POLL_SECONDS: Final = 0.01
"""pg_promote itself looks ten times a second only, which would be felt."""
LAST_LOOK_SECONDS: Final = 1.0
"""How long a server that was not promoted in time is asked why."""
AGAIN_POLLS: Final = 20
"""How often it is looked before the order is given again.

One that arrives in the moment in which the standby has lost its primary is slept over until the next try for log
(`wal_retrieve_retry_interval`, 5 s); the next order wakes it.
"""
# A setting that the role may not see has no row; of one that it sees nothing secret is told.
_LOOK: Final = r"""
SELECT current_setting('synchronous_standby_names') AS awaited, current_setting('primary_slot_name') AS slot,
       lower(substring(coalesce((SELECT conninfo FROM pg_stat_wal_receiver),
                                (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'))
                       FROM '(?:^|\s)application_name\s*=\s*''?([^\s'']+)')) AS name,
       ARRAY(SELECT lower(application_name) FROM pg_stat_replication WHERE state = 'streaming') AS receivers
"""
_RISKS: Final = """
SELECT current_setting('synchronous_standby_names') AS awaited,
       (SELECT setting::int FROM pg_settings WHERE name = 'wal_retrieve_retry_interval') AS retry_ms,
       current_setting('restore_command', true) AS restore_command
"""
_ASKS_AFTER: Final = "SELECT setting::float8 / 2000 AS seconds FROM pg_settings WHERE name = 'wal_receiver_timeout'"
_WAITS_FOR: Final = """
SELECT (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup') AS event
"""
_MAY_PROMOTE: Final = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE') AS may"


@dataclass(frozen=True, slots=True)
class Found:
    """A server as it answers now."""

    is_in_recovery: bool
    timeline: int
    position: Lsn
    """The newest that it has of the write-ahead log: of a standby, what it has received."""
    cluster: str = ""
    """The identifier that all copies of one database share."""
    awaited: str = ""
    """Its `synchronous_standby_names`."""
    receives_by: str = ""
    """Of a standby: the slot by which it asks for log."""
    receivers: frozenset[str] = frozenset()
    """The members that receive from it, in small letters: of a standby those behind it."""
    replicates_as: str = ""
    """Of a standby: the name under which it replicates, in small letters; empty where it does not tell."""


async def look(dsn: bytes) -> Found:
    """What a server is now. Raises what keeps it from answering."""
    server, connection = PostgresServer(Dsn.parse(dsn), PATIENCE), Connection(Dsn.parse(dsn), PATIENCE)
    try:
        facts, positions = await server.facts(), await server.positions()
        row = await connection.row(_LOOK)
    finally:
        await server.close()
        await connection.close()
    receivers = frozenset(row["receivers"])
    told = (facts.is_in_recovery, facts.timeline, positions.newest, facts.system_identifier)
    return Found(*told, row["awaited"], row["slot"], receivers, row["name"] or "")


async def risks(dsn: bytes) -> tuple[str, ...]:
    """What would make a promotion slow, or writes wait after it, with what was measured of each."""
    connection = Connection(Dsn.parse(dsn), PATIENCE)
    try:
        row = await connection.row(_RISKS)
    finally:
        await connection.close()
    found = []
    if row["awaited"]:
        found.append(f"synchronous_standby_names is '{row['awaited']}': after the promotion writes wait for these")
    if row["retry_ms"] >= 1000:
        found.append(f"wal_retrieve_retry_interval is {row['retry_ms']} ms, which a promotion may take longer by")
    if row["restore_command"]:
        limit = "has no time limit: where it hangs, so does the promotion" if may_hang(row["restore_command"]) else ""
        found.append(f"restore_command {limit or 'is asked several times during a promotion'}")
    return tuple(found)


async def asks_after_seconds(dsn: bytes) -> float:
    """After how long a silence a standby asks its primary for a sign of life; 0: never."""
    connection = Connection(Dsn.parse(dsn), PATIENCE)
    try:
        return float((await connection.row(_ASKS_AFTER))["seconds"])
    finally:
        await connection.close()


async def demand_right_to_promote(dsn: bytes) -> None:
    """Raise `RightMissing` when the role may not promote a standby. Changes nothing."""
    connection = Connection(Dsn.parse(dsn), PATIENCE)
    try:
        row = await connection.row(_MAY_PROMOTE)
    finally:
        await connection.close()
    if not row["may"]:
        role = sql_name(connection.dsn.user or "drd")
        raise RightMissing(
            f"{connection.dsn.place} does not let {connection.dsn.user or 'drd'} promote it",
            f"GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO {role};",
        )


async def promote(dsn: bytes, sleep: Callable[[float], Awaitable[None]], patience: timedelta) -> None:
    """Make a standby the primary and return as soon as it is.

    Raises `TransientError` when that takes too long, with what holds it up. What was ordered is not taken back: the
    standby becomes the primary as soon as nothing holds it up.
    """
    connection = Connection(Dsn.parse(dsn), PATIENCE)
    try:
        async with asyncio.timeout(patience.total_seconds()):
            for count in itertools.count():
                if count % AGAIN_POLLS == 0:
                    await _order(connection, is_first=count == 0)
                if not await _is_in_recovery(connection):
                    return
                await sleep(POLL_SECONDS)
    except TimeoutError as error:
        why, hint = await _what_holds(connection.dsn)
        late = f"{connection.dsn.place} is not the primary after {format_duration(patience)}"
        raise TransientError(f"{late}{why}", hint) from error
    finally:
        await connection.close()


async def _what_holds(dsn: Dsn) -> tuple[str, str]:
    """What a server that was told to promote waits for, and what to do; before PostgreSQL 14 it does not tell."""
    limit = timedelta(seconds=LAST_LOOK_SECONDS)
    connection, event = Connection(dsn, Patience(limit, limit)), None
    with suppress(DrdError):
        event = (await connection.row(_WAITS_FOR))["event"]
    await connection.close()
    if event != "RestoreCommand":
        return "", "look at its log"
    return (
        ": it waits for its restore_command, and is promoted as soon as that ends",
        "end the program there that restore_command has started",
    )


async def _order(connection: Connection, *, is_first: bool) -> None:
    try:
        await connection.rows("SELECT pg_promote(false)")
    except DrdError:
        if is_first:
            raise
        # It is none any more that could be promoted, which the next look shows.


async def _is_in_recovery(connection: Connection) -> bool:
    return bool((await connection.row("SELECT pg_is_in_recovery() AS is_it"))["is_it"])
