"""A probe whose answers a test gives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from drd.core.probing import DatabaseSeen, Failure, ProbeResult, Sign
from drd.core.units import PositiveDuration
from drd.ports.clock import Clock
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.world import World


@dataclass
class Answers:
    """What a node answers now, and how often it was asked."""

    seen: DatabaseSeen | None = None
    failure: Failure | None = None
    signs: tuple[Sign, ...] = ()
    latency: float = 0.001
    hangs: bool = False
    bug: Exception | None = None
    looks: list[float] = field(default_factory=list)
    writes_as: str = ""
    """Whose row a look would write."""
    on_closed: Callable[[], None] = nothing


class FakeProbe(Probe):
    kind: ClassVar[str] = "postgres"
    ANSWERS: ClassVar[dict[str, Answers]] = {}
    name: str = ""
    timeout: PositiveDuration = "500ms"  # type: ignore[assignment]

    def summary(self) -> str:
        return "a fake"

    def why_not(self, target: Target) -> str:
        return "" if target.node in self.ANSWERS else "it has no answers"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        self.ANSWERS[target.node].writes_as = target.writes_as
        yield FakeProber(world.clock, self.ANSWERS[target.node])


class FakeProber:
    def __init__(self, clock: Clock, answers: Answers) -> None:
        self._clock, self._answers = clock, answers

    async def look(self) -> ProbeResult:
        given = self._answers
        began = self._clock.monotonic()
        given.looks.append(began)
        if given.bug is not None:
            raise given.bug
        if given.hangs:
            await asyncio.get_running_loop().create_future()
        failure, signs, seen = given.failure, frozenset(given.signs), given.seen
        took = 0.5 if failure is Failure.TIMEOUT else given.latency
        await self._clock.sleep(took)
        return ProbeResult(
            "postgres", began, took, failure, str(failure or ""), signs, None if failure is not None else seen
        )

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        self._answers.on_closed = call
        return nothing
