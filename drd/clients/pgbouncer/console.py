"""PgBouncer's admin console: a database of that name, which takes its own commands by the simple protocol alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from drd.clients.postgres.connection import Connection, Patience, Row
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import PermanentError
from drd.core.pgbouncer import USUAL_PORT, Where
from drd.core.postgres.errors import ServerAway

CONSOLE: Final = "pgbouncer"
NO_ADMIN: Final = "admin access needed"
PATIENCE: Final = Patience(timedelta(seconds=5), timedelta(seconds=5))


@dataclass(frozen=True, slots=True)
class Pool:
    """A database of PgBouncer's."""

    where: Where
    is_paused: bool


class Console:
    """The console of one PgBouncer. Everything raises `DrdError`s that say what its failure means."""

    def __init__(self, secret: bytes) -> None:
        self._dsn = Dsn({**Dsn.parse(secret).parameters, "dbname": CONSOLE})

    @property
    def place(self) -> str:
        """Where it is, in words."""
        parameters = self._dsn.parameters
        host = parameters.get("host") or parameters.get("hostaddr") or "localhost"
        return f"{host}:{parameters.get('port', '6432')}"

    async def pool(self, database: str) -> Pool:
        """What it knows of a database. Raises `PermanentError` where it has none of that name."""
        rows = await self._ask("SHOW DATABASES")
        row = next((each for each in rows if each["name"] == database), None)
        if row is None:
            raise PermanentError(f"pgbouncer at {self.place} has no database {database}", "look at its [databases]")
        return Pool(Where(row["host"] or "", int(row["port"] or USUAL_PORT)), bool(int(row["paused"])))

    async def demand_admin(self) -> None:
        """Raises `PermanentError` for who may only look.

        To set what there is not fails for everybody, and for who may not give orders with other words.
        """
        with suppress(ServerAway):
            await self._ask("SET drd_may_set_nothing = '1'")

    async def pause(self, database: str, patience: timedelta) -> bool:
        """Keep what clients ask for waiting, once no transaction is open; False where one was open for too long."""
        try:
            await self._ask(f"PAUSE {_name(database)}", patience)
        except ServerAway:
            await self.pool(database)  # says so where it is the console itself that is away
            return False
        return True

    async def kill(self, database: str) -> None:
        """End all sessions of clients and of servers; whoever connects waits."""
        await self._ask(f"KILL {_name(database)}")

    async def resume(self, database: str) -> None:
        """Let clients go on; nothing is done where they may."""
        if (await self.pool(database)).is_paused:
            await self._ask(f"RESUME {_name(database)}")

    async def reload(self) -> None:
        """Have it read its files again."""
        await self._ask("RELOAD")

    async def _ask(self, order: str, patience: timedelta = PATIENCE.answer) -> list[Row]:
        connection = Connection(self._dsn, Patience(PATIENCE.connect, patience), is_console=True)
        try:
            return await connection.rows(order)
        except ServerAway as error:
            if NO_ADMIN in error.message:
                raise PermanentError(
                    f"pgbouncer at {self.place} takes no orders from {self._dsn.user or 'drd'}",
                    "name that user in its admin_users",
                ) from error
            raise
        finally:
            await connection.close()


def _name(database: str) -> str:
    return '"' + database.replace('"', '""') + '"'
