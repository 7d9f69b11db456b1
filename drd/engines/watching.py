"""Looking at the nodes of every policy, again and again, and saying what is the matter with them.

Each probe of each node is a task of its own on monotonic time, so that one that hangs costs only itself. When one fails
or its session is closed, all others of the policy look at once: what the standbys see decides what it means.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from drd.core.decision import Rival, View
from drd.core.errors import NOT_NOW
from drd.core.events import BugFound, NodeJudged, PrimarySeen
from drd.core.health import ClusterView, NodeView, Observer, known_primary, together_seconds
from drd.core.node_verdicts import Cause, NodeVerdict, judge
from drd.core.postgres.synchronous import setting_of
from drd.core.probing import Failure, ProbeResult
from drd.core.rivals import WRITE_CHECK, rivals
from drd.engines.looking import look_once
from drd.engines.observing import Observing
from drd.engines.outbox import Outbox
from drd.engines.runbook_admission import Known
from drd.engines.watch_rules import fences_of, rules_of
from drd.engines.watched import Watched
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue, Journal
from drd.ports.probe import Probe, Prober, Target
from drd.ports.world import World

LEAST_PAUSE_SECONDS: Final = 0.02
"""Between two looks by one probe, however often somebody asks for one."""
BUGS_UNTIL_QUARANTINE: Final = 3
"""So many mistakes in drd end a probe of a node."""


class Watching:
    """Watches the nodes of the policies in force."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        observing: Observing,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        daemon: str,
    ) -> None:
        self._configuration = configuration
        self._observing = observing
        self._catalogue = catalogue
        self._world = world
        self._daemon = daemon
        self._watched: dict[str, Watched] = {}
        self._told: asyncio.Queue[NodeJudged | PrimarySeen | BugFound] = asyncio.Queue()
        self._on_loss: Callable[[str], None] = _nobody
        self._seen: Counter[str] = Counter()
        """Node → how many policies watch it."""
        self._silent: dict[tuple[str, str], float] = {}
        """(policy, node) → since when it does not answer in time, or far slower than usual."""
        self.outbox = Outbox(journal)

    def of(self, policy: str) -> Watched | None:
        """How a policy's nodes stand; None while they are not watched."""
        return self._watched.get(policy)

    async def serve_record(self) -> None:
        """Watch drd itself, and journal what was judged, until cancelled: no probe waits for a disk."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._observing.serve(), name="observing")
            group.create_task(self._record(), name="verdicts")

    async def serve(self, policy: str) -> None:
        """Watch a policy's nodes until cancelled."""
        protected = self._configuration().policies.get(policy)
        if protected is None or protected.watch is None:
            return
        watch = protected.watch
        before = self._watched.get(policy)
        fitting = [
            (target, probe, label)
            for target in watch.targets
            for probe, label in zip(watch.probes, _labels(watch.probes), strict=True)
            if not probe.why_not(target)
        ]
        watched = Watched(
            watch,
            {target.node: NodeView(target.node, target.priority) for target in watch.targets},
            notes=tuple(
                f"{target.node} is not asked by {probe.kind}: {why}"
                for target in watch.targets
                for probe in watch.probes
                if (why := probe.why_not(target))
            ),
            failures={(target.node, label): 0 for target, _, label in fitting},
        )
        watched.recall(await self._catalogue.policy(policy))
        if before is not None:
            watched.take_over(before)
        self._watched[policy] = watched
        self._seen.update(watched.nodes.keys())
        try:
            async with asyncio.TaskGroup() as group:
                for target, probe, label in fitting:
                    named = replace(target, writes_as=self._daemon + WRITE_CHECK)
                    work = self._keep_looking(watched, named, probe, label)
                    group.create_task(work, name=f"{label} of {target.node}")
        finally:
            self._seen.subtract(watched.nodes.keys())
            self._seen = +self._seen
            self._silent = {key: since for key, since in self._silent.items() if key[0] != policy}
            if self._watched.get(policy) is watched:
                del self._watched[policy]

    def view(self, policy: str) -> ClusterView | None:
        """All that is known of a policy's nodes now; None while they are not watched."""
        watched = self._watched.get(policy)
        return None if watched is None else self._view(watched)

    def on_loss(self, call: Callable[[str], None]) -> None:
        """Have `call` called with a policy's name after each look while its primary is lost or its verdict changes."""
        self._on_loss = call

    def look_now(self, policy: str) -> None:
        """Let every node of a policy be looked at at once."""
        watched = self._watched.get(policy)
        if watched is not None:
            self._look_now(watched)

    def known(self, policy: str) -> Known:
        """The primary and the cluster of a policy's nodes, and what commits wait for, as far as that is known."""
        watched = self._watched.get(policy)
        if watched is None:
            return Known()
        clusters = [node.seen.cluster for node in watched.nodes.values() if node.seen is not None]
        recalled = [] if watched.recalled is None else [watched.recalled.cluster]
        primary = watched.nodes.get(watched.primary or "")
        awaited = None if primary is None or primary.seen is None else primary.seen.quorum
        return Known(watched.primary or "", next(iter([*clusters, *recalled]), ""), setting_of(awaited))

    def situation(self, protected: Protected) -> View | None:
        """What is seen of a policy now, with the rules and fences of its files; None while its nodes are not watched.

        What the journal knows, pauses and earlier runs, is left to whoever decides.
        """
        policy = protected.policy.name
        watched = self._watched.get(policy)
        if watched is None:
            return None
        view = self._view(watched)
        runbooks = self._configuration().runbooks
        return View(
            policy=policy,
            cluster=view,
            verdicts=watched.verdicts,
            rules=rules_of(protected.policy, runbooks),
            fences=fences_of(protected.policy, runbooks, watched.watch, view),
            rivals=self.rivals(policy),
        )

    def rivals(self, policy: str) -> tuple[Rival, ...]:
        """Other daemons that keep the heartbeat of a policy, as far as its nodes tell."""
        watched = self._watched.get(policy)
        seen = () if watched is None else [node.seen for node in watched.nodes.values() if node.seen is not None]
        found = {rival for each in seen for rival in rivals(each.beats, self._daemon)}
        return tuple(sorted(found, key=lambda rival: rival.daemon))

    async def _keep_looking(self, watched: Watched, target: Target, probe: Probe, label: str) -> None:
        """Look until cancelled. A mistake in drd costs this probe of this node alone, and is tried again twice."""
        for count in range(1, BUGS_UNTIL_QUARANTINE + 1):
            try:
                await self._look_at(watched, target, probe, label)
            except Exception as bug:  # noqa: BLE001 - a bug in one probe fails that probe, not the daemon
                text = "".join(traceback.format_exception(bug, limit=-12))
                is_last = count == BUGS_UNTIL_QUARANTINE
                subject = f"probe {label} of {target.node}"
                self._told.put_nowait(BugFound(subject, type(bug).__name__, text, quarantined=is_last))
                await self._world.clock.sleep(watched.watch.rules.every_seconds)
        watched.notes += (f"{target.node} is not asked by {label} any more: mistakes in drd ended that",)
        node = watched.nodes[target.node]
        others = {name: streak for name, streak in node.streaks.items() if name != label}
        watched.nodes[target.node] = replace(node, streaks=others, seen=None)
        watched.verdicts = {name: verdict for name, verdict in watched.verdicts.items() if name != target.node}
        self._judge(watched)

    async def _look_at(self, watched: Watched, target: Target, probe: Probe, label: str) -> None:
        clock, every = self._world.clock, watched.watch.rules.every_seconds
        async with probe.opened(self._world, target) as prober:
            due = clock.monotonic()
            while True:
                began = clock.monotonic()
                result = await look_once(clock, prober, probe)
                self._take(watched, target, result if label == probe.kind else replace(result, probe=label))
                due = max(due + every, clock.monotonic() + LEAST_PAUSE_SECONDS)
                if began <= watched.wanted_since or not await self._pause(watched, prober, due):
                    await clock.sleep(max(0.0, began + LEAST_PAUSE_SECONDS - clock.monotonic()))
                    due = clock.monotonic()

    async def _pause(self, watched: Watched, prober: Prober, due: float) -> bool:
        """Wait until the next look is due (True), or until something says that it is wanted now (False)."""
        wanted = asyncio.Event()
        forget = prober.on_closed(wanted.set)
        watched.sleepers.add(wanted)
        try:
            async with asyncio.timeout(max(0.0, due - self._world.clock.monotonic())):
                await wanted.wait()
        except TimeoutError:
            return True
        finally:
            watched.sleepers.discard(wanted)
            forget()
        return False

    def _take(self, watched: Watched, target: Target, result: ProbeResult) -> None:
        """Add a result to what is known, judge anew, and wake the others when it is the first failure."""
        if self._observing.was_late_for(result):
            return  # that drd was late says nothing about the node
        key = (target.node, result.probe)
        if result.failure is not None:
            watched.failures[key] = watched.failures.get(key, 0) + 1
        before = watched.nodes[target.node].streaks.get(result.probe)
        node = watched.nodes[target.node].after(result, watched.watch.rules)
        watched.nodes[target.node] = node
        self._note_silence(target, node)
        watched.primary = known_primary(tuple(watched.nodes.values()), watched.primary, watched.recalled)
        after = node.streaks[result.probe]
        is_bad_now = after.bad_since is not None and before is not None and before.bad_since is None
        is_new = after.bad == 1 or is_bad_now
        if is_new and len(watched.nodes) > 1:
            self._look_now(watched)
        self._judge(watched)

    def _look_now(self, watched: Watched) -> None:
        watched.wanted_since = self._world.clock.monotonic()
        for sleeper in watched.sleepers:
            sleeper.set()

    def _judge(self, watched: Watched) -> None:
        was_lost = watched.is_lost
        before = watched.verdicts
        watched.verdicts = judge(self._view(watched), before)
        for name, verdict in watched.verdicts.items():
            was = before.get(name)
            if was is not None and was.cause is verdict.cause:
                continue
            watched.changed[name] = self._world.clock.now()
            was_unknown = was is None or was.cause is Cause.UNKNOWN
            if verdict.cause is Cause.UNKNOWN or (was_unknown and verdict.cause is Cause.WELL):
                continue
            self._told.put_nowait(watched.judged(name, verdict))
        if (seen := watched.primary_to_note()) is not None:
            self._told.put_nowait(seen)
        primary = watched.primary or ""
        if was_lost or watched.is_lost or _cause(before.get(primary)) is not _cause(watched.verdicts.get(primary)):
            self._on_loss(watched.policy)

    def _view(self, watched: Watched) -> ClusterView:
        return ClusterView(
            at=self._world.clock.monotonic(),
            nodes=tuple(watched.nodes.values()),
            rules=watched.watch.rules,
            observer=self._observer(watched),
            primary=watched.primary,
            recalled=watched.recalled,
        )

    def _observer(self, watched: Watched) -> Observer:
        begin = self._world.clock.monotonic() - together_seconds(watched.watch.rules)
        silent = {node for (_, node), since in self._silent.items() if since >= begin}
        return Observer(
            self._observing.late_seconds(),
            self._observing.stepped_seconds,
            unrelated=len(self._seen.keys() - watched.nodes.keys()),
            unrelated_failing=len(silent - watched.nodes.keys()),
        )

    def _note_silence(self, target: Target, node: NodeView) -> None:
        """Whether a node is slow or silent, for what that says about drd to the other policies."""
        is_silent = any(Failure.TIMEOUT in streak.kinds or streak.slow for streak in node.streaks.values())
        key = target.policy, target.node
        if is_silent:
            self._silent.setdefault(key, self._world.clock.monotonic())
        else:
            self._silent.pop(key, None)

    async def _record(self) -> None:
        while True:
            fact = await self._told.get()
            with suppress(*NOT_NOW):
                await self.outbox.record(fact)


def _labels(probes: Sequence[Probe]) -> tuple[str, ...]:
    """What each probe is called: its kind, and a number where it is not the first of that."""
    kinds = [probe.kind for probe in probes]
    counts = [kinds[: index + 1].count(kind) for index, kind in enumerate(kinds)]
    return tuple(kind if count == 1 else f"{kind}-{count}" for kind, count in zip(kinds, counts, strict=True))


def _cause(verdict: NodeVerdict | None) -> Cause | None:
    return None if verdict is None else verdict.cause


def _nobody(policy: str) -> None:
    """Before anybody acts, nobody is told."""
