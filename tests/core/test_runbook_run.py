"""A run of a runbook, decided by the pure core, against a made-up world in which drd may be killed at any instant.

The world keeps what really happened; the journal keeps what drd wrote. After a kill only the journal is left, and what
was under way may or may not have taken effect.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from drd.core.events import (
    AbortAsked,
    Body,
    DeadlineMissed,
    IncidentFinished,
    PeopleTold,
    RunbookEdited,
    RunStarted,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.holding import NO_HOLD, Hold
from drd.core.policy import Cause, Mode, Outcome
from drd.core.runbook import OnFailure
from drd.core.runbook_next import RETRY_DELAY, next_orders
from drd.core.runbook_orders import Cancel, Check, Conclude, End, MissDeadline, Order, Start, Tell, Undo
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import MOST_UNDONE, Progress, StepState, Stopping, after
from drd.core.runbook_step import Answer, Choice, Doing, Silence, StepOutcome, Waiting
from drd.core.runbook_telling import (
    FIRST_DELAY,
    LONGEST_DELAY,
    REMINDED_AFTER,
    REMINDED_EVERY,
    asks_for_a_decision,
)

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LONG = timedelta(minutes=5)


@dataclass
class Effect:
    """What is really the case with a step."""

    is_there: bool = False
    began: list[str] = field(default_factory=list)
    """`blind` for each beginning while the effect was there and drd could not know that it was not."""
    times: int = 0
    is_open: bool = False
    """Whether it was begun, and what is on record does not tell since whether it took effect."""


@dataclass
class World:
    """Carries out orders, as the engine does, and may be killed."""

    plan: RunPlan
    draw: Callable[[st.SearchStrategy], object]
    journal: list[tuple[datetime, Body]] = field(default_factory=list)
    live: dict[str, Callable[[], None]] = field(default_factory=dict)
    effects: dict[str, Effect] = field(default_factory=dict)
    now: datetime = NOON
    undone: list[str] = field(default_factory=list)
    patience: int = 4
    """How often people have something tried again."""
    progress: Progress = field(default_factory=lambda: Progress(NOON))
    pauses: int = 8
    """For how many turns it may be paused."""
    unreached: int = 3
    """How often a message may reach nobody."""
    hold: Hold = NO_HOLD
    asked_before: dict[str, list[str]] = field(default_factory=dict)
    """Title → the approvals before it in the file."""

    def write(self, body: Body) -> None:
        self.now += timedelta(milliseconds=1)
        self.journal.append((self.now, body))
        self.settle(body)
        self.progress = after(self.plan, self.progress, body, self.now)

    def settle(self, body: Body) -> None:
        """What a person who reads the journal could say of a step's effect."""
        match body:
            case StepStarted(step=title, doing=Doing.APPLY):
                self.effects[title].is_open = True
            case StepFinished(step=title, outcome=outcome) if self.progress.of(title).state is StepState.RUNNING:
                self.effects[title].is_open = outcome is StepOutcome.UNKNOWN
            case StepChecked(step=title, answer=answer) if answer is not Answer.UNKNOWN:
                self.effects[title].is_open = False
            case StepAnswered(step=title, choice=Choice.AGAIN):
                self.effects[title].is_open = False

    def kill(self) -> None:
        """Only the journal is left; what was under way takes effect or does not."""
        for title in list(self.live):
            if title in self.effects and self.draw(st.booleans()):
                self.effects[title].is_there = not self.is_undoing(title)
        self.live.clear()
        self.progress = reduce(lambda p, each: after(self.plan, p, each[1], each[0]), self.journal, Progress(NOON))

    def is_undoing(self, title: str) -> bool:
        return self.progress.of(title).state is StepState.UNDOING

    def step(self) -> bool:
        """One turn of the engine; False when the run is over."""
        if self.progress.finished is not None:
            assert next_orders(self.plan, self.progress, frozenset(), self.now).orders == ()
            return False
        # It is paused now and then, and always ends being so.
        self.hold = self.draw(st.sampled_from([NO_HOLD, PAUSED, KILLED])) if self.pauses else NO_HOLD
        self.pauses -= bool(self.pauses)
        todo = next_orders(self.plan, self.progress, frozenset(self.live), self.now, self.hold)
        before = len(self.journal), len(self.live)
        for order in todo.orders:
            self.carry_out(order)
        if (len(self.journal), len(self.live)) == before:
            self.wait(todo.look_again)
        return True

    def wait(self, until: datetime | None) -> None:
        if self.live:
            title = self.draw(st.sampled_from(sorted(self.live)))
            self.live.pop(str(title))()
        elif until is not None and not (self.is_asked() and self.draw(st.booleans())):
            assert until > self.now
            self.now = until
        elif self.hold.steps:
            return
        else:
            self.answer()

    def is_asked(self) -> bool:
        return any(at.state is StepState.ASKING for at in self.progress.steps.values())

    def answer(self) -> None:
        """A person says something, for nothing else can go on."""
        for step in self.plan.steps:
            at = self.progress.of(step.title)
            if at.state is StepState.ASKING:
                choices = [Choice.DONE, Choice.AGAIN] if self.patience else [Choice.DONE]
                self.patience -= bool(self.patience)
            elif at.state is StepState.RUNNING and step.waits is not None:
                choices = [Choice.APPROVE, Choice.REFUSE]
            else:
                continue
            choice = self.draw(st.sampled_from(choices))
            if choice is Choice.DONE:
                self.effects[step.title].is_there = True
            self.write(StepAnswered(step.title, Choice(choice), "anna", ""))
            return
        raise AssertionError(f"nothing goes on: {self.progress}")

    def carry_out(self, order: Order) -> None:
        match order:
            case Start(title):
                self.begin(title)
            case Undo(title):
                planned = self.plan.step(title)
                assert planned.is_undoable
                assert not planned.is_irreversible
                self.write(StepStarted(planned.stage, title, Doing.UNDO, "", ""))
                self.live[title] = lambda: self.take_back(title)
            case Check(title, doing):
                assert title not in self.live
                self.live[title] = lambda: self.check(title, doing)
            case Conclude(title, outcome, message):
                if message == "nobody answered in time" and outcome is StepOutcome.SUCCEEDED:
                    assert not self.hold.consent, f"{title} is taken to be approved during a pause"
                    assert any(
                        isinstance(body, PeopleTold) and body.topic == f"approval {title}" and not body.failures
                        for _, body in self.journal
                    ), f"{title} is taken to be approved, and nobody was asked"
                self.write(StepFinished(title, Doing.APPLY, outcome, message))
            case Cancel(title):
                self.live.pop(title)
                self.effects[title].is_there = self.effects[title].is_there or bool(self.draw(st.booleans()))
                self.write(StepFinished(title, Doing.APPLY, StepOutcome.CANCELLED))
            case MissDeadline(stage):
                self.write(DeadlineMissed(stage.name, stage.owner, stage.deputy))
            case Tell(topic, people, _):
                assert topic not in self.live
                self.live[topic] = lambda: self.tell(topic, people)
            case End(outcome, message):
                assert not self.live
                self.write(IncidentFinished("orders", "orders-failover", outcome, message))

    def tell(self, topic: str, people: tuple[str, ...]) -> None:
        is_reached = not self.unreached or bool(self.draw(st.booleans()))
        self.unreached -= not is_reached
        self.write(PeopleTold(topic, people, () if is_reached else people))

    def begin(self, title: str) -> None:
        assert not self.hold.steps, f"{title} begins although everything is stopped"
        planned, at, effect = self.plan.step(title), self.progress.of(title), self.effects[title]
        assert title not in self.live
        assert self.progress.stopping is None
        assert all(self.progress.of(need).state is StepState.DONE for need in planned.needs)
        stages = [stage.name for stage in self.plan.stages]
        for other in self.plan.steps:
            if stages.index(other.stage) < stages.index(planned.stage):
                assert self.progress.of(other.title).is_settled or other.is_beside
        for asked in self.asked_before[title]:
            assert self.progress.of(asked).state is StepState.DONE, f"{title} begins without consent"
        if at.order and not planned.is_repeatable:
            # Its outcome was known, or somebody looked, or a person says so: else an effect may be there twice.
            assert not effect.is_open, f"{title} is begun again blindly"
        self.write(StepStarted(planned.stage, title, Doing.APPLY, "", ""))
        if planned.waits is None:
            effect.times += 1
            self.live[title] = lambda: self.finish(title)

    def finish(self, title: str) -> None:
        is_well = bool(self.draw(st.booleans()))
        self.effects[title].is_there = self.effects[title].is_there or is_well or bool(self.draw(st.booleans()))
        bad = self.draw(st.sampled_from([StepOutcome.FAILED, StepOutcome.UNKNOWN]))
        outcome = StepOutcome.SUCCEEDED if is_well else StepOutcome(bad)
        self.write(StepFinished(title, Doing.APPLY, outcome, "" if is_well else "it broke"))

    def take_back(self, title: str) -> None:
        is_well = bool(self.draw(st.booleans()))
        if is_well:
            self.effects[title].is_there = False
            self.undone.append(title)
        outcome = StepOutcome.SUCCEEDED if is_well else StepOutcome.FAILED
        self.write(StepFinished(title, Doing.UNDO, outcome))

    def check(self, title: str, doing: Doing) -> None:
        is_there = self.effects[title].is_there
        true = Answer.DONE if is_there is (doing is Doing.APPLY) else Answer.NOT_DONE
        answer = self.draw(st.sampled_from([true, Answer.UNKNOWN]))
        self.write(StepChecked(title, doing, Answer(answer)))


STAGES = ("detect", "recover", "switch")


@st.composite
def plans(draw: st.DrawFn) -> RunPlan:
    stages = tuple(
        PlannedStage(name, "anna", timedelta(seconds=5 * place), draw(st.sampled_from(["", "bob"])))
        for place, name in enumerate(STAGES, start=1)
    )
    steps: list[PlannedStep] = []
    for number in range(draw(st.integers(1, 6))):
        waits = draw(
            st.sampled_from(
                [
                    *([None] * 5),
                    Waiting(),
                    Waiting(within=SECOND),
                    Waiting(("anna",), SECOND, Silence.STOP),
                    Waiting(("anna",), SECOND, Silence.CONTINUE),
                ]
            )
        )
        steps.append(
            PlannedStep(
                title=f"step {number}",
                stage=draw(st.sampled_from(STAGES)),
                is_parallel=draw(st.booleans()),
                is_beside=draw(st.booleans()),
                retry=draw(st.integers(0, 2)),
                on_failure=draw(st.sampled_from(OnFailure)),
                waits=waits,
                is_repeatable=draw(st.booleans()),
                is_irreversible=draw(st.integers(0, 4)) == 0,
                is_undoable=waits is None and draw(st.booleans()),
                is_undo_repeatable=draw(st.booleans()),
                action=draw(st.sampled_from(["command", "fence"])),
                relies_on=draw(st.sampled_from([{}, {"fence": 2 * SECOND}])),
                is_looked_at_last=draw(st.booleans()),
            )
        )
    steps.sort(key=lambda step: STAGES.index(step.stage))
    for place, step in enumerate(steps):
        earlier = [each.title for each in steps[:place]]
        if earlier and draw(st.integers(0, 2)) == 0:
            steps[place] = replace(step, needs=(draw(st.sampled_from(earlier)),))
    return RunPlan(stages, tuple(steps))


@given(data=st.data(), plan=plans())
@settings(max_examples=150, deadline=None)
def test_a_run_that_is_killed_at_any_instant_ends_and_repeats_nothing_blindly(
    data: st.DataObject, plan: RunPlan
) -> None:
    world = World(plan, data.draw, effects={step.title: Effect() for step in plan.steps})
    # As written: `plans` has no step need a later one.
    for step in plan.steps:
        asked = [] if step.is_approval else [title for title in world.asked_before if plan.step(title).is_approval]
        world.asked_before[step.title] = asked
    kills = 0
    for turn in range(400):
        if kills < 5 and data.draw(st.integers(0, 4)) == 0:
            kills += 1
            world.kill()
        if turn == 12 and world.progress.finished is None and data.draw(st.integers(0, 2)) == 0:
            world.write(AbortAsked("anna", "enough", takes_back=data.draw(st.booleans())))
        if not world.step():
            break
    assert world.progress.finished is not None, world.progress
    note(f"ended {world.progress.finished}")
    assert not [at for at, body in world.journal if isinstance(body, IncidentFinished)][1:]
    _holds_of_the_whole(world)


def _holds_of_the_whole(world: World) -> None:
    """What is true of the journal of every run, whatever happened in it."""
    plan, progress = world.plan, world.progress
    order = {title: each.order for title, each in progress.steps.items()}
    barrier = max((order.get(step.title, 0) for step in plan.steps if step.is_irreversible), default=0)
    assert all(order[title] > barrier for title in world.undone), "something from before an irreversible step went back"
    begun = [body.step for _, body in world.journal if isinstance(body, StepStarted) and body.doing is Doing.UNDO]
    firsts = [order[title] for title in dict.fromkeys(begun)]
    assert firsts == sorted(firsts, reverse=True), "not taken back in reverse"
    if progress.finished is Outcome.SUCCEEDED:
        assert all(progress.of(step.title).state is StepState.DONE for step in plan.steps)
    if progress.stopping is Stopping.TAKE_BACK:
        left = [step for step in plan.steps if step.is_undoable and order.get(step.title, 0) > barrier]
        assert all(progress.of(step.title).state in (StepState.UNDONE, StepState.NOT_UNDONE) for step in left)
    for step in plan.steps:
        for need in step.needs:
            if progress.of(need).state is StepState.SKIPPED:
                assert progress.of(step.title).order == 0


def test_nothing_is_begun_beside_an_approval_that_nobody_gave() -> None:
    asking = Waiting(("anna",), timedelta(seconds=1), Silence.STOP)
    plan = a_plan(
        a_step("ask", is_parallel=True, waits=asking), a_step("first", is_parallel=True, needs=()), a_step("act")
    )
    progress = after(plan, Progress(NOON), StepStarted("recover", "ask", Doing.APPLY, "", ""), NOON)
    late = NOON + timedelta(seconds=1)
    orders = next_orders(plan, progress, frozenset(), late).orders
    assert [type(order) for order in orders] == [Conclude]
    stopped = after(plan, progress, StepFinished("ask", Doing.APPLY, StepOutcome.FAILED), late)
    assert [type(order) for order in next_orders(plan, stopped, frozenset(), late).orders] == [End]


@pytest.mark.parametrize("stage", ["recover", "switch"])
def test_nothing_behind_an_approval_begins_before_it_is_given_however_parallel_it_is(stage: str) -> None:
    asking = Waiting(("anna",), HOUR, Silence.STOP)
    told = Told(
        a_plan(
            a_step("early", is_parallel=True),
            a_step("ask", is_parallel=True, waits=asking, needs=("late",)),
            a_step("fence", stage, is_parallel=True),
            a_step("late", is_parallel=True),
        )
    )
    assert told.todo() == (Start("early"), Start("late"))
    told.begun("early").ended("early").begun("late").ended("late")
    assert told.todo() == (Start("ask"),)
    told.begun("ask").tell(PeopleTold("approval ask", ("anna",)))
    assert told.todo() == ()
    told.tell(StepAnswered("ask", Choice.APPROVE, "anna", "")).ended("ask")
    assert told.todo() == (Start("fence"),)


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_refusal_ends_the_run_whatever_the_step_says(on_failure: OnFailure) -> None:
    asking = Waiting(("anna",), HOUR, Silence.STOP)
    told = Told(a_plan(a_step("ask", waits=asking, on_failure=on_failure, retry=2), a_step("act")))
    told.begun("ask").tell(StepAnswered("ask", Choice.REFUSE, "anna", "no")).ended("ask", FAILED, "anna refused: no")
    assert told.todo() == (End(Outcome.FAILED, "ask: anna refused: no"),)


def test_silence_that_means_no_is_not_passed_over() -> None:
    asking = Waiting(("anna",), SECOND, Silence.STOP)
    told = Told(a_plan(a_step("ask", waits=asking, on_failure=OnFailure.CONTINUE), a_step("act", is_parallel=True)))
    told.begun("ask").ended("ask", FAILED, "nobody answered in time")
    assert told.todo() == (End(Outcome.FAILED, "ask: nobody answered in time"),)


def a_step(title: str, stage: str = "recover", **more: object) -> PlannedStep:
    return PlannedStep(title=title, stage=stage, **more)  # type: ignore[arg-type]


def a_plan(*steps: PlannedStep) -> RunPlan:
    stages = [name for name in STAGES if any(step.stage == name for step in steps)]
    return RunPlan(tuple(PlannedStage(name, "anna", HOUR, "bob") for name in stages), steps)


@dataclass
class Told:
    """A journal that a test writes by hand, a second an event."""

    plan: RunPlan
    progress: Progress = field(default_factory=lambda: Progress(NOON))
    now: datetime = NOON

    def tell(self, *bodies: Body) -> "Told":
        for body in bodies:
            self.now += SECOND
            self.progress = after(self.plan, self.progress, body, self.now)
        return self

    def begun(self, title: str, doing: Doing = Doing.APPLY) -> "Told":
        return self.tell(StepStarted("recover", title, doing, "command", ""))

    def ended(self, title: str, outcome: StepOutcome = StepOutcome.SUCCEEDED, message: str = "") -> "Told":
        return self.tell(StepFinished(title, Doing.APPLY, outcome, message))

    def todo(self, *live: str, later: timedelta = timedelta(), hold: Hold = NO_HOLD) -> tuple[Order, ...]:
        return next_orders(self.plan, self.progress, frozenset(live), self.now + later, hold).orders


FAILED = StepOutcome.FAILED


def test_steps_come_one_after_the_other_and_the_run_ends_after_the_last() -> None:
    told = Told(a_plan(a_step("a"), a_step("b"), a_step("c", "switch")))
    assert told.todo() == (Start("a"),)
    assert told.begun("a").todo("a") == ()
    assert told.ended("a").todo() == (Start("b"),)
    assert told.begun("b").ended("b").todo() == (Start("c"),)
    assert told.begun("c").ended("c").todo() == (End(Outcome.SUCCEEDED),)
    assert told.tell(IncidentFinished("orders", "x", Outcome.SUCCEEDED)).todo() == ()


def test_parallel_steps_begin_beside_others_but_not_before_what_they_need() -> None:
    plan = a_plan(a_step("a"), a_step("b", is_parallel=True), a_step("c", is_parallel=True, needs=("a",)), a_step("d"))
    told = Told(plan)
    assert told.todo() == (Start("a"), Start("b"))
    assert told.begun("a").begun("b").ended("a").todo("b") == (Start("c"), Start("d"))


def test_what_is_beside_keeps_neither_the_next_step_nor_the_next_stage_waiting_but_the_end() -> None:
    tell = a_step("tell", "detect", is_beside=True, on_failure=OnFailure.CONTINUE)
    told = Told(a_plan(tell, a_step("fence", "detect"), a_step("promote"), a_step("late", needs=("tell",))))
    assert told.todo() == (Start("tell"), Start("fence"))
    assert told.begun("tell").begun("fence").ended("fence").todo("tell") == (Start("promote"),)
    assert told.begun("promote").ended("promote").todo("tell") == ()
    assert told.ended("tell", StepOutcome.FAILED).todo() == (Conclude("late", StepOutcome.SKIPPED, "it needs: tell"),)


def test_a_step_that_needs_a_later_one_of_its_stage_comes_after_it() -> None:
    told = Told(a_plan(a_step("a", needs=("b",)), a_step("b")))
    assert told.todo() == (Start("b"),)
    assert told.begun("b").ended("b").todo() == (Start("a"),)


def test_a_run_takes_as_long_as_what_nothing_goes_on_beside() -> None:
    plan = a_plan(
        a_step("a"),
        a_step("b", is_parallel=True),
        a_step("c", is_parallel=True, needs=("a",)),
        a_step("d"),
        a_step("tell", is_beside=True),
        a_step("e", "switch", needs=("a",)),
        a_step("save", "switch", is_beside=True),
    )
    took = {"a": 3, "b": 1, "c": 4, "d": 2, "tell": 1, "e": 5, "save": 0}
    assert plan.length({title: seconds * SECOND for title, seconds in took.items()}) == 12 * SECOND
    assert plan.length({title: seconds * SECOND for title, seconds in {**took, "tell": 60}.items()}) == 65 * SECOND
    assert plan.length({title: seconds * SECOND for title, seconds in {**took, "b": 9}.items()}) == 14 * SECOND
    assert RunPlan((), ()).length({}) == timedelta()


def test_a_circle_of_needs_is_cut_somewhere() -> None:
    assert [step.title for step in a_plan(a_step("a", needs=("b",)), a_step("b", needs=("a",))).steps] == ["b", "a"]


def test_a_step_is_skipped_when_what_it_needs_has_failed() -> None:
    told = Told(
        a_plan(a_step("a", on_failure=OnFailure.CONTINUE), a_step("b", needs=("a",)), a_step("c", needs=("b",)))
    )
    told.begun("a").ended("a", FAILED, "no")
    assert told.todo() == (Conclude("b", StepOutcome.SKIPPED, "it needs: a"),)
    told.ended("b", StepOutcome.SKIPPED)
    assert told.todo() == (Conclude("c", StepOutcome.SKIPPED, "it needs: b"),)
    told.ended("c", StepOutcome.SKIPPED)
    assert told.todo() == (End(Outcome.INCOMPLETE, "not done: a; b; c"),)


def test_an_intent_without_an_outcome_is_asked_about_and_not_repeated() -> None:
    told = Told(a_plan(a_step("a"))).begun("a")
    assert told.todo() == (Check("a", Doing.APPLY),)
    assert told.todo("a") == ()
    done = replace(told).tell(StepChecked("a", Doing.APPLY, Answer.DONE))
    assert done.todo() == (End(Outcome.SUCCEEDED),)
    not_done = replace(told).tell(StepChecked("a", Doing.APPLY, Answer.NOT_DONE))
    assert not_done.todo() == (Start("a"),)
    unknown = replace(told).tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN))
    assert isinstance(unknown.todo()[0], Tell)
    assert unknown.tell(PeopleTold("question a 1.0", ("anna",))).todo() == ()
    again = replace(unknown).tell(StepAnswered("a", Choice.AGAIN, "anna", "it is not"))
    assert again.todo() == (Check("a", Doing.APPLY),), "the effect may have come while nobody looked"
    assert replace(again).tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN)).todo() == (Start("a"),)
    assert again.tell(StepChecked("a", Doing.APPLY, Answer.DONE)).todo() == (End(Outcome.SUCCEEDED),)
    assert replace(unknown).tell(StepAnswered("a", Choice.DONE, "anna", "I did")).todo() == (End(Outcome.SUCCEEDED),)


def test_what_may_be_repeated_is_repeated_without_asking_a_person() -> None:
    told = Told(a_plan(a_step("a", is_repeatable=True))).begun("a")
    assert told.tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN)).todo() == (Start("a"),)


def test_a_failure_is_tried_again_after_a_moment_and_after_asking() -> None:
    told = Told(a_plan(a_step("a", retry=1))).begun("a").ended("a", FAILED, "no")
    todo = next_orders(told.plan, told.progress, frozenset(), told.now)
    assert (todo.orders, todo.look_again) == ((), told.now + RETRY_DELAY)
    assert told.todo(later=RETRY_DELAY) == (Check("a", Doing.APPLY),)
    assert told.todo(later=-LONG) == (Check("a", Doing.APPLY),)  # a clock that is set back keeps nothing waiting
    told.tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN))
    assert told.todo() == (Start("a"),)
    told.begun("a").ended("a", FAILED, "no again")
    assert told.todo() == (End(Outcome.FAILED, "a: no again"),)


@pytest.mark.parametrize("answer", Answer)
def test_an_attempt_that_ended_without_an_answer_is_not_repeated_blindly(answer: Answer) -> None:
    told = Told(a_plan(a_step("a", retry=2))).begun("a").ended("a", StepOutcome.UNKNOWN, "no answer in time")
    assert told.todo() == ()
    assert told.todo(later=RETRY_DELAY) == (Check("a", Doing.APPLY),)
    told.tell(StepChecked("a", Doing.APPLY, answer))
    if answer is not Answer.UNKNOWN:
        assert told.todo() == ((End(Outcome.SUCCEEDED),) if answer is Answer.DONE else (Start("a"),))
        return
    [tell] = told.todo()
    assert isinstance(tell, Tell)
    assert "no answer in time, and nothing tells whether it was done" in tell.text
    told.tell(StepAnswered("a", Choice.AGAIN, "anna", "it has not come")).begun("a").ended("a", FAILED, "no")
    assert told.tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN)).todo() == (Start("a"),), "it failed, as is known"


def test_what_looks_itself_or_may_be_repeated_is_tried_again_although_nobody_knows_whether_it_was_done() -> None:
    for more in ({"looks_first": True}, {"is_repeatable": True}):
        told = Told(a_plan(a_step("a", retry=1, **more))).begun("a").ended("a", StepOutcome.UNKNOWN)
        assert told.tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN)).todo() == (Start("a"),)


def test_what_it_needs_may_fail_and_tells_nothing_of_what_it_did_before() -> None:
    more = {"is_repeatable": True, "is_looked_at_last": True}
    first = a_step("a", on_failure=OnFailure.CONTINUE, **more)
    told = Told(a_plan(first, a_step("b", needs=("a",), is_parallel=True, retry=3)))
    told.begun("a").ended("a").begun("b").ended("b", StepOutcome.UNKNOWN, "no answer")
    told.ended("b", FAILED, "it needs: a").tell(StepChecked("b", Doing.APPLY, Answer.UNKNOWN))
    assert isinstance(told.todo()[0], Tell)


def test_a_failure_that_asks_waits_for_a_person() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK), a_step("b"))).begun("a").ended("a", FAILED, "no")
    [tell] = told.todo()
    assert isinstance(tell, Tell)
    assert tell.people == ("anna",)
    assert told.tell(StepAnswered("a", Choice.APPROVE, "anna", "")).todo() == (tell,)  # no answer to that question
    assert told.tell(StepAnswered("a", Choice.DONE, "anna", "by hand")).todo() == (Start("b"),)


def test_a_question_that_nobody_answers_is_told_to_the_deputy_too_and_again() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK))).begun("a").ended("a", FAILED, "no")
    told.tell(PeopleTold("question a 1.1", ("anna",)))
    due = next_orders(told.plan, told.progress, frozenset(), told.now).look_again
    assert due == told.now + REMINDED_AFTER
    assert told.todo(later=REMINDED_AFTER - SECOND) == ()
    [tell] = told.todo(later=REMINDED_AFTER)
    assert isinstance(tell, Tell)
    assert tell.people == ("anna", "bob")
    assert told.todo(tell.topic, later=REMINDED_AFTER) == ()
    assert told.todo(later=-LONG) == (tell,)  # a clock that is set back keeps nobody from being told
    told.now -= LONG
    told.tell(PeopleTold(tell.topic, tell.people))
    assert told.todo(later=REMINDED_EVERY - SECOND) == ()
    assert told.todo(later=REMINDED_EVERY) == (tell,)
    told.tell(PeopleTold(tell.topic, tell.people, ("anna: no answer", "bob: no answer")))
    assert told.todo(later=FIRST_DELAY) == (tell,)


def test_what_people_have_to_decide_is_told_apart_from_what_they_only_hear() -> None:
    asks = {"approval a", "waiting on a", "question a 1.1", "unanswered question a 1.1"}
    assert {topic for topic in (*asks, "deadline recover") if asks_for_a_decision(topic)} == asks


def test_a_question_that_does_not_reach_the_owner_is_put_to_the_deputy_too() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK))).begun("a").ended("a", FAILED, "no")
    told.tell(PeopleTold("question a 1.1", ("anna",), ("anna: no answer",)))
    [tell] = told.todo(later=FIRST_DELAY)
    assert isinstance(tell, Tell)
    assert (tell.topic, tell.people) == ("question a 1.1", ("anna", "bob"))


def test_a_failure_that_undoes_takes_back_the_last_first_and_stops_at_the_irreversible() -> None:
    plan = a_plan(
        a_step("first", is_undoable=True),
        a_step("final", is_irreversible=True, is_undoable=True),
        a_step("b", is_undoable=True),
        a_step("c"),
        a_step("d", is_undoable=True, on_failure=OnFailure.UNDO),
    )
    told = Told(plan)
    for title in ("first", "final", "b", "c"):
        told.begun(title).ended(title)
    told.begun("d").ended("d", FAILED, "no")
    assert told.todo() == (Undo("d"),)
    told.begun("d", Doing.UNDO)
    assert told.todo("d") == ()
    told.tell(StepFinished("d", Doing.UNDO, StepOutcome.FAILED, "cannot"))
    assert told.todo() == (Undo("b"),)
    told.begun("b", Doing.UNDO).tell(StepFinished("b", Doing.UNDO, StepOutcome.SUCCEEDED))
    assert told.todo() == (End(Outcome.FAILED, "d: no; not taken back: d"),)


@pytest.mark.parametrize(
    ("answer", "is_repeatable", "then"),
    [
        (Answer.DONE, False, End(Outcome.FAILED, "a: no")),
        (Answer.NOT_DONE, False, Undo("a")),
        (Answer.UNKNOWN, True, Undo("a")),
        (Answer.UNKNOWN, False, End(Outcome.FAILED, "a: no; not taken back: a")),
    ],
)
def test_taking_back_is_not_repeated_blindly_either(answer: Answer, is_repeatable: bool, then: Order) -> None:
    step = a_step("a", is_undoable=True, on_failure=OnFailure.UNDO, is_undo_repeatable=is_repeatable)
    told = Told(a_plan(step)).begun("a").ended("a", FAILED, "no").begun("a", Doing.UNDO)
    assert told.todo() == (Check("a", Doing.UNDO),)
    assert told.tell(StepChecked("a", Doing.UNDO, answer)).todo() == (then,)


def test_an_abort_stops_what_is_under_way_and_asks_about_what_was_lost() -> None:
    plan = a_plan(*(a_step(name, is_parallel=True, is_undoable=True) for name in "ab"), a_step("w", waits=Waiting()))
    told = Told(plan).begun("a").begun("b").begun("w")
    told.tell(AbortAsked("anna", "wrong night", takes_back=True))
    assert told.todo("a") == (
        Cancel("a"),
        Check("b", Doing.APPLY),
        Conclude("w", StepOutcome.CANCELLED, "the run ends"),
    )
    told.ended("a", StepOutcome.CANCELLED).ended("w", StepOutcome.CANCELLED)
    told.tell(StepChecked("b", Doing.APPLY, Answer.NOT_DONE))
    assert told.todo() == (Undo("b"),)
    told.begun("b", Doing.UNDO).tell(StepFinished("b", Doing.UNDO, StepOutcome.SUCCEEDED))
    assert told.todo() == (Undo("a"),)
    told.begun("a", Doing.UNDO).tell(StepFinished("a", Doing.UNDO, StepOutcome.SUCCEEDED))
    assert told.todo() == (End(Outcome.CANCELLED, "anna ended it: wrong night"),)


def test_a_failure_waits_for_what_runs_beside_it() -> None:
    told = Told(a_plan(a_step("a", is_parallel=True), a_step("b", is_parallel=True, retry=1)))
    told.begun("a").begun("b").ended("a", FAILED, "no")
    assert told.todo("b") == ()
    assert told.ended("b", FAILED, "no either").todo() == (End(Outcome.FAILED, "a: no"),)


def test_a_step_that_was_to_be_tried_again_is_left_when_the_run_stops() -> None:
    told = Told(a_plan(a_step("a", is_parallel=True, retry=1), a_step("b", is_parallel=True)))
    told.begun("a").begun("b").ended("a", FAILED, "no").ended("b", FAILED, "no")
    told.tell(StepChecked("a", Doing.APPLY, Answer.NOT_DONE))  # it was asked before the other failed
    assert told.todo() == (End(Outcome.FAILED, "b: no"),)


@pytest.mark.parametrize(
    ("choice", "outcome", "message"),
    [
        (Choice.APPROVE, StepOutcome.SUCCEEDED, "anna approved: go"),
        (Choice.REFUSE, StepOutcome.FAILED, "anna refused: go"),
    ],
)
def test_an_approval_is_asked_for_once_and_answered(choice: Choice, outcome: StepOutcome, message: str) -> None:
    told = Told(a_plan(a_step("a", waits=Waiting(("anna",), HOUR, Silence.STOP)))).begun("a")
    [tell] = told.todo()
    assert isinstance(tell, Tell)
    assert told.tell(PeopleTold(tell.topic, ("anna",))).todo() == ()
    assert told.tell(StepAnswered("a", choice, "anna", "go")).todo() == (Conclude("a", outcome, message),)


def test_silence_means_what_was_written() -> None:
    for silence, outcome in ((Silence.STOP, StepOutcome.FAILED), (Silence.CONTINUE, StepOutcome.SUCCEEDED)):
        told = Told(a_plan(a_step("a", waits=Waiting(("anna",), SECOND, silence)))).begun("a")
        told.tell(PeopleTold("approval a", ("anna",)))
        assert told.todo(later=SECOND) == (Conclude("a", outcome, "nobody answered in time"),)
    told = Told(a_plan(a_step("a", waits=Waiting(within=SECOND)))).begun("a")
    assert next_orders(told.plan, told.progress, frozenset(), told.now).look_again == told.now + SECOND
    assert told.todo(later=SECOND) == (Conclude("a", StepOutcome.SUCCEEDED),)


def test_anybodys_word_is_waited_for_and_a_pause_keeps_silence_from_counting_for_it_too() -> None:
    for silence, outcome in ((Silence.STOP, FAILED), (Silence.CONTINUE, StepOutcome.SUCCEEDED)):
        told = Told(a_plan(a_step("a", waits=Waiting((), SECOND, silence, is_for_anybody=True)))).begun("a")
        assert told.todo() == ()
        over = (Conclude("a", outcome, "nobody answered in time"),)
        assert told.todo(later=SECOND) == over
        assert told.todo(later=SECOND, hold=PAUSED) == (over if silence is Silence.STOP else ())


def test_silence_is_no_consent_before_somebody_was_asked() -> None:
    told = Told(a_plan(a_step("a", waits=Waiting(("anna",), 30 * SECOND, Silence.CONTINUE)))).begun("a")
    unreached = PeopleTold("approval a", ("anna",), ("anna: no answer",))
    told.tell(unreached)
    assert told.todo(later=9 * SECOND) == ()
    assert next_orders(told.plan, told.progress, frozenset(), told.now).look_again == told.now + FIRST_DELAY
    ask = Tell("approval a", ("anna",), "a: your approval is asked for")
    assert told.todo(later=10 * SECOND) == told.todo(later=1800 * SECOND) == told.todo(later=-SECOND) == (ask,)
    assert told.tell(unreached).todo(later=19 * SECOND) == ()
    assert told.todo(later=20 * SECOND) == (ask,)
    for _ in range(20):
        told.tell(unreached)
    assert told.todo(later=LONGEST_DELAY - SECOND) == ()
    assert told.todo(later=LONGEST_DELAY) == (ask,)
    told.tell(PeopleTold("approval a", ("anna", "bob"), ("anna: no answer",)))
    assert told.todo(later=29 * SECOND) == ()
    assert told.todo(later=30 * SECOND) == (Conclude("a", StepOutcome.SUCCEEDED, "nobody answered in time"),)


def test_silence_that_means_no_needs_nobody_who_was_asked() -> None:
    told = Told(a_plan(a_step("a", waits=Waiting(("anna",), SECOND, Silence.STOP)))).begun("a")
    told.tell(PeopleTold("approval a", ("anna",), ("anna: no answer",)))
    assert told.todo(later=SECOND) == (Conclude("a", FAILED, "nobody answered in time"),)


def test_a_question_or_a_missed_deadline_that_reached_nobody_is_told_again_until_it_is_settled() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK))).begun("a").ended("a", FAILED, "no")
    [tell] = told.todo()
    assert isinstance(tell, Tell)
    told.tell(PeopleTold(tell.topic, tell.people, ("anna has no address",)))
    assert told.todo() == ()
    assert told.todo(later=FIRST_DELAY) == (replace(tell, people=("anna", "bob")),)
    assert told.todo(tell.topic, later=FIRST_DELAY) == ()
    told.tell(StepAnswered("a", Choice.DONE, "anna", "by hand"))
    assert told.todo(later=FIRST_DELAY) == (End(Outcome.SUCCEEDED),)


PAUSED = Hold(consent="paused by bob: kernel")
KILLED = Hold(consent="paused by bob: stop", steps="paused by bob: stop")


def test_while_it_is_paused_silence_is_no_consent_and_people_are_asked_anew_when_that_is_over() -> None:
    told = Told(a_plan(a_step("a", waits=Waiting(("anna",), 30 * SECOND, Silence.CONTINUE)))).begun("a")
    told.tell(PeopleTold("approval a", ("anna",)))
    assert told.todo(later=29 * SECOND, hold=PAUSED) == ()
    wait = Tell("waiting on a", ("anna",), "a: it waits for your word, since it is paused by bob: kernel")
    told.now += 30 * SECOND
    assert told.todo(hold=PAUSED) == (wait,)
    assert told.todo("waiting on a", hold=PAUSED) == ()
    told.tell(PeopleTold("waiting on a", ("anna",), ("anna: no answer",)))
    assert told.todo(hold=PAUSED) == ()
    assert told.todo(later=FIRST_DELAY, hold=PAUSED) == (wait,)
    told.tell(PeopleTold("waiting on a", ("anna",)))
    assert told.todo(later=1800 * SECOND, hold=PAUSED) == ()
    ask = Tell("approval a", ("anna",), "a: your approval is asked for again, for nothing is paused any more")
    assert told.todo(later=1800 * SECOND) == (ask,)
    told.now += 1800 * SECOND
    told.tell(PeopleTold("approval a", ("anna",)))
    assert told.todo(later=29 * SECOND) == ()
    assert told.todo(later=30 * SECOND) == (Conclude("a", StepOutcome.SUCCEEDED, "nobody answered in time"),)
    assert told.todo(later=30 * SECOND, hold=PAUSED) == (wait,)
    assert told.tell(StepAnswered("a", Choice.APPROVE, "anna", "go")).todo(hold=PAUSED) == (
        Conclude("a", StepOutcome.SUCCEEDED, "anna approved: go"),
    )


def test_a_pause_keeps_no_step_of_a_run_and_the_kill_switch_every_one_but_what_takes_back() -> None:
    told = Told(a_plan(a_step("a", is_undoable=True, retry=1), a_step("b")))
    assert told.todo(hold=PAUSED) == (Start("a"),)
    assert told.todo(hold=KILLED) == ()
    told.begun("a").ended("a", FAILED, "no")
    assert told.todo(later=RETRY_DELAY, hold=KILLED) == ()
    told.tell(StepChecked("a", Doing.APPLY, Answer.NOT_DONE)).begun("a").ended("a")
    assert told.todo(hold=KILLED) == ()
    told.tell(AbortAsked("anna", "enough", takes_back=True))
    assert told.todo(hold=KILLED) == (Undo("a"),)


@pytest.mark.parametrize(("digest", "what"), [("5f" * 32, "was changed"), ("", "is gone")])
def test_whose_stage_it_is_hears_that_the_file_was_edited_while_the_run_goes_on(digest: str, what: str) -> None:
    told = (
        Told(a_plan(a_step("a"), a_step("b", "switch"))).begun("a").tell(RunbookEdited("x", digest, is_as_begun=False))
    )
    [tell] = told.todo("a")
    assert isinstance(tell, Tell)
    assert (tell.people, what in tell.text) == (("anna",), True)
    back = replace(told).tell(RunbookEdited("x", "5e" * 32, is_as_begun=True))
    assert back.todo("a") == ()
    assert told.tell(PeopleTold(tell.topic, ("anna",))).todo("a") == ()


def test_a_missed_deadline_tells_the_deputy_and_stops_nothing() -> None:
    told = Told(a_plan(a_step("a"), a_step("b", "switch")))
    assert next_orders(told.plan, told.progress, frozenset(), told.now).look_again == NOON + HOUR
    told.begun("a")
    late = told.todo("a", later=HOUR)
    assert [type(order) for order in late] == [MissDeadline, MissDeadline]
    told.tell(DeadlineMissed("recover", "anna", "bob"), DeadlineMissed("switch", "anna", "bob"))
    told.now += HOUR
    tells = told.todo("a")
    assert [order.people for order in tells if isinstance(order, Tell)] == [("bob",), ("bob",)]
    told.tell(PeopleTold("deadline recover", ("bob",)))
    assert [order.topic for order in told.todo("a") if isinstance(order, Tell)] == ["deadline switch"]
    assert told.todo("a", "deadline switch") == ()


def test_a_deadline_that_is_missed_while_the_run_stops_is_told_before_it_ends() -> None:
    told = Told(a_plan(a_step("a", is_undoable=True), a_step("b", on_failure=OnFailure.UNDO)))
    told.begun("a").ended("a").begun("b").ended("b", FAILED, "no").begun("a", Doing.UNDO)
    assert next_orders(told.plan, told.progress, frozenset({"a"}), told.now).look_again == NOON + HOUR
    told.now = NOON + HOUR
    assert [type(order) for order in told.todo("a")] == [MissDeadline]
    told.tell(StepFinished("a", Doing.UNDO, StepOutcome.SUCCEEDED))
    assert [type(order) for order in told.todo()] == [MissDeadline]
    [tell] = told.tell(DeadlineMissed("recover", "anna", "bob")).todo()
    assert isinstance(tell, Tell)
    assert (tell.people, "and the run stops: b: no" in tell.text) == (("bob",), True)
    assert told.todo(tell.topic) == ()
    told.tell(PeopleTold(tell.topic, ("bob",)))
    assert told.todo() == (End(Outcome.FAILED, "b: no"),)


def test_what_a_step_has_ordered_and_what_a_person_has_done_is_known_to_later_steps() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK))).begun("a")
    told.tell(StepOrdered("a", {"ordered_to_lead": "two"})).ended("a", FAILED, "no answer")
    assert told.progress.facts == {"ordered_to_lead": "two"}
    told.tell(StepAnswered("a", Choice.DONE, "anna", "", {"new_primary": "two"}))
    assert told.progress.facts == {"ordered_to_lead": "two", "new_primary": "two"}


def test_what_steps_found_out_is_known_in_the_order_in_which_they_were_begun() -> None:
    told = Told(a_plan(a_step("a"), a_step("b"))).begun("a").begun("b")
    told.tell(StepFinished("b", Doing.APPLY, StepOutcome.SUCCEEDED, facts={"new_primary": "two", "up": "two"}))
    told.tell(StepFinished("a", Doing.APPLY, StepOutcome.SUCCEEDED, facts={"new_primary": "one"}))
    assert told.progress.facts == {"new_primary": "two", "up": "two"}


def test_a_run_is_over_only_when_everybody_was_told() -> None:
    told = Told(a_plan(a_step("a", on_failure=OnFailure.ASK))).begun("a").ended("a", FAILED, "no")
    [tell] = told.todo()
    assert isinstance(tell, Tell)
    done = replace(told).tell(StepAnswered("a", Choice.DONE, "anna", "by hand"))
    ended = replace(told).tell(AbortAsked("anna", "enough", takes_back=False))
    for each, outcome in ((done, End(Outcome.SUCCEEDED)), (ended, End(Outcome.CANCELLED, "anna ended it: enough"))):
        assert each.todo(tell.topic) == ()
        assert each.todo() == (outcome,)


def test_nothing_is_taken_back_while_what_did_it_has_not_let_go_of_it() -> None:
    told = Told(a_plan(a_step("a", is_undoable=True, on_failure=OnFailure.UNDO))).begun("a").ended("a", FAILED, "no")
    assert told.todo("a") == ()
    assert told.todo() == (Undo("a"),)


def test_other_events_and_answers_to_nothing_change_nothing() -> None:
    told = Told(a_plan(a_step("a")))
    before = told.progress
    told.tell(RunStarted("orders", Mode.FULL, Cause.MANUAL, None), StepAnswered("a", Choice.APPROVE, "anna", ""))
    assert told.progress == before
    assert told.plan.stage_of("a").name == "recover"


def fenced(**fence: object) -> Told:
    """A run that has fenced, and is about to promote."""
    plan = a_plan(
        a_step("fence", action="fence", is_repeatable=True, **fence),
        a_step("promote", relies_on={"fence": 60 * SECOND}),
    )
    return Told(plan).begun("fence").ended("fence")


def test_what_a_step_relies_on_is_asked_once_more_when_it_was_done_long_ago() -> None:
    assert fenced().todo(later=59 * SECOND) == (Start("promote"),)
    told = fenced()
    told.now += LONG
    assert told.todo() == (Check("fence", Doing.APPLY),)
    assert told.todo("fence") == ()
    assert told.todo(later=-2 * LONG) == (Check("fence", Doing.APPLY),)  # a clock that was set back tells nothing
    told.tell(StepChecked("fence", Doing.APPLY, Answer.DONE, {"fenced": "one"}))
    assert told.todo() == (Start("promote"),)


def test_what_two_steps_rely_on_is_looked_at_once() -> None:
    relying = {"needs": ("fence",), "is_parallel": True, "relies_on": {"fence": 60 * SECOND}}
    told = Told(a_plan(a_step("fence", action="fence"), a_step("promote", **relying), a_step("tell", **relying)))
    told.begun("fence").ended("fence")
    assert told.todo(later=LONG) == (Check("fence", Doing.APPLY),)


@pytest.mark.parametrize("answer", [Answer.NOT_DONE, Answer.UNKNOWN])
def test_what_does_not_hold_any_more_is_done_again_before_another_step_relies_on_it(answer: Answer) -> None:
    told = fenced()
    told.now += LONG
    told.tell(StepChecked("fence", Doing.APPLY, answer))
    assert told.todo() == (Start("fence"),)
    told.begun("fence").ended("fence")
    assert told.todo() == (Start("promote"),)


def test_what_nobody_can_tell_of_is_left_as_it_is_where_it_must_not_be_done_twice_or_nothing_follows() -> None:
    for more in ({"is_looked_at_last": True}, {"is_repeatable": False}):
        plan = a_plan(a_step("a", **{"is_repeatable": True, **more}))
        told = Told(plan).begun("a").ended("a").tell(StepChecked("a", Doing.APPLY, Answer.UNKNOWN))
        assert told.todo() == (End(Outcome.SUCCEEDED),)


def test_what_a_person_says_to_have_done_is_not_asked_about() -> None:
    told = Told(
        a_plan(
            a_step("fence", action="fence", on_failure=OnFailure.ASK),
            a_step("promote", relies_on={"fence": 60 * SECOND}),
        )
    )
    told.begun("fence").ended("fence", FAILED, "no").tell(StepAnswered("fence", Choice.DONE, "anna", "it is off"))
    assert told.todo(later=LONG) == (Start("promote"),)


def test_what_may_be_forgotten_is_looked_at_before_the_run_ends_well() -> None:
    told = Told(a_plan(a_step("switch", is_repeatable=True, is_looked_at_last=True), a_step("save")))
    told.begun("switch").ended("switch").begun("save").ended("save")
    assert told.todo() == (Check("switch", Doing.APPLY),)
    assert told.todo("switch") == ()
    forgot = replace(told).tell(StepChecked("switch", Doing.APPLY, Answer.NOT_DONE))
    assert forgot.todo() == (Start("switch"),)
    assert forgot.begun("switch").ended("switch").todo() == (End(Outcome.SUCCEEDED),)
    told.now -= LONG  # a clock that is set back makes no look an old one
    assert told.tell(StepChecked("switch", Doing.APPLY, Answer.DONE)).todo() == (End(Outcome.SUCCEEDED),)


def test_what_is_done_again_waits_for_what_it_needs_that_is_done_again_too() -> None:
    more = {"is_repeatable": True, "is_looked_at_last": True}
    first = a_step("a", on_failure=OnFailure.CONTINUE, **more)
    told = Told(a_plan(first, a_step("b", needs=("a",), is_parallel=True, **more)))
    told.begun("a").ended("a").begun("b").ended("b")
    told.tell(*(StepChecked(title, Doing.APPLY, Answer.NOT_DONE) for title in ("a", "b")))
    assert told.todo() == (Start("a"),)
    failed = replace(told).begun("a").ended("a", FAILED, "no")
    assert failed.todo() == (Conclude("b", FAILED, "it needs: a"),)
    assert told.begun("a").ended("a").todo() == (Start("b"),)


def test_what_somebody_takes_back_again_and_again_fails_in_the_end() -> None:
    told = fenced()
    for _ in range(MOST_UNDONE):
        told.now += LONG
        told.tell(StepChecked("fence", Doing.APPLY, Answer.NOT_DONE)).begun("fence").ended("fence")
    told.tell(StepChecked("fence", Doing.APPLY, Answer.NOT_DONE))
    assert told.todo() == (End(Outcome.FAILED, "fence: what it does is taken back again and again"),)


def test_a_run_that_is_stopped_does_nothing_again() -> None:
    told = fenced()
    told.tell(AbortAsked("anna", "enough", takes_back=False), StepChecked("fence", Doing.APPLY, Answer.NOT_DONE))
    assert told.todo() == (End(Outcome.CANCELLED, "anna ended it: enough"),)


def test_what_a_step_has_ordered_stays_known_while_it_is_tried_again() -> None:
    told = Told(a_plan(a_step("move", retry=1))).begun("move")
    told.tell(StepOrdered("move", {"ordered": "two", "by": "drd"}))
    assert told.todo("move") == (), "an order is no outcome"
    told.ended("move", FAILED, "late").begun("move").tell(StepOrdered("move", {"ordered": "three"}))
    assert told.progress.of("move").facts == {"ordered": "three", "by": "drd"}
