"""Sending clients to another server through PgBouncer."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import Field, field_validator

from drd.clients.pgbouncer import Console, DatabasesFile, commands
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import DrdError, PermanentError
from drd.core.pgbouncer import USUAL_PORT, Where
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.core.units import Duration, format_duration
from drd.ports.action import ClientsMove, Facts, Preview, Reference, Situation, may_be, node_references
from drd.ports.cancelling import to_the_end

FENCED_DRAIN: Final = timedelta(seconds=0.1)
"""Enough for PgBouncer to notice that the sessions of a server that is gone are closed."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""What PgBouncer's file takes as a name, but for `*`, which stands for all and cannot be paused."""


class Pgbouncer(ClientsMove):
    """Send the clients of a PgBouncer database to another server."""

    kind: ClassVar[str] = "pgbouncer"

    database: Annotated[str, Field(min_length=1, max_length=63)]
    """The database, as PgBouncer calls it."""
    server: NodeName
    """The node that its clients are sent to: its `host`, and the port of its dsn."""
    console: SecretReference
    """How the admin console is reached, as libpq reads it: `postgresql://drd:…@10.0.1.5:6432/pgbouncer`."""
    file: Path = Path("/etc/pgbouncer/drd/databases.ini")
    """The file with the database's line, which PgBouncer's own includes; drd changes `host` and `port` there."""
    node: NodeName | None = None
    """Where PgBouncer runs; left out, on this machine."""
    drain: Duration = timedelta(seconds=1)
    """How long transactions may go on before all sessions are cut off; sessions that are kept longer are cut too.

    A tenth of a second at most where the run has fenced the old server, whose transactions come to no end any more.
    """

    @field_validator("database")
    @classmethod
    def _is_one_database(cls, value: str) -> str:
        if not _PLAIN.fullmatch(value):
            raise ValueError("write the name of one database, of letters, digits, `_`, `.` and `-`")
        return value

    @field_validator("file")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("write the whole path, as /etc/pgbouncer/drd/databases.ini")
        return value

    async def preview(self, at: Situation) -> Preview:
        """The orders, the change of the file, and what of it could not be looked at."""
        wanted, file = await self._wanted(at), self._file(at)
        unchecked = []
        place, now = "pgbouncer", ""
        try:
            console = await self._console(at)
            place = f"pgbouncer at {console.place}"
            now = f" (now {(await console.pool(self.database)).where})"
            await console.demand_admin()
        except DrdError as error:
            unchecked.append(error.message)
        try:
            await file.where(self.database)
            await file.demand_writable()
        except DrdError as error:
            unchecked.append(error.message)
        drain = format_duration(self.drain)
        stop = f'PAUSE "{self.database}", after {drain} KILL' if self.drain else f'KILL "{self.database}"'
        lines = (
            f"{place}: {stop}{now}",
            f"{file.place}: {self.database} = … host={wanted.host} port={wanted.port}",
            f"{place}: RELOAD",
            f'{place}: RESUME "{self.database}"',
        )
        return Preview(lines, tuple(unchecked))

    async def is_done(self, at: Situation) -> Answer:
        """Whether its clients go there now, and will after the next start of PgBouncer too."""
        wanted = await self._wanted(at)
        pool = await (await self._console(at)).pool(self.database)
        is_there = pool.where == wanted and not pool.is_paused
        return Answer.DONE if is_there and await self._file(at).where(self.database) == wanted else Answer.NOT_DONE

    async def apply(self, at: Situation) -> Facts:
        """Let no client through, point the database to the other server, and let them go on; look whether it is so."""
        wanted = await self._wanted(at)
        before = await self._send_to(at, wanted)
        return {} if before == wanted else {self._remembered: str(before)}

    async def undo(self, at: Situation) -> Facts:
        """Send them to the server where they were before."""
        if self._remembered not in at.variables:
            raise PermanentError(
                f"where the clients of {self.database} were before is not on record", f"look at {self.file}"
            )
        await self._send_to(at, Where.parse(at.variables[self._remembered]))
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether the console lets drd in, and whether the file has the line and could be written."""
        console, file = await self._console(at), self._file(at)
        await console.pool(self.database)
        await console.demand_admin()
        await file.where(self.database)
        await file.demand_writable()
        return {}

    @property
    def _remembered(self) -> str:
        return f"pgbouncer {self.database}" + (f" on {self.node}" if self.node else "")

    async def _wanted(self, at: Situation) -> Where:
        machine = at.machine(self.server)
        port = "" if machine.dsn is None else Dsn.parse(await at.world.secrets.read(machine.dsn)).parameters.get("port")
        return Where(machine.host, int(port) if port and port.isdecimal() else USUAL_PORT)

    async def _console(self, at: Situation) -> Console:
        return Console(await at.world.secrets.read(self.console))

    def _file(self, at: Situation) -> DatabasesFile:
        machine = None if self.node is None else at.machine(self.node)
        return DatabasesFile(at.world.runner, self.file, machine)

    async def _send_to(self, at: Situation, wanted: Where) -> Where:
        """Returns where they were. A client that waits never notices more than that; one that is cut connects anew."""
        console, file = await self._console(at), self._file(at)
        pool = await console.pool(self.database)
        before = pool.where
        if await file.where(self.database) == before == wanted and not pool.is_paused:
            return before
        await file.demand_writable()
        await console.demand_admin()
        drain = self._drain(at, before)
        try:
            if not (drain and await console.pause(self.database, drain)):
                await console.kill(self.database)
            await file.point(self.database, wanted)
            await console.reload()
        finally:
            # Whatever came of it: clients that are kept waiting are an outage of their own.
            await to_the_end(console.resume(self.database))
        pool = await console.pool(self.database)
        if pool.where != wanted or pool.is_paused:
            raise PermanentError(
                f"pgbouncer sends clients of {self.database} to {pool.where} all the same",
                f"write `%include {self.file}` into its pgbouncer.ini",
            )
        return before

    def _drain(self, at: Situation, before: Where) -> timedelta:
        """What is open at a node that was fenced comes to no end any more."""
        fenced = at.machines.get(at.variables.get("fenced", ""))
        return min(self.drain, FENCED_DRAIN) if fenced is not None and fenced.host == before.host else self.drain

    def commands_on(self, node: str, user: str, *, is_own: bool) -> tuple[tuple[str, ...], ...]:
        """What reads and writes the file where PgBouncer runs."""
        return commands(self.file) if may_be(self.node, node, is_own=is_own) else ()

    def references(self) -> tuple[Reference, ...]:
        """Both nodes, unless they are roles."""
        return (*node_references(self.server, "server"), *node_references(self.node))

    def summary(self) -> str:
        """Which database, to which server."""
        return f"send clients of pgbouncer's {self.database} to {self.server}"
