"""What a PostgreSQL server tells of itself: its role, how far it is, who receives from it, whether it takes rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.watched import WatchedServer
from drd.core.errors import DrdError
from drd.core.findings import Finding
from drd.core.postgres.clients_way import of_clients
from drd.core.postgres.heartbeat import TABLE
from drd.core.probing import DatabaseSeen, Failure, NodeRole, ProbeResult, Sign
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
    """Write a row of drd.heartbeat at each look at the primary; it waits for no standby.

    Under `service:` a standby that answers, or a row that is refused, is a failure.
    """
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

    async def findings(self, world: World) -> tuple[Finding, ...]:
        """What its connection string makes of clients when a host falls silent; nothing where it cannot be read."""
        if self.dsn is None:
            return ()
        try:
            parameters = Dsn.parse(await world.secrets.read(self.dsn)).parameters
        except DrdError:
            return ()
        told = of_clients(parameters, self.timeout)
        return tuple(Finding("", each.message, each.hint, each.severity) for each in told)

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
        if self._probe.write_check and not self._target.node and result.database is not None:
            lacking = "" if self._server.may_write else f"type: drd grants {self._target.policy}"
            result = _as_used(result, result.database, lacking)
        if Sign.NOT_LET_IN in result.signs or (result.database is not None and not result.is_good):
            await self.close()
        return result

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing if self._server is None else self._server.on_closed(call)

    async def close(self) -> None:
        """Give the session back; the next look has a new one, which may lead to another server."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()


def _as_used(result: ProbeResult, seen: DatabaseSeen, lacking: str) -> ProbeResult:
    """What users find who write; `lacking` says how drd itself gets the right to."""
    if seen.role is NodeRole.STANDBY:
        return replace(result, failure=Failure.WRONG_ANSWER, message="a standby answers, which takes no row")
    if lacking:
        message = f"{TABLE} is not there for drd, or may not be written; {lacking}"
        return replace(result, failure=Failure.WRONG_ANSWER, message=message, signs=frozenset({Sign.NOT_LET_IN}))
    if seen.write_failed:
        return replace(result, failure=Failure.WRONG_ANSWER, message=seen.write_failed)
    return result
