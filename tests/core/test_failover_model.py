"""Whatever happens to a cluster, to drd and to what drd hears: never two nodes that act as a primary.

A state machine over `decide` and the pure half of the runbook engine. Its rules are what may happen: processes, hosts
and lines fail and come back, answers are lost, drd is killed, people answer. The orders are carried out on a made-up
cluster.
The invariants speak of the roles that the nodes really have, not of what drd believes of them.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import event as note
from hypothesis import settings
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
    StepStarted,
)
from drd.core.fencing import Rung
from drd.core.health import Recalled
from drd.core.incident import IncidentFact, IncidentRecord
from drd.core.policy import Cause
from drd.core.runbook import OnFailure, RunbookMode
from drd.core.runbook_next import next_orders
from drd.core.runbook_orders import Cancel, Check, Conclude, End, MissDeadline, Order, Start, Tell, Undo
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import Progress, StepState, after
from drd.core.runbook_step import Answer, Choice, Doing, Silence, StepOutcome, Waiting
from tests.core.failover_model import NAMES, Cluster, Eyes, NotDone, wall

FENCE, PROMOTE, APPROVE, CONFIRM, REDIRECT = "fence", "promote", "approve", "confirm", "redirect"
LOSSES = ("without an answer", "without an answer or the line", "killed before it is done", "killed when it is done")
names = st.sampled_from(NAMES)


def a_plan(mode: RunbookMode, on_failure: OnFailure, promote_fails: OnFailure, *, takes_back: bool) -> RunPlan:
    """As the runbooks that are shipped have it."""
    asked = PlannedStep(APPROVE, "respond", "approve", waits=Waiting(("ann",), timedelta(minutes=5), Silence.STOP))
    return RunPlan(
        tuple(
            PlannedStage(name, "ann", timedelta(seconds=10 * place), "bob")
            for place, name in enumerate(("detect", "respond", "recover", "switch"), start=1)
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
                is_irreversible=True,
                relies_on={"fence": timedelta(seconds=2)},
            ),
            PlannedStep(REDIRECT, "switch", "command", on_failure=OnFailure.CONTINUE, is_looked_at_last=True),
        ),
    )


@dataclass(frozen=True)
class Task:
    """Something that drd does at this moment."""

    doing: Doing | None
    """None: it only asks."""
    end: Callable[[bool], None]
    """How it ends: True as well as it can, False without an answer, whatever it did."""


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


class Failover(RuleBasedStateMachine):
    """A cluster, the daemon that watches it, and all that may happen to both."""

    @initialize(
        is_synchronous=st.booleans(),
        rungs=st.sampled_from([(Rung.SSH,), (Rung.SSH, Rung.POWER), (Rung.SSH, Rung.REVOKE), (Rung.REVOKE,), ()]),
        mode=st.sampled_from([RunbookMode.AUTOMATIC, RunbookMode.AUTOMATIC, RunbookMode.APPROVE]),
        fails=st.tuples(st.sampled_from(OnFailure), st.sampled_from([OnFailure.STOP, OnFailure.ASK, OnFailure.UNDO])),
    )
    def begin(
        self, is_synchronous: bool, rungs: tuple[Rung, ...], mode: RunbookMode, fails: tuple[OnFailure, OnFailure]
    ) -> None:
        self.cluster = Cluster(is_synchronous, rungs)
        self.mode = mode
        self.plan = a_plan(mode, *fails, takes_back=Rung.REVOKE in rungs)
        self.eyes = Eyes(primary="one")
        self.runs: list[Run] = []
        self.noted: tuple[str, int, float] | None = None
        """The primary that the journal knows, its timeline, and since when."""
        self.is_noted = False
        self.answers: dict[str, int] = {}
        """Node → how often it came to answer as the primary after it had been lost: that tells outages apart."""
        self.begun: list[tuple[str, int]] = []
        self.ordered = ""
        """Who was told last to become the primary."""
        for _ in range(2):
            self.second(frozenset(), 3)

    # --- what may happen ----------------------------------------------------------------------------------------------

    @rule(lost=st.frozensets(names, max_size=2), follow=st.integers(0, 3), seconds=st.integers(1, 4))
    def time_goes_by(self, lost: frozenset[str], follow: int, seconds: int) -> None:
        for number in range(seconds):
            self.second(lost if number == 0 else frozenset(), follow)

    @rule(name=names, what=st.sampled_from(["process", "host", "line of drd", "line between nodes"]))
    def something_fails(self, name: str, what: str) -> None:
        server = self.cluster.servers[name]
        server.runs = server.runs and what in ("line of drd", "line between nodes")
        server.has_power = server.has_power and what != "host"
        server.is_reached = server.is_reached and what != "line of drd"
        server.is_linked = server.is_linked and what != "line between nodes"

    @rule(who=st.sets(names, min_size=1), is_started=st.booleans())
    def lines_and_power_come_back(self, who: set[str], is_started: bool) -> None:
        for server in map(self.cluster.servers.__getitem__, sorted(who)):
            server.is_reached = server.is_linked = server.has_power = True
            if is_started and not server.runs and not server.is_masked:
                server.runs, server.starts = True, server.starts + 1

    @rule(of_what=st.sampled_from(["process", "process", "host", "line of drd"]))
    def the_primary_dies_and_drd_has_time_to_see_it(self, of_what: str) -> None:
        for server in self.cluster.writers():
            self.lines_and_power_come_back({each.name for each in self.cluster.others(server.name)}, is_started=True)
            self.second(frozenset(), 3)
            self.something_fails(server.name, of_what)
        for _ in range(6):
            self.second(frozenset(), 3)

    @rule(name=names)
    def a_person_makes_a_node_follow_the_one_that_leads(self, name: str) -> None:
        server, writers = self.cluster.servers[name], self.cluster.writers()
        if self.open_run is None and writers and server not in writers and writers[0].is_linked:
            server.is_primary, server.is_masked, server.awaits = False, False, 0
            server.has_power = server.runs = server.receives = server.is_linked = server.is_reached = True
            server.timeline, server.forks, server.offset = writers[0].timeline, writers[0].forks, writers[0].offset
            server.starts += 1

    @precondition(lambda self: self.open_run is not None)
    @rule(ends=st.lists(st.sampled_from([*["well"] * 6, *LOSSES]), min_size=1, max_size=9))
    def the_run_goes_on(self, ends: list[str]) -> None:
        """What is under way ends, one after the other, a second each, unless drd is killed in its middle."""
        for how in ends:
            run = self.open_run
            if how.startswith("killed"):
                self.drd_is_killed_and_another_one_takes_over(how.endswith("done"), is_cut=False)
            elif run is not None and run.live:
                run.live.pop(min(run.live)).end(how == "well")
            if how.endswith("the line") and self.ordered:
                self.cluster.servers[self.ordered].is_reached = False
            self.second(frozenset(), 3)

    @precondition(lambda self: self.open_run is not None)
    @rule(choice=st.sampled_from([*Choice, *Choice, None]), takes_back=st.booleans())
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
            self.write(run, StepAnswered(step.title, choice, "ann", "I looked"))
            break
        self.turn()

    @rule(lands=st.booleans(), is_cut=st.booleans())
    def drd_is_killed_and_another_one_takes_over(self, lands: bool, is_cut: bool) -> None:
        """Only the journal is left. What was under way has taken effect or has not, and nobody tells which."""
        run = self.open_run
        if run is not None:
            tasks, run.live = dict(run.live), {}
            for title, task in tasks.items():
                run.unknown |= {title} if task.doing is Doing.APPLY else set()
                if lands and task.doing is not None:
                    with suppress(NotDone):
                        self.take_effect(run, title, task.doing)
            known, run.progress = run.progress, run.record.progress(run.plan)
            assert run.progress == known, "who resumes knows what the one before it knew"
            if is_cut and self.ordered:
                self.cluster.servers[self.ordered].is_reached = False
        self.eyes = Eyes(now=self.cluster.now)
        self.is_noted = False
        if self.noted is not None:
            name, timeline, _ = self.noted
            self.eyes.primary, self.eyes.recalled = name, Recalled(name, "c1", timeline)
        self.turn()

    # --- drd ----------------------------------------------------------------------------------------------------------

    @property
    def open_run(self) -> Run | None:
        return next((run for run in self.runs if run.progress.finished is None), None)

    def now(self) -> datetime:
        return wall(self.cluster.now)

    def second(self, lost: frozenset[str], follow: int) -> None:
        self.cluster.tick()
        self.cluster.write(follow)
        self.eyes.look(self.cluster, lost)
        self.note_primary()
        self.consider()
        self.turn()

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
        elif is_answering and seen is not None and (not self.is_noted or self.noted is None or self.noted[0] != name):
            self.noted, self.is_noted = (name, seen.position.timeline, self.cluster.now), True
        if is_answering and (name, self.answers.get(name, 0)) in self.begun:
            self.answers[name] = self.answers.get(name, 0) + 1

    def decision(self) -> Decision:
        view = replace(self.eyes.situation(self.cluster), rules=Rules(self.mode))
        newest = self.runs[-1] if self.runs else None
        if newest is not None and newest.progress.finished is None:
            return decide(replace(view, busy="a run"), self.now())
        name = view.cluster.primary
        if name is not None and newest is not None and newest.variables.get("primary") == name:
            seen = self.eyes.nodes[name].seen
            last = self.eyes.nodes[name].seen_at if seen is not None else (0.0 if self.noted is None else self.noted[2])
            if wall(last) < newest.record.started:
                view = replace(view, tried="a run")
        return decide(view, self.now())

    def consider(self) -> None:
        decision = self.decision()
        if decision.act not in (Act.FENCE, Act.PROMOTE) and (decision.act, self.mode) != (Act.ASK, RunbookMode.APPROVE):
            return
        assert decision.primary is not None
        assert self.open_run is None, "two runs at a time"
        outage = (decision.primary, self.answers.get(decision.primary, 0))
        assert outage not in self.begun, "a second start of one outage"
        self.begun.append(outage)
        note(f"started: {decision.cause}")
        variables = {"primary": decision.primary, "best_standby": decision.candidate.node if decision.candidate else ""}
        start = IncidentStarted(
            *("orders", "orders-failover", "hardware", "5e", "{}", Cause.HEALTH, "drd", ""),
            *(self.now(), False, NAMES, variables),
        )
        record = IncidentRecord(
            "01RUN", "orders", "orders-failover", False, self.now(), None, None, (IncidentFact(self.now(), start),)
        )
        self.runs.append(Run(self.plan, record, record.progress(self.plan), {}, set()))

    def turn(self) -> None:
        """Carry out what comes next until nothing does by itself."""
        for _ in range(30):
            run = self.open_run
            if run is None:
                return
            todo = next_orders(run.plan, run.progress, frozenset(run.live), self.now())
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
                self.start(run, title)
            case Undo(title):
                assert title == FENCE, "only that is undoable"
                assert not run.progress.of(PROMOTE).order, "a fence is taken back where another may have been promoted"
                self.write(run, StepStarted("respond", title, Doing.UNDO, "", ""))
                run.live[title] = Task(Doing.UNDO, lambda is_well: self.finish(run, title, Doing.UNDO, is_well))
            case Check(title, doing):
                run.live[title] = Task(None, lambda is_well: self.check(run, title, doing, is_well))
            case Conclude(title, outcome, message):
                self.write(run, StepFinished(title, Doing.APPLY, outcome, message))
            case Cancel(title):
                if run.live.pop(title).doing is Doing.APPLY and int(self.cluster.now) % 2:
                    with suppress(NotDone):
                        self.take_effect(run, title, Doing.APPLY)
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
            run.live[title] = Task(Doing.APPLY, lambda is_well: self.finish(run, title, Doing.APPLY, is_well))

    def finish(self, run: Run, title: str, doing: Doing, is_well: bool) -> None:
        try:
            facts = self.take_effect(run, title, doing)
            outcome, message = (StepOutcome.SUCCEEDED, "") if is_well else (StepOutcome.FAILED, "no answer in time")
        except NotDone as refused:
            outcome, message, facts = StepOutcome.FAILED, str(refused), {}
        self.write(run, StepFinished(title, doing, outcome, message, "", facts if is_well else {}))

    def take_effect(self, run: Run, title: str, doing: Doing) -> dict[str, str]:
        """What a step really does; raises NotDone where it does nothing."""
        old = run.variables["primary"]
        if doing is Doing.UNDO:
            if run.variables.get("fenced_by") != Rung.REVOKE or not all(s.is_reached for s in self.cluster.others(old)):
                raise NotDone("it is not taken back")
            self.cluster.give_back()
        elif title == CONFIRM and (verdict := self.eyes.verdicts.get(old)) is not None and not verdict.is_lost:
            raise NotDone(f"{old} is not lost")
        elif title == FENCE:
            return self.cluster.fence(old, self.eyes.view)
        elif title == PROMOTE:
            return self.promote(run, old)
        return {}

    def promote(self, run: Run, old: str) -> dict[str, str]:
        before = self.cluster.servers[old]
        promoted = self.cluster.promote(old, run.variables["best_standby"], self.eyes.view, self.ordered)
        self.ordered = promoted.name
        if before.awaits and self.cluster.newest.timeline == before.timeline:
            assert promoted.forks[-1][1] >= self.cluster.newest.offset, "a commit that was acknowledged is lost"
        note("promoted")
        return {"new_primary": promoted.name, "old_primary": old}

    def check(self, run: Run, title: str, doing: Doing, is_well: bool) -> None:
        answer, facts = Answer.UNKNOWN, {}
        old = self.cluster.servers[run.variables["primary"]]
        if is_well and doing is Doing.APPLY and title == FENCE and Rung.SSH in self.cluster.rungs and old.is_reached:
            is_done = old.has_power and old.is_masked and not old.runs
            answer, facts = (Answer.DONE, {"fenced_by": Rung.SSH}) if is_done else (Answer.NOT_DONE, {})
        elif is_well and title == PROMOTE and len(self.cluster.answering(old.name)) == len(NAMES) - 1:
            found = self.cluster.promoted(old.name)
            answer, facts = (Answer.NOT_DONE, {}) if found is None else (Answer.DONE, {"new_primary": found.name})
        if answer is not Answer.UNKNOWN:
            run.unknown.discard(title)
        self.write(run, StepChecked(title, doing, answer, dict(facts)))

    def is_true(self, run: Run, title: str, choice: Choice) -> bool:
        """Whether a person who has looked may say so; that the old primary is stopped the person sees to."""
        old = self.cluster.servers[run.variables["primary"]]
        if title == FENCE and choice is Choice.DONE:
            old.has_power, old.runs, old.is_masked = False, False, True
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


TestInTheOrdinaryRun = Failover.TestCase
TestInTheOrdinaryRun.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.faults
@pytest.mark.timeout(900)
class TestForLonger(Failover.TestCase):  # type: ignore[misc, valid-type]
    """The same with many more lives."""

    settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
