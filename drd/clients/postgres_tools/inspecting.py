"""Asking a restored cluster, before it takes its place: its own moment, what people want to know, its databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn, Patience, PostgresServer
from drd.clients.postgres.connection import Connection
from drd.clients.postgres_tools.restore_options import Query
from drd.core.errors import DrdError, PermanentError, UsageError
from drd.core.postgres.errors import ServerAway, ServerReadOnly
from drd.core.postgres.heartbeat import Heartbeat, newest
from drd.core.postgres.replaying import last_words
from drd.core.units import format_duration
from drd.ports.clock import Clock
from drd.ports.postgres_serving import Served, ServeRequest, Servers
from drd.ports.source import Check

PATIENT: Final = Patience(answer=timedelta(minutes=30))
"""A statement may have to read the whole cluster."""
STARTS: Final = timedelta(hours=1)
"""How long a server may take to make a base backup consistent with the WAL that is in it."""
LOOK_SECONDS: Final = 0.2
MOST_SHOWN: Final = 200
_SUPERUSER = "SELECT rolname AS name FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1"
_DATABASES = "SELECT datname AS name FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
_READ_ONLY: Final = {"options": "-c default_transaction_read_only=on"}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a restored cluster said of itself."""

    heartbeat: Heartbeat | None = None
    checks: tuple[Check, ...] = ()


class Inspector:
    """Asks a server of drd's own, as its superuser and without writing anything."""

    def __init__(self, served: Served, superuser: str) -> None:
        self._served = served
        self._superuser = superuser

    def dsn(self, database: str) -> Dsn:
        """How a database of it is reached."""
        return Dsn({**self._served.parameters, **_READ_ONLY, "user": self._superuser, "dbname": database})

    async def inspect(self, policy: str, queries: tuple[Query, ...], database: str) -> Inspection:
        """Its newest heartbeat, and what it answers; queries that name no database go to the one given here."""
        server = PostgresServer(self.dsn(database))
        try:
            heartbeat = newest(await server.heartbeats(), policy)
        finally:
            await server.close()
        return Inspection(heartbeat, tuple([await self._check(query, query.database or database) for query in queries]))

    async def demand_database(self, name: str) -> None:
        """See that it has a database. Raises `UsageError` with those that it has."""
        connection = Connection(self.dsn("postgres"), PATIENT)
        try:
            found = [row["name"] for row in await connection.rows(_DATABASES)]
        finally:
            await connection.close()
        if name not in found:
            raise UsageError(f"the cluster has no database {name}", f"those that it has: {', '.join(found)}")

    async def _check(self, query: Query, database: str) -> Check:
        connection = Connection(self.dsn(database), PATIENT)
        words = query.sql if not query.database else f"{query.database}: {query.sql}"
        try:
            rows = await connection.rows(query.sql)
        except ServerReadOnly:
            return Check(words, is_passed=False, said="it would write, and a check only reads")
        except DrdError as error:
            return Check(words, is_passed=False, said=error.message[:MOST_SHOWN])
        finally:
            await connection.close()
        if not rows:
            return Check(words, is_passed=False, said="no row")
        value = next(iter(rows[0].values()), None)
        return Check(words, is_passed=value not in (None, False, 0), said=str(value)[:MOST_SHOWN])


@asynccontextmanager
async def inspecting(servers: Servers, request: ServeRequest, clock: Clock) -> AsyncIterator[Inspector]:
    """Start a server on a data directory that is whole by itself, to ask it."""
    async with servers.served(request) as served:
        await _until_it_serves(served, request.data, clock)
        yield await inspector_of(served)


async def inspector_of(served: Served) -> Inspector:
    """To ask a server that serves. Raises `PermanentError` when it has no superuser that may log in."""
    connection = Connection(Dsn({**served.parameters, "dbname": "postgres"}))
    try:
        rows = await connection.rows(_SUPERUSER)
    finally:
        await connection.close()
    if not rows:
        raise PermanentError("the cluster has no superuser that may log in", "leave out --verify and --database")
    return Inspector(served, rows[0]["name"])


async def _until_it_serves(served: Served, data: Path, clock: Clock) -> None:
    give_up = clock.monotonic() + STARTS.total_seconds()
    while not served.has_ended:
        try:
            if not (await served.server.positions()).is_in_recovery:
                return
        except ServerAway:
            pass
        if clock.monotonic() > give_up:
            raise PermanentError(
                f"the server in {data} does not serve after {format_duration(STARTS)}", "look at the disk: dmesg | tail"
            )
        await clock.sleep(LOOK_SECONDS)
    _, sentence = last_words(served.said)
    raise PermanentError(f"the restored server does not start: {sentence}", "restore another point")
