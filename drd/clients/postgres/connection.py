"""One connection to a server, made when it is needed, on which every statement has a deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.outcomes import first_sentence, meaning
from drd.clients.process import Redaction
from drd.core.errors import DrdError, PermanentError
from drd.core.postgres.errors import ServerAway
from drd.core.units import format_duration

if TYPE_CHECKING:
    import psycopg

Result = TypeVar("Result")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for."""

    connect: timedelta = timedelta(seconds=10)
    """Until it has let us in, over all its hosts together."""
    answer: timedelta = timedelta(seconds=20)
    """Until a statement is done."""


USUAL = Patience()


class Connection:
    """Runs statements one after the other; after a failure of the connection, the next makes a new one.

    A console, as PgBouncer's, takes commands of its own and no SQL.
    """

    def __init__(self, dsn: Dsn, patience: Patience = USUAL, *, is_console: bool = False) -> None:
        self.dsn = dsn
        self._patience = patience
        self._takes_sql = not is_console and "replication" not in dsn.parameters
        self._turn = asyncio.Lock()
        self._open: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a statement, with `%s` for each parameter, and return its rows. Raises what its failure means."""

        async def ask(connection: psycopg.AsyncConnection[dict[str, Any]]) -> list[Row]:
            # As bytes, because psycopg takes only literals as text; values always go as parameters.
            cursor = await connection.execute(statement.encode(), parameters or None)
            return list(await cursor.fetchall()) if cursor.description else []

        return await self._with_connection(ask)

    async def row(self, statement: str, parameters: Sequence[object] = ()) -> Row:
        """The same where there is exactly one row."""
        [row] = await self.rows(statement, parameters)
        return row

    def to(self, database: str) -> Connection:
        """A connection to another database of the same server."""
        return Connection(Dsn({**self.dsn.parameters, "dbname": database}), self._patience)

    def replicating(self) -> Connection:
        """A connection that speaks the protocol of replication, for commands of it without parameters."""
        return Connection(Dsn({**self.dsn.parameters, "replication": "true"}), self._patience)

    async def close(self) -> None:
        """Close it; the next statement opens another."""
        async with self._turn:
            await self._drop()

    async def _with_connection(
        self, ask: Callable[[psycopg.AsyncConnection[dict[str, Any]]], Awaitable[Result]]
    ) -> Result:
        import psycopg

        try:
            async with asyncio.timeout(self._patience.answer.total_seconds()):
                await self._turn.acquire()
        except TimeoutError:
            raise self._late(self._patience.answer) from None
        try:
            if self._open is None or self._open.closed:
                self._open = await self._connect()
            return await self._within(self._patience.answer, ask(self._open), self._open)
        except psycopg.Error as error:
            if self._open is not None and self._open.closed:
                self._open = None
            # Not chained: a driver's error may hold the parameters of the connection.
            raise self._failure(error) from None
        finally:
            self._turn.release()

    async def _connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row

        seconds = self._patience.connect.total_seconds()
        given: dict[str, Any] = {"application_name": "drd", "tcp_user_timeout": int(seconds * 1000)}
        given |= self.dsn.parameters
        try:
            async with asyncio.timeout(seconds):
                connection = await psycopg.AsyncConnection.connect(
                    **given, autocommit=True, prepare_threshold=None, row_factory=dict_row
                )
        except TimeoutError:
            raise self._late(self._patience.connect) from None
        if not self._takes_sql:
            return connection
        limit = int(self._patience.answer.total_seconds() * 1000)
        settings = f"SET statement_timeout = {limit}; SET lock_timeout = {limit}; SET TimeZone = 'UTC'"
        await self._within(self._patience.answer, connection.execute(settings.encode()), connection)
        return connection

    async def _within(
        self, limit: timedelta, work: Awaitable[Result], connection: psycopg.AsyncConnection[dict[str, Any]]
    ) -> Result:
        """Wait for `work`, and cut the connection when it takes too long or we are cancelled.

        psycopg would ask the server to cancel the statement and wait for its answer, which a server that hangs never
        gives.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit.total_seconds())
            if done:
                return task.result()
        except asyncio.CancelledError:
            await self._cut(connection, task)
            raise
        await self._cut(connection, task)
        raise self._late(limit)

    async def _cut(self, connection: psycopg.AsyncConnection[dict[str, Any]], task: asyncio.Future[Any]) -> None:
        self._open = None
        if not connection.closed:
            line = socket.socket(fileno=connection.fileno())
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.detach()  # psycopg closes it
        await asyncio.wait({task}, timeout=1)
        if task.done() and not task.cancelled():
            task.exception()  # that the connection is gone is what was meant to happen
        await connection.close()

    async def _drop(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            await connection.close()

    def _late(self, limit: timedelta) -> ServerAway:
        return ServerAway(
            f"{self.dsn.place} did not answer within {format_duration(limit)}", "drd tries again by itself"
        )

    def _failure(self, error: psycopg.Error) -> DrdError:
        said = Redaction(self.dsn.secrets).hide(str(error).encode()).decode(errors="replace")
        known = meaning(said, self.dsn.place, self.dsn.user, error.sqlstate)
        return known or PermanentError(
            f"{self.dsn.place}: {first_sentence(said) or 'it gave no reason'}", "look at the server's log"
        )
