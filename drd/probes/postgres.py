"""What a PostgreSQL server tells of itself: its role, how far it is, who receives from it, whether it takes rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.watched import WatchedServer
from drd.core.errors import DrdError
from drd.core.probing import Failure, ProbeResult, Sign
from drd.core.secrets import SecretReference
from drd.core.units import Flag, PositiveDuration
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.world import World


class PostgresProbe(Probe):
    """A PostgreSQL server that answers a query: its role, timeline and position, replication, and its heartbeat.

    One session is kept, so that the end of the process is noticed at once.
    """

    kind: ClassVar[str] = "postgres"

    dsn: SecretReference | None = None
    """Another connection string than the node's own, as its users have: several hosts, or the proxy."""
    write_check: Flag = False
    """Write a row of drd.heartbeat at each look at the primary; it waits for no standby."""
    timeout: PositiveDuration = Field(default="1s", validate_default=True)
    """An answer that takes longer is none."""

    def summary(self) -> str:
        """What is asked."""
        return "PostgreSQL answers, and takes a row" if self.write_check else "PostgreSQL answers"

    def why_not(self, target: Target) -> str:
        """It needs to know how to connect."""
        if self.dsn is not None or target.dsn is not None:
            return ""
        return "the node has no postgres: in drd.yaml" if target.node else "nothing says how it is reached: add `dsn:`"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        """Ready to look. Raises `TypeError` for a node without a connection string: `why_not` says so before."""
        dsn = self.dsn or target.dsn
        if dsn is None:
            raise TypeError(self.why_not(target))
        prober = _Prober(world, self, target, dsn)
        try:
            yield prober
        finally:
            await prober.close()


class _Prober:
    """Reads the connection string again only when the server did not let it in."""

    def __init__(self, world: World, probe: PostgresProbe, target: Target, dsn: SecretReference) -> None:
        self._world, self._probe, self._target, self._dsn = world, probe, target, dsn
        self._server: WatchedServer | None = None

    async def look(self) -> ProbeResult:
        clock = self._world.clock
        began = clock.monotonic()
        if self._server is None:
            try:
                dsn = Dsn.parse(await self._world.secrets.read(self._dsn))
            except DrdError as error:
                took, signs = clock.monotonic() - began, frozenset({Sign.NOT_LET_IN})
                return ProbeResult(self._probe.kind, began, took, Failure.WRONG_ANSWER, error.message, signs)
            writes_as = self._target.writes_as if self._probe.write_check else ""
            self._server = WatchedServer(dsn, self._target.policy, clock, self._probe.timeout, writes_as)
        result = await self._server.look()
        if Sign.NOT_LET_IN in result.signs:
            await self.close()
        return result

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing if self._server is None else self._server.on_closed(call)

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()
