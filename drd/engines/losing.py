"""What a failover has lost: in bytes by what the watch saw before and after it, in time by the heartbeat's own row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from drd.core.errors import NOT_NOW
from drd.core.events import Event, IncidentStarted, LossMeasured, StepAnswered, StepChecked, StepFinished, StepStarted
from drd.core.health import ClusterView
from drd.core.position import Position
from drd.core.probing import DatabaseSeen
from drd.core.runbook_step import Doing
from drd.engines.heartbeat import Heartbeats, Means, Survived
from drd.engines.outbox import Outbox
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.journal import Journal

PROMOTES: Final = "postgres_promote"
LOOK_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 60.0
"""How long it is waited until the new primary tells where its timeline left the old one."""
HEARTBEAT_PATIENCE_SECONDS: Final = 180.0
"""And until its heartbeat was read, which is tried again within an interval and a few seconds."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Before:
    """What was seen when the promotion began."""

    policy: str
    at: float
    """Monotonic seconds."""
    position: Position | None
    """The last that was seen of the old primary."""


class Losing:
    """Measures what each failover of this daemon has lost, beside its run."""

    def __init__(self, watching: Watching, heartbeats: Heartbeats, journal: Journal, clock: Clock) -> None:
        self._watching = watching
        self._heartbeats = heartbeats
        self._clock = clock
        self._policies: dict[str, str] = {}
        """Run → policy, of real runs that this daemon saw begin."""
        self._before: dict[str, _Before] = {}
        self._promoted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.outbox = Outbox(journal)
        journal.observe(self._take)

    async def serve(self) -> None:
        """Measure until cancelled."""
        while True:
            run, node = await self._promoted.get()
            before = self._before.pop(run, None)
            if before is not None:
                with suppress(*NOT_NOW):
                    await self._measure(run, node, before)

    async def _measure(self, run: str, node: str, before: _Before) -> None:
        lost, survived = await asyncio.gather(self._lost_bytes(node, before), self._what_survived(node, before))
        newest = None if survived is None else self._wall(survived.written)
        every = None if survived is None else survived.every.total_seconds()
        if lost is not None or newest is not None:
            await self.outbox.record(LossMeasured(before.policy, node, lost, newest, every), run)

    async def _lost_bytes(self, node: str, before: _Before) -> int | None:
        """What the old primary was seen to have beyond the point at which the new timeline left its own."""
        old = before.position
        if old is None:
            return None
        seen = await self._waited_for(lambda: _leads(self._watching.view(before.policy), node), PATIENCE_SECONDS)
        left_at = None if seen is None else dict(seen.position.forks).get(old.timeline)
        return None if left_at is None else max(0, old.offset - left_at)

    async def _what_survived(self, node: str, before: _Before) -> Survived | None:
        """What the new primary had of the heartbeat, which it tells once all that it had received was replayed."""
        if self._heartbeats.line(before.policy).means is not Means.ROW:
            return None
        return await self._waited_for(
            lambda: self._heartbeats.survived(before.policy, node, before.at), HEARTBEAT_PATIENCE_SECONDS
        )

    async def _waited_for(self, look: Callable[[], Found | None], seconds: float) -> Found | None:
        end = self._clock.monotonic() + seconds
        while (found := look()) is None and self._clock.monotonic() < end:
            await self._clock.sleep(LOOK_SECONDS)
        return found

    def _wall(self, moment: float) -> datetime:
        return self._clock.now() - timedelta(seconds=self._clock.monotonic() - moment)

    def _take(self, event: Event) -> None:
        run = event.run or ""
        match event.body:
            case IncidentStarted(policy=policy, is_drill=False):
                self._policies[run] = policy
            case StepStarted(action=action, doing=Doing.APPLY) if action == PROMOTES and run in self._policies:
                self._before[run] = self._look(self._policies.pop(run))
            case StepFinished(facts=facts) | StepChecked(facts=facts) | StepAnswered(facts=facts) if (
                "new_primary" in facts
            ):
                self._promoted.put_nowait((run, facts["new_primary"]))

    def _look(self, policy: str) -> _Before:
        view = self._watching.view(policy)
        was = None if view is None else next((node.seen for node in view.nodes if node.name == view.primary), None)
        position = was.position if was is not None and was.is_primary else None
        return _Before(policy, self._clock.monotonic(), position)


def _leads(view: ClusterView | None, name: str) -> DatabaseSeen | None:
    """What a node told last, where that is that it leads."""
    nodes = () if view is None else view.nodes
    return next((node.seen for node in nodes if node.name == name and node.seen and node.seen.is_primary), None)
