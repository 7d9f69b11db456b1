"""Whatever happens to a cluster, to drd and to what drd hears: never two nodes that act as a primary.

A state machine over `decide` and the pure half of the runbook engine. Its rules are what may happen: processes, hosts
and lines fail and come back, answers are lost, orders are obeyed late, drd is killed, people answer, pause runs and
begin some. The orders are carried out on a made-up cluster.
The invariants speak of the roles that the nodes really have, not of what drd believes of them. What outlives drd's end
is the journal alone: nothing here remembers for it whom a run has told to take over.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import currently_in_test_context, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drd.core.decision import Act, Decision, Rules, decide
from drd.core.events import (
    AbortAsked,
    Body,
    DeadlineMissed,
    IncidentFinished,
    IncidentStarted,
    PeopleTold,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.fencing import Rung, left_cut_off
from drd.core.health import Recalled
from drd.core.holding import NO_HOLD, Hold
from drd.core.incident import IncidentFact, IncidentRecord, awaited_before, told_before
from drd.core.policy import Cause
from drd.core.run import Outcome
from drd.core.runbook import ORDERED_TO_LEAD, SYNCHRONOUS, OnFailure, RunbookMode
from drd.core.runbook_next import next_orders
from drd.core.runbook_orders import Cancel, Check, Conclude, End, MissDeadline, Order, Start, Tell, Undo
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import Progress, StepState, after
from drd.core.runbook_step import Answer, Choice, Doing, Silence, StepOutcome, Waiting
from drd.core.witnesses import is_well_primary
from tests.core import failover_steps as steps
from tests.core.failover_model import NAMES, Cluster, Eyes, Server, wall
from tests.core.failover_steps import At, Facts, Far, NotDone

FENCE, PROMOTE, APPROVE, CONFIRM, REDIRECT, REJOIN = "fence", "promote", "approve", "confirm", "redirect", "rejoin"
LADDERS = [
    *((), (Rung.SSH,), (Rung.SSH, Rung.POWER), (Rung.SSH, Rung.REVOKE), (Rung.REVOKE,)),
    *(2 * [(Rung.REVOKE, Rung.SSH, Rung.POWER)]),
    *((Rung.PROXY,), (Rung.PROXY, Rung.SSH, Rung.POWER)),
]
CERTAIN_SECONDS = 5.0
"""How long standbys are seen to be left cut off before they are given back."""


@dataclass(frozen=True)
class Ending:
    """How something that drd does ends."""

    far: Far = Far.DONE
    is_heard: bool = True
    """Whether the answer comes back."""
    is_killed: bool = False
    """Whether drd ends in its middle."""
    is_cut: bool = False
    """Whether the line to whom it has told to take over breaks."""


WELL = Ending()
ENDINGS = [
    *(6 * [WELL]),
    *(Ending(is_heard=False), Ending(is_heard=False, is_cut=True)),
    *(Ending(Far.ORDERED), Ending(Far.ORDERED), Ending(Far.ORDERED, is_cut=True)),
    *(Ending(far, is_killed=True) for far in Far),
]
names = st.sampled_from(NAMES)
endings = st.lists(st.sampled_from(ENDINGS), min_size=1, max_size=12)
quick = st.frozensets(names)
"""The standbys that get what is written within the second in which it is."""


def note(what: str) -> None:
    """Count it in what `--hypothesis-show-statistics` prints; a life that is written out has no statistics."""
    if currently_in_test_context():
        event(what)


def a_plan(mode: RunbookMode, on_failure: OnFailure, promote_fails: OnFailure, *, takes_back: bool) -> RunPlan:
    """As the runbooks that are shipped have it."""
    asked = PlannedStep(APPROVE, "respond", "approve", waits=Waiting(("ann",), timedelta(minutes=5), Silence.STOP))
    return RunPlan(
        tuple(
            PlannedStage(name, "ann", timedelta(seconds=10 * place), "bob")
            for place, name in enumerate(("detect", "respond", "recover", "switch", "reconstitute"), start=1)
        ),
        (
            PlannedStep(CONFIRM, "detect", "confirm", is_repeatable=True),
            *((asked,) if mode is RunbookMode.APPROVE else ()),
            PlannedStep(
                *(FENCE, "respond", "fence"), retry=1, on_failure=on_failure, is_repeatable=True, is_undoable=takes_back
            ),
            PlannedStep(
                *(PROMOTE, "recover", "postgres_promote"),
                needs=(FENCE,),
                retry=2,
                on_failure=promote_fails,
                looks_first=True,
                is_irreversible=True,
                relies_on={"fence": timedelta(seconds=2)},
            ),
            PlannedStep(REDIRECT, "switch", "haproxy", on_failure=OnFailure.CONTINUE, is_looked_at_last=True),
            PlannedStep(REJOIN, "reconstitute", "postgres_rejoin", on_failure=OnFailure.CONTINUE),
        ),
    )


REJOINS = RunPlan(
    (PlannedStage("reconstitute", "ann", timedelta(hours=4)),),
    (PlannedStep(REJOIN, "reconstitute", "postgres_rejoin"),),
)
"""What a person runs for a machine that is back."""


@dataclass(frozen=True)
class Task:
    """Something that drd does at this moment."""

    doing: Doing | None
    """None: it only asks."""
    end: Callable[[Ending], None]
    """How it ends."""


@dataclass
class Run:
    """One run of the runbook: its record, and what drd is at now."""

    plan: RunPlan
    record: IncidentRecord
    progress: Progress
    live: dict[str, "Task"]
    unknown: set[str]
    """Steps that were under way when drd was killed, and of which nobody has told it since what came of them."""

    @property
    def variables(self) -> dict[str, str]:
        """What `${name}` stands for."""
        return {**self.record.start.variables, **self.progress.facts}

    @property
    def ordered(self) -> set[str]:
        """Who is on record as told to take over."""
        facts = [fact.body.facts for fact in self.record.facts if isinstance(fact.body, StepOrdered)]
        return {each[ORDERED_TO_LEAD] for each in facts}


class Failover(RuleBasedStateMachine):
    """A cluster, the daemon that watches it, and all that may happen to both."""

    @initialize(
        is_synchronous=st.booleans(),
        rungs=st.sampled_from(LADDERS),
        mode=st.sampled_from([RunbookMode.AUTOMATIC, RunbookMode.AUTOMATIC, RunbookMode.APPROVE]),
        fails=st.tuples(st.sampled_from(OnFailure), st.sampled_from([OnFailure.STOP, OnFailure.ASK, OnFailure.UNDO])),
    )
    def begin(
        self, is_synchronous: bool, rungs: tuple[Rung, ...], mode: RunbookMode, fails: tuple[OnFailure, OnFailure]
    ) -> None:
        self.cluster = Cluster(is_synchronous, rungs)
        self.mode = mode
        self.plan = a_plan(mode, *fails, takes_back=bool({Rung.REVOKE, Rung.PROXY} & set(rungs)))
        self.eyes = Eyes(primary="one")
        self.hold = NO_HOLD
        self.runs: list[Run] = []
        self.noted: Recalled | None = None
        """The primary that the journal knows."""
        self.noted_at = 0.0
        self.is_noted = False
        self.left_since: float | None = None
        """Since when standbys are seen to be left cut off."""
        self.answers: dict[str, int] = {}
        """Node → how often it came to answer as the primary after it had been lost: that tells outages apart."""
        self.begun: list[tuple[str, int]] = []
        for _ in range(2):
            self.second(frozenset(), frozenset(NAMES))

    # --- what may happen ----------------------------------------------------------------------------------------------

    @rule(lost=st.frozensets(names, max_size=2), quick=quick, seconds=st.integers(1, 4))
    def time_goes_by(self, lost: frozenset[str], quick: frozenset[str], seconds: int) -> None:
        for number in range(seconds):
            self.second(lost if number == 0 else frozenset(), quick)

    @rule(name=names, what=st.sampled_from(["process", "host", "line of drd", "line between nodes", "all lines"]))
    def something_fails(self, name: str, what: str) -> None:
        server = self.cluster.servers[name]
        if what in ("process", "host"):
            server.stop()
        server.has_power = server.has_power and what != "host"
        server.is_reached = server.is_reached and what not in ("line of drd", "all lines")
        server.is_linked = server.is_linked and what not in ("line between nodes", "all lines")

    @rule(who=st.sets(names, min_size=1), is_started=st.booleans())
    def lines_and_power_come_back(self, who: set[str], is_started: bool) -> None:
        for server in map(self.cluster.servers.__getitem__, sorted(who)):
            server.is_reached = server.is_linked = server.has_power = True
            if is_started:
                server.start()

    @rule(name=names)
    def a_standby_that_was_told_takes_over_at_last(self, name: str) -> None:
        if self.cluster.servers[name].told_by is not None and self.cluster.servers[name].is_alive:
            self.take_over(self.cluster.servers[name])

    @rule(
        of_what=st.sampled_from(["process", "process", "host", "line of drd", "all lines", "all lines"]),
        quick=quick,
        ends=endings,
    )
    def the_primary_dies_and_drd_has_time_to_see_it(
        self, of_what: str, quick: frozenset[str], ends: list[Ending]
    ) -> None:
        leading = [each for each in self.cluster.servers.values() if each.is_alive and each.is_primary]
        if leading:
            self.lines_and_power_come_back(set(NAMES), is_started=True)
            self.second(frozenset(), quick)
            self.something_fails(max(leading, key=lambda each: each.timeline).name, of_what)
        for _ in range(6):
            if self.open_run is None:
                self.second(frozenset(), quick)
        self.the_run_goes_on_as(ends)

    @rule(name=names)
    def a_person_brings_a_node_back(self, name: str) -> None:
        """Its machine is repaired, an old primary that still runs there is stopped, and a run makes it follow."""
        server, leaders = self.cluster.servers[name], [each for each in self.cluster.servers.values() if each.leads]
        is_back = any(steps.is_following(server, each) for each in leaders)
        if self.open_run is not None or self.hold.consent or not leaders or server in self.cluster.writers() or is_back:
            return
        server.has_power = server.is_reached = server.is_linked = True
        if server.is_primary and max(each.timeline for each in leaders) > server.timeline:
            server.stop()
        rule = awaited_before(self.records, self.eyes.awaited)
        variables = {"old_primary": name, **({SYNCHRONOUS: rule} if rule else {})}
        run = self.begin_run(REJOINS, Cause.MANUAL, variables)
        self.start(run, REJOIN)
        run.live.pop(REJOIN).end(WELL)
        self.write(run, IncidentFinished("orders", "orders-rejoin", Outcome.SUCCEEDED))

    @rule()
    def a_person_starts_the_failover(self) -> None:
        """By what the person sees: who leads, and that nobody who was told before may do so yet."""
        name = self.eyes.view.primary
        leading = [each for each in self.cluster.servers.values() if each.is_primary]
        if self.open_run is not None or self.hold.consent or name is None:
            return
        is_well = is_well_primary(self.eyes.view, self.eyes.verdicts, name)
        if is_well or max(leading, key=lambda each: each.timeline).name != name:
            return
        told = told_before(self.records, name)
        for server in self.cluster.servers.values():
            if told is not None and server.told_by is not None:
                server.stop()
                server.start()
        self.begin_run(self.plan, Cause.MANUAL, {"primary": name}, fenced="" if told is None else told.told_to_lead)
        self.turn()

    @rule(hold=st.sampled_from([*(3 * [NO_HOLD]), Hold("paused by ann"), Hold("paused by ann", "paused by ann")]))
    def a_person_pauses_failovers_or_every_step_or_lets_them_go_on(self, hold: Hold) -> None:
        self.hold = hold
        self.turn()

    @precondition(lambda self: self.open_run is not None)
    @rule(ends=endings)
    def the_run_goes_on(self, ends: list[Ending]) -> None:
        self.the_run_goes_on_as(ends)

    def the_run_goes_on_as(self, ends: list[Ending]) -> None:
        """What is under way ends, one after the other, a second each, unless drd is killed in its middle."""
        for how in ends:
            run = self.open_run
            if how.is_killed:
                self.drd_is_killed_and_another_one_takes_over(how.far, is_cut=False)
            elif run is not None and run.live:
                run.live.pop(min(run.live)).end(how)
                if how.is_cut:
                    self.cut_lines_to_the_told(run)
            self.second(frozenset(), frozenset(NAMES))

    @precondition(lambda self: self.open_run is not None)
    @rule(choice=st.sampled_from([*Choice, *Choice, *Choice, None]), takes_back=st.booleans())
    def a_person_answers(self, choice: Choice | None, takes_back: bool) -> None:
        """Somebody answers what the run asks, truthfully, or ends it."""
        run = self.open_run
        assert run is not None
        if choice is None:
            self.write(run, AbortAsked("ann", "enough", takes_back))
        for step in run.plan.steps:
            state = run.progress.of(step.title).state
            is_asked = state is StepState.ASKING and choice in (Choice.DONE, Choice.AGAIN)
            is_waited = state is StepState.RUNNING and step.waits is not None
            if choice is None or not (is_asked or (is_waited and choice in (Choice.APPROVE, Choice.REFUSE))):
                continue
            if is_asked and not self.is_true(run, step.title, choice):
                continue
            run.unknown.discard(step.title)
            facts = self.found_by_hand(run, step.title) if choice is Choice.DONE else {}
            self.write(run, StepAnswered(step.title, choice, "ann", "I looked", facts))
            break
        self.turn()

    @rule(far=st.sampled_from(Far), is_cut=st.booleans())
    def drd_is_killed_and_another_one_takes_over(self, far: Far, is_cut: bool) -> None:
        """Only the journal is left. What was under way has come so far, and nobody tells how far."""
        run = self.open_run
        if run is not None:
            tasks, run.live = dict(run.live), {}
            for title, task in tasks.items():
                run.unknown |= {title} if task.doing is Doing.APPLY else set()
                if task.doing is not None:
                    with suppress(NotDone):
                        self.take_effect(run, title, task.doing, far)
            known, run.progress = run.progress, run.record.progress(run.plan)
            assert run.progress == known, "who resumes knows what the one before it knew"
            if is_cut:
                self.cut_lines_to_the_told(run)
        self.eyes = Eyes(now=self.cluster.now)
        self.is_noted, self.left_since = False, None
        if self.noted is not None:
            self.eyes.primary, self.eyes.recalled = self.noted.node, self.noted
        self.turn()

    def cut_lines_to_the_told(self, run: Run) -> None:
        for name in run.ordered:
            self.cluster.servers[name].is_reached = False

    # --- drd ----------------------------------------------------------------------------------------------------------

    @property
    def open_run(self) -> Run | None:
        return next((run for run in self.runs if run.progress.finished is None), None)

    @property
    def records(self) -> list[IncidentRecord]:
        """What the journal has of all runs, newest first."""
        return [run.record for run in reversed(self.runs)]

    def now(self) -> datetime:
        return wall(self.cluster.now)

    def second(self, lost: frozenset[str], quick: frozenset[str]) -> None:
        self.cluster.tick()
        self.cluster.write(quick)
        self.eyes.look(self.cluster, lost)
        self.note_primary()
        self.consider()
        self.turn()
        self.give_back_what_was_left()

    def note_primary(self) -> None:
        name = self.eyes.primary
        verdict = None if name is None else self.eyes.verdicts.get(name)
        if name is None or verdict is None:
            return
        seen = self.eyes.nodes[name].seen
        streak = self.eyes.nodes[name].database
        is_answering = seen is not None and streak is not None and streak.failing_since is None and seen.is_primary
        if verdict.is_lost:
            self.is_noted = False
        elif is_answering and seen is not None:
            found = Recalled(name, "c1", seen.position.timeline, seen.quorum)
            if not self.is_noted or self.noted != found:
                self.noted, self.noted_at, self.is_noted = found, self.cluster.now, True
        if is_answering and (name, self.answers.get(name, 0)) in self.begun:
            self.answers[name] = self.answers.get(name, 0) + 1

    def decision(self) -> Decision:
        view = replace(self.eyes.situation(self.cluster), rules=Rules(self.mode), paused=self.hold.consent)
        if self.open_run is not None:
            return decide(replace(view, busy="a run"), self.now())
        name = view.cluster.primary
        seen_at = self.noted_at
        if name is not None and self.eyes.nodes[name].seen is not None:
            seen_at = self.eyes.nodes[name].seen_at
        starts = [each.record for each in self.runs if each.plan is self.plan]
        is_tried = any(each.start.variables["primary"] == name and wall(seen_at) < each.started for each in starts)
        told = told_before(self.records, name or "")
        return decide(replace(view, tried="a run" if is_tried or told is not None else ""), self.now())

    def consider(self) -> None:
        decision = self.decision()
        asks = RunbookMode.APPROVE is self.mode or self.plan.step(FENCE).on_failure is OnFailure.ASK
        if decision.act not in (Act.FENCE, Act.PROMOTE) and not (decision.act is Act.ASK and asks):
            return
        assert decision.primary is not None
        outage = (decision.primary, self.answers.get(decision.primary, 0))
        assert outage not in self.begun, "a second start of one outage"
        self.begun.append(outage)
        note(f"started: {decision.cause}")
        best = decision.candidate.node if decision.candidate else ""
        self.begin_run(self.plan, Cause.HEALTH, {"primary": decision.primary, "best_standby": best})

    def begin_run(self, plan: RunPlan, cause: Cause, variables: Facts, *, fenced: str = "") -> Run:
        assert self.open_run is None, "two runs at a time"
        assert not self.hold.consent, "a run begins while failovers are paused"
        if self.eyes.awaited and plan is self.plan:
            variables = {SYNCHRONOUS: self.eyes.awaited, **variables}
        start = IncidentStarted(
            *("orders", "orders-failover", "hardware", "5e", "{}", cause, "ann", ""),
            *(self.now(), False, NAMES, variables),
            fenced=fenced,
        )
        record = IncidentRecord(
            "01RUN", "orders", "orders-failover", False, self.now(), None, None, (IncidentFact(self.now(), start),)
        )
        self.runs.append(Run(plan, record, record.progress(plan), {}, set()))
        return self.runs[-1]

    def give_back_what_was_left(self) -> None:
        left = left_cut_off(self.eyes.view)
        if not left or self.open_run is not None or told_before(self.records, self.eyes.view.primary or "") is not None:
            self.left_since = None
            return
        self.left_since = self.cluster.now if self.left_since is None else self.left_since
        if self.cluster.now - self.left_since >= CERTAIN_SECONDS:
            for server in map(self.cluster.servers.__getitem__, left):
                server.receives = server.receives or server.answers

    def turn(self) -> None:
        """Carry out what comes next until nothing does by itself."""
        for _ in range(30):
            run = self.open_run
            if run is None:
                return
            todo = next_orders(run.plan, run.progress, frozenset(run.live), self.now(), self.hold)
            if not todo.orders:
                return
            for order in todo.orders:
                self.carry_out(run, order)
        raise AssertionError("the same orders over and over")

    def write(self, run: Run, body: Body) -> None:
        fact = IncidentFact(self.now(), body)
        run.record = replace(run.record, facts=(*run.record.facts, fact))
        run.progress = after(run.plan, run.progress, body, fact.at)

    def carry_out(self, run: Run, order: Order) -> None:
        match order:
            case Start(title):
                assert not self.hold.steps, "a step begins while the kill switch is on"
                self.start(run, title)
            case Undo(title):
                assert title == FENCE, "only that is undoable"
                assert not run.progress.of(PROMOTE).order, "a fence is taken back where another may have been promoted"
                self.write(run, StepStarted("respond", title, Doing.UNDO, "", ""))
                run.live[title] = Task(Doing.UNDO, lambda how: self.finish(run, title, Doing.UNDO, how))
            case Check(title, doing):
                run.live[title] = Task(None, lambda how: self.check(run, title, doing, how))
            case Conclude(title, outcome, message):
                self.write(run, StepFinished(title, Doing.APPLY, outcome, message))
            case Cancel(title):
                if run.live.pop(title).doing is Doing.APPLY:
                    with suppress(NotDone):
                        self.take_effect(run, title, Doing.APPLY, Far(int(self.cluster.now) % len(Far)))
                self.write(run, StepFinished(title, Doing.APPLY, StepOutcome.CANCELLED))
            case MissDeadline(stage):
                self.write(run, DeadlineMissed(stage.name, stage.owner, stage.deputy))
            case Tell(topic, people, _):
                self.write(run, PeopleTold(topic, people))
            case End(outcome, message):
                assert not run.live
                self.write(run, IncidentFinished("orders", "orders-failover", outcome, message))
                note(f"ended: {outcome}")

    def start(self, run: Run, title: str) -> None:
        planned = run.plan.step(title)
        assert title not in run.live
        assert run.progress.stopping is None
        assert planned.is_repeatable or title not in run.unknown, f"{title} is done again blindly"
        if title == PROMOTE:
            assert run.progress.of(FENCE).state is StepState.DONE, "a promotion without a fence"
        self.write(run, StepStarted(planned.stage, title, Doing.APPLY, planned.action, ""))
        if planned.waits is None:
            run.live[title] = Task(Doing.APPLY, lambda how: self.finish(run, title, Doing.APPLY, how))

    def finish(self, run: Run, title: str, doing: Doing, how: Ending) -> None:
        try:
            facts = self.take_effect(run, title, doing, how.far)
            outcome, message = (
                (StepOutcome.SUCCEEDED, "") if how.is_heard else (StepOutcome.UNKNOWN, "no answer in time")
            )
        except NotDone as refused:
            outcome, message, facts = StepOutcome.FAILED, str(refused), {}
        self.write(run, StepFinished(title, doing, outcome, message, "", facts if how.is_heard else {}))

    def at(self, run: Run) -> At:
        """What a step of a run works with."""
        return At(
            self.cluster,
            self.eyes.view,
            self.eyes.verdicts,
            run.variables,
            ordering=lambda facts: self.write(run, StepOrdered(PROMOTE, facts)),
            telling=lambda server: self.tell_to_lead(run, server),
            taking_over=self.take_over,
            is_by_person=run.record.start.cause is Cause.MANUAL,
        )

    def take_effect(self, run: Run, title: str, doing: Doing, far: Far) -> Facts:
        """What a step really does, as far as it comes; raises NotDone where that is not the whole of it."""
        at = self.at(run)
        if title == PROMOTE and far is not Far.NOWHERE:
            return steps.promote(at, far)
        if far < Far.ORDERED:
            raise NotDone("nothing was done")
        if doing is Doing.UNDO:
            steps.take_fence_back(at)
            return {}
        return {CONFIRM: steps.confirm, FENCE: steps.fence, REDIRECT: steps.redirect, REJOIN: steps.rejoin}[title](at)

    def tell_to_lead(self, run: Run, server: Server) -> None:
        assert server.name in run.ordered, f"{server.name} is told to take over, and nobody will know"
        server.told_by = run.record.start.cause

    def take_over(self, server: Server) -> None:
        """A standby leads from here on. A person may promote one that lacks something, knowing that; drd may not."""
        epoch = server.timeline + 1
        if server.told_by is Cause.MANUAL and epoch in self.cluster.acknowledged:
            self.cluster.acknowledged.pop(epoch)
        if server.told_by is Cause.MANUAL and not self.cluster.has_confirmed(server):
            self.cluster.confirmed = None
        assert epoch not in self.cluster.acknowledged, "an epoch begins twice"
        assert self.cluster.has_confirmed(server), "a commit that others had confirmed is lost"
        note(f"promoted: {server.told_by}")
        server.take_over()

    def check(self, run: Run, title: str, doing: Doing, how: Ending) -> None:
        """Ask whether a step is done; its answer may be lost as well."""
        answer, facts, at = Answer.UNKNOWN, Facts(), self.at(run)
        asked = {FENCE: steps.is_fenced, PROMOTE: steps.is_promoted, REJOIN: steps.is_rejoined}
        if how.is_heard and doing is Doing.APPLY and title in asked:
            with suppress(NotDone):
                answer = asked[title](at)
        if answer is Answer.DONE:
            facts = self.found(run, title)
        if answer is not Answer.UNKNOWN:
            run.unknown.discard(title)
        self.write(run, StepChecked(title, doing, answer, facts))

    def found(self, run: Run, title: str) -> Facts:
        found = {FENCE: steps.found_fenced, PROMOTE: steps.found_promoted}.get(title)
        return {} if found is None else found(self.at(run))

    def found_by_hand(self, run: Run, title: str) -> Facts:
        by_hand = {"fenced_by": steps.A_PERSON} if title == FENCE else {}
        return {**self.found(run, title), **by_hand}

    def is_true(self, run: Run, title: str, choice: Choice) -> bool:
        """Whether a person who has looked may say so; that the old primary is stopped the person sees to."""
        if title == REJOIN:
            return True
        old = self.cluster.servers[run.variables["primary"]]
        if title == FENCE and choice is Choice.DONE:
            old.stop()
            old.has_power, old.is_masked = False, True
        has_led_on = any(each.is_primary and each.timeline > old.timeline for each in self.cluster.servers.values())
        return title != PROMOTE or has_led_on is (choice is Choice.DONE)

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_node_acts_as_a_primary(self) -> None:
        if hasattr(self, "cluster"):
            assert len(self.cluster.writers()) <= 1, [each.name for each in self.cluster.writers()]

    @invariant()
    def in_an_epoch_only_one_node_ever_acknowledged_a_commit(self) -> None:
        if hasattr(self, "cluster"):
            assert all(len(who) == 1 for who in self.cluster.acknowledged.values())

    @invariant()
    def one_run_at_a_time_and_none_ends_twice(self) -> None:
        for run in getattr(self, "runs", []):
            ends = [fact for fact in run.record.facts if isinstance(fact.body, IncidentFinished)]
            assert len(ends) == (run.progress.finished is not None)
        assert sum(run.progress.finished is None for run in getattr(self, "runs", [])) <= 1


LATE = Ending(Far.ORDERED)
STOPS = (OnFailure.STOP, OnFailure.STOP)


def test_whoever_was_told_in_an_outage_may_obey_in_the_next_one() -> None:
    life = Failover()
    life.begin(is_synchronous=False, rungs=(Rung.PROXY,), mode=RunbookMode.AUTOMATIC, fails=STOPS)
    life.the_primary_dies_and_drd_has_time_to_see_it("all lines", frozenset(NAMES), [WELL, WELL, *(7 * [LATE])])
    assert life.runs[0].progress.finished is Outcome.FAILED
    assert [each.name for each in life.cluster.servers.values() if each.told_by] == ["two"]
    life.lines_and_power_come_back({"one"}, is_started=True)
    life.time_goes_by(frozenset(), frozenset(NAMES), 4)
    life.something_fails("two", "line of drd")
    life.something_fails("one", "process")
    life.time_goes_by(frozenset(), frozenset(NAMES), 4)
    if life.open_run is not None:
        life.the_run_goes_on(4 * [WELL])
    life.a_standby_that_was_told_takes_over_at_last("two")
    life.at_most_one_node_acts_as_a_primary()
    assert [each.name for each in life.cluster.writers()] == ["two"]


def test_an_old_primary_that_is_back_gets_no_standby_from_a_daemon_that_does_not_reach_the_new_one() -> None:
    life = Failover()
    life.begin(is_synchronous=True, rungs=(Rung.REVOKE,), mode=RunbookMode.AUTOMATIC, fails=STOPS)
    life.the_primary_dies_and_drd_has_time_to_see_it("host", frozenset(), 3 * [WELL])
    life.something_fails("two", "all lines")
    life.the_run_goes_on(4 * [WELL])
    assert life.open_run is None
    life.drd_is_killed_and_another_one_takes_over(Far.NOWHERE, is_cut=False)
    life.lines_and_power_come_back({"one"}, is_started=True)
    for _ in range(3):
        life.time_goes_by(frozenset(), frozenset(), 4)
    life.at_most_one_node_acts_as_a_primary()
    assert [each.name for each in life.cluster.writers()] == ["two"]


TestInTheOrdinaryRun = Failover.TestCase
TestInTheOrdinaryRun.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.faults
@pytest.mark.timeout(900)
class TestForLonger(Failover.TestCase):  # type: ignore[misc, valid-type]
    """The same with many more lives."""

    settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
