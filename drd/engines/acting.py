"""Starting the runbook for a primary that is lost, by itself: one owner, woken by what is seen, one start an outage."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Final

from drd.core.candidates import words_of_loss
from drd.core.decision import Act, Decision, Guard, View, decide
from drd.core.errors import NOT_NOW, AtWork, DrdError
from drd.core.events import BugFound, Event, FailoverHeld, IncidentFinished, IncidentStarted
from drd.core.forbidden import ForbiddenTime, free_from
from drd.core.health import ClusterView
from drd.core.holding import FAILOVER
from drd.core.incident import IncidentRecord, told_before
from drd.core.node_verdicts import Cause as NodeCause
from drd.core.policy import Cause
from drd.core.recovery import promoted_at
from drd.core.runbook import BEFORE_ANY_CHANGE, Runbook, RunbookMode
from drd.core.runbook_progress import StepState
from drd.core.units import format_duration
from drd.engines.outbox import Outbox
from drd.engines.runbook_admission import StartOrder
from drd.engines.runbook_run import RunbookRun
from drd.engines.runbooks import Runbooks
from drd.engines.watch_rules import acts_by_itself, failover_of, restart_of
from drd.engines.watching import Watching
from drd.ports.clock import Clock
from drd.ports.configuration import Configuration, Protected
from drd.ports.journal import Catalogue, Journal

BY: Final = "drd"
"""Who started a run that nobody has started."""
FENCE: Final = "fence"
REMEMBERED: Final = 50
"""So many earlier runs of a policy are looked at: more failovers than a day may have."""
_NOT_A_PERSONS: Final = frozenset({Guard.MODE, Guard.NO_RUNBOOK})
"""What concerns only runbooks that start by themselves."""
_STARTS: Final = frozenset({Act.RESTART, Act.FENCE, Act.PROMOTE})


@dataclass(frozen=True, slots=True)
class Occasion:
    """What makes drd start something: by default, what it sees."""

    cause: Cause = Cause.HEALTH
    by: str = BY
    words: str = ""
    alert: str = ""
    """The occurrence of an alert."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What the journal tells of the runs of a policy."""

    failovers: tuple[datetime, ...]
    runs: tuple[IncidentRecord, ...]
    """For real, newest first."""


class Acting:
    """Turns decisions into starts of runbooks."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        watching: Watching,
        runbooks: Runbooks,
        journal: Journal,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._watching = watching
        self._runbooks = runbooks
        self._catalogue = catalogue
        self._clock = clock
        self._pasts: dict[str, _Past] = {}
        self._wanted: set[str] = set()
        self._woken = asyncio.Event()
        self._begun: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        """Run → when it began and was over, of those of this daemon: the wall clock may have been set since."""
        self._told: dict[str, tuple[object, ...]] = {}
        """Policy → what was told last of why nothing is started."""
        self._held: dict[str, FailoverHeld] = {}
        """Policy → why nothing is started now for its primary, which is lost."""
        self.outbox = Outbox(journal)
        watching.on_loss(self._wake)
        runbooks.price(self.cost)
        journal.observe(self._take)

    async def serve(self) -> None:
        """Act until cancelled."""
        for policy, protected in self._configuration().policies.items():
            if protected.watch is not None:
                await self._past(policy)
        while True:
            await self._woken.wait()
            self._woken.clear()
            wanted, self._wanted = sorted(self._wanted), set()
            for policy in wanted:
                try:
                    await self._consider(policy)
                except NOT_NOW:  # nothing is done that is not on record; the next look wakes this again
                    continue
                except Exception as bug:  # noqa: BLE001 - a bug that concerns one policy must not keep others from being served
                    await self._bug(policy, bug)

    def held(self, policy: str) -> FailoverHeld | None:
        """Why nothing is started for a primary that is lost; None while none is, or a run is at it."""
        return self._held.get(policy)

    async def decision(self, policy: str) -> Decision | None:
        """What would be done about the policy's primary now, and why; None while its nodes are not watched."""
        protected = self._configuration().policies[policy]
        view = self._watching.situation(protected)
        return None if view is None else decide(await self._informed(view), self._clock.now())

    async def cost(self, policy: str) -> tuple[str, ...]:
        """What a failover of a policy would cost now; nothing where that is not known."""
        decision = await self.decision(policy) if policy in self._configuration().policies else None
        return () if decision is None else cost(decision)

    async def overridden(self, runbook: str) -> tuple[str, ...]:
        """What would keep drd from starting a failover by itself now, where a person starts it all the same."""
        found = self._configuration().runbooks.get(runbook)
        if found is None or not found.promotes or found.policy not in self._configuration().policies:
            return ()
        decision = await self.decision(found.policy)
        blockers = () if decision is None else decision.blockers
        return tuple(str(each) for each in blockers if each.guard not in _NOT_A_PERSONS)

    async def _consider(self, policy: str) -> None:
        protected = self._configuration().policies.get(policy)
        decision = None if protected is None else await self.decision(policy)
        if protected is None or decision is None or decision.disaster is None:
            self._told.pop(policy, None)
            self._held.pop(policy, None)
            if decision is not None and decision.cause is NodeCause.WELL:
                await self._end_what_is_not_needed(policy, decision.primary or "")
            return
        if await self._is_at_it(policy, decision):
            self._held.pop(policy, None)
            return
        run, why = await self._attempt(protected, decision, Occasion())
        if run:
            self._told.pop(policy, None)
            self._held.pop(policy, None)
        else:
            await self._hold(policy, decision, why)

    async def started_for(self, runbook: Runbook, occasion: Occasion) -> tuple[str, str]:
        """Start a failover that something else than its health trigger calls for: the run, or why there is none.

        What drd sees decides, with all guards. Raises `DrdError` where the runbook cannot be started.
        """
        protected = self._configuration().policies[runbook.policy]
        view = self._watching.situation(protected)
        if view is None:
            return "", f"the nodes of {runbook.policy} are not watched, so nobody can tell whether the primary is lost"
        called = replace(view, rules=replace(view.rules, is_triggered=True))
        decision = decide(await self._informed(called), self._clock.now())
        if decision.aim is None:
            return "", decision.summary
        meant = self._runbook(protected, decision)
        if meant is not None and meant.name != runbook.name:
            return "", f"{decision.summary}; {meant.name} is for that, and not {runbook.name}"
        return await self._attempt(protected, decision, occasion)

    async def _attempt(self, protected: Protected, decision: Decision, occasion: Occasion) -> tuple[str, str]:
        """Start what a decision asks for: the run, or why there is none."""
        runbook = self._runbook(protected, decision)
        if runbook is None or not (decision.act in _STARTS or (decision.act is Act.ASK and _asks(runbook))):
            return "", decision.summary
        try:
            return await self._runbooks.start(self._order(runbook, decision, occasion)), ""
        except DrdError as error:
            if isinstance(error, NOT_NOW) and not isinstance(error, AtWork):
                raise
            return "", f"{decision.summary}, but {runbook.name} does not start: {error}"

    async def _end_what_is_not_needed(self, policy: str, primary: str) -> None:
        """End runs that drd began for a primary that is well again, as long as they have changed nothing."""
        for each in self._runbooks.under_way():
            start = each.start
            if start.policy != policy or start.cause is Cause.MANUAL or start.variables.get("primary") != primary:
                continue
            if not _has_changed(each) and each.progress.stopping is None:
                await self._runbooks.abort(each.run, BY, f"{primary} is well again", takes_back=False)

    async def _is_at_it(self, policy: str, decision: Decision) -> bool:
        """Whether the run that is under way is drd's own answer, or has only just ended: nothing has to be told."""
        if Guard.BUSY not in {blocker.guard for blocker in decision.blockers}:
            return False
        newest = (await self._past(policy)).runs[0]
        is_about_this = newest.start.variables.get("primary") == decision.primary
        return newest.finished is not None or (newest.start.cause is not Cause.MANUAL and is_about_this)

    def _order(self, runbook: Runbook, decision: Decision, occasion: Occasion) -> StartOrder:
        variables = {"primary": decision.primary or ""}
        if decision.candidate is not None:
            variables["best_standby"] = decision.candidate.node
        return StartOrder(
            runbook.name,
            by=occasion.by,
            words="; ".join((*filter(None, (occasion.words,)), decision.summary, *cost(decision))),
            cause=occasion.cause,
            began=self._began(runbook.policy),
            variables=variables,
            alert=occasion.alert,
            was_dead=decision.cause in (NodeCause.PROCESS_DEAD, NodeCause.RESTARTS_TOO_LONG),
            declared=self._declared(runbook.policy),
        )

    def _runbook(self, protected: Protected, decision: Decision) -> Runbook | None:
        runbooks = self._configuration().runbooks
        if decision.aim is Act.RESTART:
            return restart_of(protected.policy, runbooks)
        return failover_of(protected.policy, runbooks)

    def _began(self, policy: str) -> datetime | None:
        """When the first look failed."""
        view = self._watching.view(policy)
        node = None if view is None or view.primary is None else view.node(view.primary)
        if view is None or node is None or node.database is None or node.database.failed_from is None:
            return None
        return self._wall(view.at, node.database.failed_from)

    def _declared(self, policy: str) -> datetime | None:
        """When the primary was judged to be what it is."""
        watched, view = self._watching.of(policy), self._watching.view(policy)
        verdict = None if watched is None or view is None else watched.verdicts.get(view.primary or "")
        return None if verdict is None or view is None else self._wall(view.at, verdict.since)

    def _wall(self, now: float, moment: float) -> datetime:
        return self._clock.now() - timedelta(seconds=now - moment)

    async def _hold(self, policy: str, decision: Decision, message: str) -> None:
        """Say why nothing is started: once, and again when another thing holds it back."""
        guards = tuple(blocker.guard.value for blocker in decision.blockers)
        told = (decision.primary, decision.act, guards, "" if guards else message)
        self._held[policy] = FailoverHeld(policy, decision.primary or "", guards, message)
        if self._told.get(policy) == told:
            return
        self._told[policy] = told
        await self.outbox.record(self._held[policy])

    async def _bug(self, policy: str, bug: Exception) -> None:
        told = ("bug", type(bug))
        if self._told.get(policy) != told:
            self._told[policy] = told
            text = "".join(traceback.format_exception(bug, limit=-12))
            await self.outbox.record(BugFound(f"failover of {policy}", type(bug).__name__, text, quarantined=False))

    async def _informed(self, view: View) -> View:
        """The view with what the journal knows of the policy."""
        past = await self._past(view.policy)
        record = await self._catalogue.policy(view.policy)
        since = None if record is None or record.last_primary is None else record.last_primary.since
        known = replace(
            view,
            paused=await self._why_paused(view.policy) or self.planned_downtime(view.policy),
            failovers=past.failovers,
            shared=self._shared_with(view.policy),
        )
        return self._with_runs(known, past.runs, since)

    def _with_runs(self, view: View, runs: tuple[IncidentRecord, ...], since: datetime | None) -> View:
        """What the runs say: one is under way, some were tried in this outage, or somebody may take over yet."""
        under_way = next((each for each in runs if each.finished is None), None)
        if under_way is not None:
            return replace(view, busy=f"{under_way.runbook}, run {under_way.run}")
        primary = view.cluster.primary
        for_it = [each for each in runs if primary is not None and each.start.variables.get("primary") == primary]
        looks = _last_looks(view.cluster)
        # What an earlier daemon ended was over before this one looked.
        for each in for_it:
            if any(looked <= self._ended.get(each.run, -inf) for looked in looks):
                return replace(view, busy=f"run {each.run} has only just ended")
        lately = [each for each in for_it if self._is_of_this_outage(view.cluster, each, since)]
        if not lately:
            told = told_before(runs, primary or "")
            return view if told is None else replace(view, tried=_may_be_obeyed(told))
        failovers = [each for each in lately if self._promotes(each)]
        tried = f"{failovers[0].runbook} for this outage, run {failovers[0].run}" if failovers else ""
        return replace(view, tried=tried, restart_is_over=True)

    def _promotes(self, record: IncidentRecord) -> bool:
        runbook = self._configuration().runbooks.get(record.runbook)
        return runbook is None or runbook.promotes

    def _is_of_this_outage(self, cluster: ClusterView, run: IncidentRecord, since: datetime | None) -> bool:
        """Whether its primary has not answered since; what this daemon has not seen itself, the journal tells."""
        node = cluster.node(run.start.variables["primary"])
        if node.seen is None:
            return since is None or since < run.started
        return run.run in self._begun and node.seen_at < self._begun[run.run]

    def planned_downtime(self, policy: str) -> str:
        """The maintenance of a policy that it is now, in which nothing starts by itself; empty where it is none."""
        configuration, now = self._configuration(), self._clock.now()
        for window in configuration.policies[policy].policy.maintenance:
            if free_from((ForbiddenTime.parse(window.every),), now, configuration.zone) > now:
                return f"maintenance, {window.every}" + (f": {window.reason}" if window.reason else "")
        return ""

    def _shared_with(self, policy: str) -> str:
        """Which other policy acts by itself for the same cluster: two that do would promote one after the other."""
        configuration, cluster = self._configuration(), self._watching.known(policy).cluster
        for name, other in configuration.policies.items():
            acts = acts_by_itself(other.policy, configuration.runbooks)
            if name != policy and acts and cluster and self._watching.known(name).cluster == cluster:
                return f"{name} replaces the primary of the same cluster by itself too: let one of them be manual"
        return ""

    async def _why_paused(self, policy: str) -> str:
        now = self._clock.now()
        for pause in await self._catalogue.pauses():
            if pause.policy == policy and pause.what in FAILOVER and pause.until > now:
                until = pause.until.astimezone(self._configuration().zone)
                return f"paused until {until:%Y-%m-%d %H:%M:%S %z} by {pause.by}: {pause.reason}"
        return ""

    async def _past(self, policy: str) -> _Past:
        """What the journal tells, read once after each change: it is wanted at the moment that counts."""
        found = self._pasts.get(policy)
        if found is None:
            records = await self._catalogue.incidents(policy, REMEMBERED)
            runs = tuple(each for each in records if not each.is_drill)
            found = _Past(tuple(at for each in runs if (at := promoted_at(each)) is not None), runs)
            self._pasts[policy] = found
        return found

    def _wake(self, policy: str) -> None:
        self._wanted.add(policy)
        self._woken.set()

    def _take(self, event: Event) -> None:
        match event.body:
            case IncidentStarted(policy=policy):
                self._begun[event.run or ""] = self._clock.monotonic()
                self._pasts.pop(policy, None)
            case IncidentFinished(policy=policy):
                self._ended[event.run or ""] = self._clock.monotonic()
                self._pasts.pop(policy, None)
                self._watching.look_now(policy)


def _asks(runbook: Runbook) -> bool:
    """Whether it asks a person. One that asks nobody would only fail without a fence, and count as tried."""
    return runbook.mode is RunbookMode.APPROVE or (runbook.mode is RunbookMode.AUTOMATIC and runbook.asks_to_fence)


def _has_changed(run: RunbookRun) -> bool:
    """Whether a run has changed anything; a fence has not that nothing confirmed, and of which a person is asked."""
    begun = [(step.action, run.progress.of(step.title)) for step in run.plan.steps]
    return any(
        at.order and action not in BEFORE_ANY_CHANGE and not (action == FENCE and at.state is StepState.ASKING)
        for action, at in begun
    )


def _may_be_obeyed(told: IncidentRecord) -> str:
    """Two would lead if another one were promoted, and the order of an earlier outage came through after that."""
    name = told.told_to_lead
    return f"run {told.run} has told {name} to take over, which may do so yet: start {name} anew, then the runbook"


def _last_looks(cluster: ClusterView) -> list[float]:
    """When the newest look at each database began."""
    databases = [node.database for node in cluster.nodes]
    return [database.last.began for database in databases if database is not None and database.last is not None]


def cost(decision: Decision) -> tuple[str, ...]:
    """What it would cost: who would be promoted, how soon, what is lost, and how the old primary is fenced."""
    if decision.aim is Act.RESTART:
        return ()
    lines = []
    best, fence = decision.candidate, decision.fence
    if best is not None:
        lines.append(f"{best.node} in about {format_duration(best.forecast)}: {words_of_loss(best)}")
    if fence is not None:
        lines.append(f"fence by {fence.rung}: {fence.state}")
    return tuple(lines)
