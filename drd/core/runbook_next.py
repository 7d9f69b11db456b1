"""What a run of a runbook does next: a pure function of how far it has come.

Nothing here knows what a step does. An order is carried out by the engine, which journals its intent before and its
outcome after; the outcome leads to the next orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drd.core.run import Outcome
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import Progress, StepProgress, StepState, Stopping
from drd.core.runbook_step import Choice, Doing, Silence, StepOutcome, Waiting

_OPEN: Final = (StepState.RUNNING, StepState.UNDOING)
RETRY_DELAY: Final = timedelta(seconds=1)
"""How long after its failure a step is tried again."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a step: journal the intent, then do it."""

    step: str


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether a step is done (or taken back) already."""

    step: str
    doing: Doing


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a step back: journal the intent, then do it."""

    step: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Journal what came of a step that nothing has to be done for."""

    step: str
    outcome: StepOutcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop what a step is doing."""

    step: str


@dataclass(frozen=True, slots=True)
class MissDeadline:
    """Journal that a stage is late."""

    stage: PlannedStage


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell people something, once."""

    topic: str
    people: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    outcome: Outcome
    message: str = ""


Order = Start | Check | Undo | Conclude | Cancel | MissDeadline | Tell | End


@dataclass(frozen=True, slots=True)
class Next:
    """What to do now, and when to look again although nothing has happened."""

    orders: tuple[Order, ...] = ()
    look_again: datetime | None = None


def next_orders(plan: RunPlan, progress: Progress, under_way: frozenset[str], now: datetime) -> Next:
    """What to do now. `under_way`: titles of the steps, and topics, at which this process is working."""
    if progress.finished is not None:
        return Next()
    if progress.stopping is not None:
        return Next(tuple(_ending(plan, progress, under_way)))
    late = [stage for stage in plan.stages if _is_open(plan, progress, stage)]
    # Two steps may rely on the same one: it is looked at once.
    orders = list(dict.fromkeys((*_late(progress, late, under_way, now), *_advancing(plan, progress, under_way, now))))
    moments = [progress.began + stage.deadline for stage in late if stage.name not in progress.missed]
    moments += [moment for step in plan.steps if (moment := _awaited(step, progress.of(step.title))) is not None]
    return Next(_until_a_conclusion(orders), min((moment for moment in moments if moment > now), default=None))


def _until_a_conclusion(orders: list[Order]) -> tuple[Order, ...]:
    """What comes of a step may stop the run: nothing is begun until that is on record."""
    ends = (place for place, order in enumerate(orders, start=1) if isinstance(order, Conclude))
    return tuple(orders[: next(ends, len(orders))])


def _is_open(plan: RunPlan, progress: Progress, stage: PlannedStage) -> bool:
    return any(not progress.of(step.title).is_settled for step in plan.of_stage(stage.name))


def _late(progress: Progress, stages: list[PlannedStage], under_way: frozenset[str], now: datetime) -> Iterator[Order]:
    for stage in stages:
        if now < progress.began + stage.deadline:
            continue
        topic = f"deadline {stage.name}"
        if stage.name not in progress.missed:
            yield MissDeadline(stage)
        elif topic not in progress.told | under_way:
            text = f"the stage {stage.name} of {stage.owner} is not over by its deadline"
            yield Tell(topic, (stage.deputy or stage.owner,), text)


def _awaited(step: PlannedStep, at: StepProgress) -> datetime | None:
    """The moment at which something becomes of a step by itself."""
    if at.since is None:
        return None
    if at.state is StepState.RUNNING and step.waits is not None and step.waits.within is not None:
        return at.since + step.waits.within
    if at.state is StepState.PENDING and at.failures:
        return at.since + RETRY_DELAY
    return None


def _advancing(plan: RunPlan, progress: Progress, under_way: frozenset[str], now: datetime) -> Iterator[Order]:
    stage = next((each for each in plan.stages if _is_open(plan, progress, each)), None)
    if stage is None:
        if last := [step for step in plan.steps if step.is_looked_at_last and _is_left_behind(plan, step, progress)]:
            yield from (Check(step.title, Doing.APPLY) for step in last if step.title not in under_way)
        elif not under_way:  # somebody may still be being told
            yield _well_ended(plan, progress)
        return
    is_held = False
    for step in plan.of_stage(stage.name):
        at = progress.of(step.title)
        if at.is_settled:
            continue
        if step.is_parallel or not is_held:
            yield from _for_step(plan, step, progress, under_way, now)
        is_held = is_held or not step.is_parallel


def _well_ended(plan: RunPlan, progress: Progress) -> End:
    lacking = [step.title for step in plan.steps if progress.of(step.title).state is not StepState.DONE]
    if lacking:
        return End(Outcome.INCOMPLETE, f"not done: {'; '.join(lacking)}")
    return End(Outcome.SUCCEEDED)


def _for_step(
    plan: RunPlan, step: PlannedStep, progress: Progress, under_way: frozenset[str], now: datetime
) -> Iterator[Order]:
    at = progress.of(step.title)
    match at.state:
        case StepState.RUNNING if step.waits is not None:
            yield from _waiting(step, step.waits, progress, under_way, now)
        case StepState.RUNNING if step.title not in under_way:
            yield Check(step.title, Doing.APPLY)
        case StepState.ASKING:
            topic = f"question {step.title} {at.order}.{at.failures}"
            if topic not in progress.told | under_way:
                stage = plan.stage_of(step.title)
                yield Tell(topic, (stage.owner,), f"{step.title}: {at.message}; the run waits for your decision")
        case StepState.PENDING if step.title not in under_way:
            yield from _pending(plan, step, progress, under_way, now)


def _pending(
    plan: RunPlan, step: PlannedStep, progress: Progress, under_way: frozenset[str], now: datetime
) -> Iterator[Order]:
    at = progress.of(step.title)
    lacking = [title for title in step.needs if progress.of(title).state is not StepState.DONE]
    if any(progress.of(title).is_settled for title in lacking):
        outcome = StepOutcome.FAILED if at.order else StepOutcome.SKIPPED
        yield Conclude(step.title, outcome, f"it needs: {'; '.join(lacking)}")
    elif lacking:  # what it needs may have been taken back since it was begun first
        return
    elif not at.order or at.is_cleared:
        yield from _start(plan, step, progress, under_way, now)
    elif at.since is None or not timedelta() <= now - at.since < RETRY_DELAY:  # a clock may have been set back
        yield Check(step.title, Doing.APPLY)


def _start(
    plan: RunPlan, step: PlannedStep, progress: Progress, under_way: frozenset[str], now: datetime
) -> Iterator[Order]:
    """Begin it, once what it relies on has been looked at lately."""
    old = [each for each in plan.steps if _is_old(progress.of(each.title), step.relies_on.get(each.action), now)]
    if not old:
        yield Start(step.title)
    yield from (Check(each.title, Doing.APPLY) for each in old if each.title not in under_way)


def _is_old(at: StepProgress, believed: timedelta | None, now: datetime) -> bool:
    """Whether what a step has done was seen too long ago. A clock that was set back tells nothing of how long."""
    return believed is not None and _may_be_asked_again(at) and at.seen is not None and abs(now - at.seen) > believed


def _is_left_behind(plan: RunPlan, step: PlannedStep, progress: Progress) -> bool:
    """Whether other steps have come to their ends since it was looked at."""
    at = progress.of(step.title)
    others = [progress.of(each.title).moved_as for each in plan.steps if each.title != step.title]
    return _may_be_asked_again(at) and max(others, default=0) > at.seen_as


def _may_be_asked_again(at: StepProgress) -> bool:
    """Whether drd did it: of what a person says to have done there is nothing to be asked."""
    return at.state is StepState.DONE and at.choice is not Choice.DONE


def _waiting(
    step: PlannedStep, waits: Waiting, progress: Progress, under_way: frozenset[str], now: datetime
) -> Iterator[Order]:
    at = progress.of(step.title)
    until = _awaited(step, at)
    if at.choice is not None:
        is_refused = at.choice is Choice.REFUSE
        words = f"{at.by} {'refused' if is_refused else 'approved'}" + (f": {at.message}" if at.message else "")
        yield Conclude(step.title, StepOutcome.FAILED if is_refused else StepOutcome.SUCCEEDED, words)
    elif until is not None and now >= until:
        is_stop = waits.silence is Silence.STOP
        words = "nobody answered in time" if waits.people else ""
        yield Conclude(step.title, StepOutcome.FAILED if is_stop else StepOutcome.SUCCEEDED, words)
    else:
        topic = f"approval {step.title}"
        if waits.people and topic not in progress.told | under_way:
            yield Tell(topic, waits.people, f"{step.title}: your approval is asked for")


def _ending(plan: RunPlan, progress: Progress, under_way: frozenset[str]) -> Iterator[Order]:
    """Wait for what runs, find out about what was lost, take back what is to be, and end."""
    open_steps = [step for step in plan.steps if progress.of(step.title).state in _OPEN]
    for step in open_steps:
        yield from _closing(step, progress, under_way)
    if open_steps:
        return
    undo = _taking_back(plan, progress)
    if undo is not None:
        if undo.step not in under_way:
            yield undo
    elif not under_way:
        yield _badly_ended(plan, progress)


def _closing(step: PlannedStep, progress: Progress, under_way: frozenset[str]) -> Iterator[Order]:
    """What becomes of a step that is under way, or was, when the run stops."""
    at = progress.of(step.title)
    if step.title in under_way:
        if progress.is_aborted and at.state is StepState.RUNNING:
            yield Cancel(step.title)
    elif at.state is StepState.RUNNING and step.waits is not None:
        yield Conclude(step.title, StepOutcome.CANCELLED, "the run ends")
    elif at.is_cleared:
        yield Undo(step.title)
    else:
        yield Check(step.title, Doing.UNDO if at.state is StepState.UNDOING else Doing.APPLY)


def _taking_back(plan: RunPlan, progress: Progress) -> Undo | None:
    """The step to take back next: of those begun after the last irreversible one, the latest that is not yet."""
    if progress.stopping is not Stopping.TAKE_BACK:
        return None
    begun = sorted(
        (step for step in plan.steps if progress.of(step.title).order),
        key=lambda step: progress.of(step.title).order,
        reverse=True,
    )
    for step in begun:
        if step.is_irreversible:
            return None
        if step.is_undoable and progress.of(step.title).state not in (StepState.UNDONE, StepState.NOT_UNDONE):
            return Undo(step.title)
    return None


def _badly_ended(plan: RunPlan, progress: Progress) -> End:
    left = [step.title for step in plan.steps if progress.of(step.title).state is StepState.NOT_UNDONE]
    message = progress.why + (f"; not taken back: {'; '.join(left)}" if left else "")
    return End(Outcome.CANCELLED if progress.is_aborted else Outcome.FAILED, message)
