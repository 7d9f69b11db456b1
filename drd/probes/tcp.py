"""Whether a port accepts connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar

from pydantic import Field

from drd.clients.lines import connect
from drd.core.probing import ProbeResult
from drd.core.units import PositiveDuration
from drd.ports.clock import Clock
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.world import World


class TcpProbe(Probe):
    """A port that accepts connections: `tcp: {port: 6379}`. A process that hangs may still accept them."""

    kind: ClassVar[str] = "tcp"

    host: str | None = None
    """Another address than the node's own."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """The port on that address."""
    timeout: PositiveDuration = Field(default="1s", validate_default=True)
    """A connection that takes longer is none."""

    def summary(self) -> str:
        """The port."""
        return f"port {self.port}{f' of {self.host}' if self.host else ''} accepts connections"

    def why_not(self, target: Target) -> str:
        """It needs an address."""
        return "" if self.host or target.host else "nothing says where it is: add `host:`"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        """Ready to look."""
        yield _Prober(world.clock, self.host or target.host, self.port, self.timeout.total_seconds())


class _Prober:
    def __init__(self, clock: Clock, host: str, port: int, seconds: float) -> None:
        self._clock, self._host, self._port, self._seconds = clock, host, port, seconds

    async def look(self) -> ProbeResult:
        began = self._clock.monotonic()
        failed = await connect(self._host, self._port, self._seconds)
        took = self._clock.monotonic() - began
        if failed is None:
            return ProbeResult(TcpProbe.kind, began, took)
        failure, why = failed
        return ProbeResult(TcpProbe.kind, began, took, failure, f"port {self._port}: {why}")

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing
