"""What a failover has lost: measured from what the watch saw just before the promotion and just after it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drd.core.errors import NOT_NOW
from drd.core.events import Event, IncidentStarted, LossMeasured, StepFinished, StepStarted
from drd.core.health import ClusterView, NodeView
from drd.core.position import Position
from drd.core.probing import DatabaseSeen
from drd.core.runbook_step import Doing, StepOutcome
from drd.engines.outbox import Outbox
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.journal import Journal

PROMOTES: Final = "postgres_promote"
LOOK_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 60.0
"""How long it is waited until the new primary tells where its timeline left the old one."""


@dataclass(frozen=True, slots=True)
class _Before:
    """What was seen when the promotion began."""

    policy: str
    position: Position | None
    """The last that was seen of the old primary."""
    newest: dict[str, datetime]
    """Node → when the newest record of the heartbeat that it had was written."""


class Losing:
    """Measures what each failover of this daemon has lost, beside its run."""

    def __init__(self, watching: Watching, journal: Journal, clock: Clock) -> None:
        self._watching = watching
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
        lost = await self._lost_bytes(node, before)
        newest = before.newest.get(node)
        if lost is not None or newest is not None:
            await self.outbox.record(LossMeasured(before.policy, node, lost, newest), run)

    async def _lost_bytes(self, node: str, before: _Before) -> int | None:
        """What the old primary was seen to have beyond the point at which the new timeline left its own."""
        if before.position is None:
            return None
        end = self._clock.monotonic() + PATIENCE_SECONDS
        while self._clock.monotonic() < end:
            seen = _seen(self._watching.view(before.policy), node)
            if seen is not None and seen.is_primary:
                left_at = dict(seen.position.forks).get(before.position.timeline)
                return None if left_at is None else max(0, before.position.offset - left_at)
            await self._clock.sleep(LOOK_SECONDS)
        return None

    def _take(self, event: Event) -> None:
        run = event.run or ""
        match event.body:
            case IncidentStarted(policy=policy, is_drill=False):
                self._policies[run] = policy
            case StepStarted(action=action, doing=Doing.APPLY) if action == PROMOTES and run in self._policies:
                self._before[run] = self._look(self._policies.pop(run))
            case StepFinished(outcome=StepOutcome.SUCCEEDED, facts=facts) if "new_primary" in facts:
                self._promoted.put_nowait((run, facts["new_primary"]))

    def _look(self, policy: str) -> _Before:
        view = self._watching.view(policy)
        was = _seen(view, None if view is None else view.primary)
        position = was.position if was is not None and was.is_primary else None
        nodes = () if view is None else view.nodes
        found = {node.name: moment for node in nodes if (moment := self._newest(view, node)) is not None}
        return _Before(policy, position, found)

    def _newest(self, view: ClusterView | None, node: NodeView) -> datetime | None:
        if view is None or node.seen is None or not node.seen.beats:
            return None
        age = view.at - node.seen_at + min(beat.age_seconds for beat in node.seen.beats)
        return self._clock.now() - timedelta(seconds=age)


def _seen(view: ClusterView | None, name: str | None) -> DatabaseSeen | None:
    return None if view is None else next((node.seen for node in view.nodes if node.name == name), None)
