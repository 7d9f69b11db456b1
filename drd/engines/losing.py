"""What a failover has lost: in bytes by what the watch saw before and after it, in time by the heartbeat's own row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from drd.core.errors import NOT_NOW
from drd.core.events import (
    Event,
    IncidentStarted,
    LossMeasured,
    PrimaryLastSeen,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepStarted,
)
from drd.core.health import ClusterView
from drd.core.runbook_step import Doing
from drd.engines.heartbeat import Acknowledged, Heartbeats, Means, Survived
from drd.engines.outbox import Outbox
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.journal import Catalogue, Journal

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
    seen: PrimaryLastSeen | None
    """The last that was seen of the old primary."""


class Losing:
    """Measures what each failover has lost, beside its run.

    What was seen of the old primary goes on record when its run begins and when somebody is to be promoted, so that a
    daemon measures it too that takes the run up after another.
    """

    def __init__(
        self, watching: Watching, heartbeats: Heartbeats, journal: Journal, catalogue: Catalogue, clock: Clock
    ) -> None:
        self._watching = watching
        self._heartbeats = heartbeats
        self._catalogue = catalogue
        self._clock = clock
        self._policies: dict[str, str] = {}
        """Run → policy, of real runs in which no promotion has begun."""
        self._last: dict[str, PrimaryLastSeen] = {}
        """Run → what is on record of its primary, or about to be."""
        self._before: dict[str, _Before] = {}
        self._promoted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._seen: asyncio.Queue[tuple[str, PrimaryLastSeen]] = asyncio.Queue()
        """What is to go on record, with its run."""
        self.outbox = Outbox(journal)
        journal.observe(self._take)

    async def resume(self) -> None:
        """Recall what an earlier daemon has put on record of runs that are under way. Before any heartbeat begins."""
        for record in await self._catalogue.open_incidents():
            if record.is_drill or any(isinstance(fact.body, LossMeasured) for fact in record.facts):
                continue
            seen = next((each.body for each in record.facts[::-1] if isinstance(each.body, PrimaryLastSeen)), None)
            if seen is not None:
                self._recall_beat(seen)
                self._last[record.run] = seen
            if any(isinstance(each.body, StepStarted) and _promotes(each.body) for each in record.facts):
                self._before[record.run] = _Before(record.policy, self._clock.monotonic(), seen)
            else:
                self._policies[record.run] = record.policy
            if promoted := record.found.get("new_primary"):
                self._promoted.put_nowait((record.run, promoted))

    async def serve(self) -> None:
        """Measure until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._put_on_record(), name="what was seen of old primaries")
            group.create_task(self._measure_each(), name="what is lost")

    async def _put_on_record(self) -> None:
        while True:
            run, seen = await self._seen.get()
            await self.outbox.record(seen, run)

    async def _measure_each(self) -> None:
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
        old = before.seen
        if old is None:
            return None
        left_at = await self._waited_for(
            lambda: _left_at(self._watching.view(before.policy), node, old.timeline), PATIENCE_SECONDS
        )
        return None if left_at is None else max(0, old.offset - left_at)

    async def _what_survived(self, node: str, before: _Before) -> Survived | None:
        """What the new primary had of the heartbeat, which it tells once all that it had received was replayed."""
        if self._heartbeats.line(before.policy).means not in (Means.ROW, None):
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
                self._look(run, policy)
            case StepStarted() as step if _promotes(step) and run in self._policies:
                policy = self._policies.pop(run)
                self._look(run, policy)
                self._before[run] = _Before(policy, self._clock.monotonic(), self._last.get(run))
            case StepFinished(facts=facts) | StepChecked(facts=facts) | StepAnswered(facts=facts) if (
                "new_primary" in facts
            ):
                self._promoted.put_nowait((run, facts["new_primary"]))

    def _look(self, run: str, policy: str) -> None:
        """Put on record what is seen of the primary; where nothing is, what was seen before stands."""
        view = self._watching.view(policy)
        node = None if view is None else next((node for node in view.nodes if node.name == view.primary), None)
        if node is None or node.seen is None or not node.seen.is_primary:
            return
        position, beat = node.seen.position, self._heartbeats.newest(policy)
        seen = PrimaryLastSeen(policy, node.name, position.timeline, position.offset)
        if beat is not None:
            seen = replace(seen, beat=beat.written, beat_at=self._wall(beat.at))
        self._last[run] = seen
        self._seen.put_nowait((run, seen))

    def _recall_beat(self, seen: PrimaryLastSeen) -> None:
        if seen.beat is not None and seen.beat_at is not None:
            ago = (self._clock.now() - seen.beat_at).total_seconds()
            self._heartbeats.recall(seen.policy, Acknowledged(seen.beat, self._clock.monotonic() - ago))


def _promotes(step: StepStarted) -> bool:
    return step.action == PROMOTES and step.doing is Doing.APPLY


def _left_at(view: ClusterView | None, name: str, timeline: int) -> int | None:
    """Where the timeline of a node that leads has left another one, which it may tell only some time after it leads."""
    nodes = () if view is None else view.nodes
    seen = next((node.seen for node in nodes if node.name == name and node.seen and node.seen.is_primary), None)
    return None if seen is None else dict(seen.position.forks).get(timeline)
