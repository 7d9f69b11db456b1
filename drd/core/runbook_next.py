"""What a run of a runbook does next: a pure function of how far it has come.

Nothing here knows what a step does. An order is carried out by the engine, which journals its intent before and its
outcome after; the outcome leads to the next orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from drd.core.holding import NO_HOLD, Hold
from drd.core.run import Outcome
from drd.core.runbook_orders import Cancel, Check, Conclude, End, MissDeadline, Order, Start, Tell, Undo
from drd.core.runbook_plan import PlannedStage, PlannedStep, RunPlan
from drd.core.runbook_progress import Progress, StepProgress, StepState, Stopping
from drd.core.runbook_step import Choice, Doing, Silence, StepOutcome, Waiting
from drd.core.runbook_telling import (
    asked_at,
    asking_for,
    is_due,
    is_to_be_reminded,
    is_told_to_wait,
    question_about,
    reminder_of,
    reminding_of,
    waiting_on,
)

_OPEN: Final = (StepState.RUNNING, StepState.UNDOING)
RETRY_DELAY: Final = timedelta(seconds=1)
"""How long after its failure a step is tried again."""


@dataclass(frozen=True, slots=True)
class Next:
    """What to do now, and when to look again although nothing has happened."""

    orders: tuple[Order, ...] = ()
    look_again: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    """All that is known when it is decided what comes next."""

    plan: RunPlan
    progress: Progress
    under_way: frozenset[str]
    now: datetime
    hold: Hold

    def of(self, step: PlannedStep) -> StepProgress:
        """Where a step stands."""
        return self.progress.of(step.title)

    def is_idle(self, step: PlannedStep) -> bool:
        """Whether this process is not working at it."""
        return step.title not in self.under_way

    def telling(self, tell: Tell) -> Iterator[Tell]:
        """The same, unless it has reached somebody, or was tried only just now."""
        if is_due(self.progress.told.get(tell.topic), self.now):
            yield from self.telling_anew(tell)

    def telling_anew(self, tell: Tell) -> Iterator[Tell]:
        """The same, unless it is being told."""
        if tell.topic not in self.under_way:
            yield tell


def next_orders(
    plan: RunPlan, progress: Progress, under_way: frozenset[str], now: datetime, hold: Hold = NO_HOLD
) -> Next:
    """What to do now. `under_way`: titles of the steps, and topics, at which this process is working."""
    turn = _Turn(plan, progress, under_way, now, hold)
    if progress.finished is not None:
        return Next()
    late = [stage for stage in plan.stages if _is_open(plan, progress, stage)]
    telling = (*_late(turn, late), *_edited(turn, late))
    if progress.stopping is not None:
        ending = tuple(each for each in _ending(turn) if not (telling and isinstance(each, End)))
        orders = [*telling, *ending]
    else:
        # Two steps may rely on the same one: it is looked at once.
        orders = list(dict.fromkeys((*telling, *_advancing(turn))))
    moments = [progress.began + stage.deadline for stage in late if stage.name not in progress.missed]
    if progress.stopping is None:
        moments += [moment for step in plan.steps if (moment := _awaited(turn, step)) is not None]
    moments += [told.again for told in progress.told.values() if told.again is not None]
    if progress.stopping is None:
        orders = _until_a_conclusion(orders)
    return Next(tuple(orders), min((moment for moment in moments if moment > now), default=None))


def _until_a_conclusion(orders: list[Order]) -> list[Order]:
    """What comes of a step may stop the run: nothing is begun until that is on record."""
    ends = (place for place, order in enumerate(orders, start=1) if isinstance(order, Conclude))
    return orders[: next(ends, len(orders))]


def _is_open(plan: RunPlan, progress: Progress, stage: PlannedStage) -> bool:
    return any(not progress.of(step.title).is_settled for step in plan.of_stage(stage.name))


def _late(turn: _Turn, stages: list[PlannedStage]) -> Iterator[Order]:
    for stage in stages:
        if turn.now < turn.progress.began + stage.deadline:
            continue
        if stage.name not in turn.progress.missed:
            yield MissDeadline(stage)
        else:
            text = f"the stage {stage.name} of {stage.owner} is not over by its deadline"
            if turn.progress.stopping is not None:
                text = f"{text}, and the run stops: {turn.progress.why}"
            yield from turn.telling(Tell(f"deadline {stage.name}", (stage.deputy or stage.owner,), text))


def _edited(turn: _Turn, stages: list[PlannedStage]) -> Iterator[Tell]:
    """Tell whose stage it is that the file does not say any more what is done."""
    edited = turn.progress.edited
    if edited is not None and stages:
        what = "was changed" if edited else "is gone"
        text = f"the runbook's file {what}; the run goes on by what it began with, and only the next one by the file"
        yield from turn.telling(Tell(f"edited {edited[:16]}", (stages[0].owner,), text))


def _awaited(turn: _Turn, step: PlannedStep) -> datetime | None:
    """The moment at which something becomes of a step by itself."""
    at = turn.of(step)
    if at.since is None:
        return None
    if at.state is StepState.RUNNING and step.waits is not None and step.waits.within is not None:
        is_asked = bool(step.waits.people) and _is_consent(step.waits)
        since = asked_at(turn.progress.told, step.title) if is_asked else at.since
        return None if since is None else since + step.waits.within
    if at.state is StepState.PENDING and at.failures:
        return at.since + RETRY_DELAY
    if at.state is StepState.ASKING:
        return reminder_of(turn.progress.told, question_about(step.title, at.order, at.failures))
    return None


def _advancing(turn: _Turn) -> Iterator[Order]:
    plan, progress = turn.plan, turn.progress
    if not any(_is_open(plan, progress, stage) for stage in plan.stages):
        if last := [step for step in plan.steps if step.is_looked_at_last and _is_left_behind(plan, step, progress)]:
            yield from (Check(step.title, Doing.APPLY) for step in last if turn.is_idle(step))
        elif not turn.under_way:  # somebody may still be being told
            yield _well_ended(plan, progress)
        return
    for stage in plan.stages:
        steps = [step for step in plan.of_stage(stage.name) if not turn.of(step).is_settled]
        is_held = False
        for step in steps:
            if step.is_parallel or not is_held:
                yield from _for_step(turn, step)
            is_held = is_held or not (step.is_parallel or step.is_beside)
        if not all(step.is_beside for step in steps):
            return


def _well_ended(plan: RunPlan, progress: Progress) -> End:
    lacking = [step.title for step in plan.steps if progress.of(step.title).state is not StepState.DONE]
    if lacking:
        return End(Outcome.INCOMPLETE, f"not done: {'; '.join(lacking)}")
    return End(Outcome.SUCCEEDED)


def _for_step(turn: _Turn, step: PlannedStep) -> Iterator[Order]:
    at = turn.of(step)
    match at.state:
        case StepState.RUNNING if step.waits is not None:
            yield from _waiting(turn, step, step.waits)
        case StepState.RUNNING if turn.is_idle(step):
            yield Check(step.title, Doing.APPLY)
        case StepState.ASKING:
            yield from _questioning(turn, step)
        case StepState.PENDING if turn.is_idle(step):
            yield from _pending(turn, step)


def _questioning(turn: _Turn, step: PlannedStep) -> Iterator[Tell]:
    """Ask the stage's owner what becomes of a step, and with the deputy again as long as nobody says it."""
    at, stage, told = turn.of(step), turn.plan.stage_of(step.title), turn.progress.told
    question = question_about(step.title, at.order, at.failures)
    text = f"{step.title}: {at.message}; the run waits for your decision"
    both = tuple(filter(None, (stage.owner, stage.deputy)))
    if reminder_of(told, question) is None:
        yield from turn.telling(Tell(question, both if question in told else (stage.owner,), text))
    elif is_to_be_reminded(told, question, turn.now):
        yield from turn.telling_anew(Tell(reminding_of(question), both, f"{text}, and nobody has said it yet"))


def _pending(turn: _Turn, step: PlannedStep) -> Iterator[Order]:
    at, progress, now = turn.of(step), turn.progress, turn.now
    lacking = [title for title in step.needs if progress.of(title).state is not StepState.DONE]
    if any(progress.of(title).is_settled for title in lacking):
        outcome = StepOutcome.FAILED if at.order else StepOutcome.SKIPPED
        yield Conclude(step.title, outcome, f"it needs: {'; '.join(lacking)}")
    elif lacking or turn.hold.steps:  # what it needs may have been taken back since it was begun first
        return
    elif not at.order or at.is_cleared:
        yield from _start(turn, step)
    elif not (at.failures and _is_young(at, now)):
        yield Check(step.title, Doing.APPLY)


def _is_young(at: StepProgress, now: datetime) -> bool:
    """Whether it has failed only just now. A clock may have been set back."""
    return at.since is not None and timedelta() <= now - at.since < RETRY_DELAY


def _start(turn: _Turn, step: PlannedStep) -> Iterator[Order]:
    """Begin it, once what it relies on has been looked at lately."""
    old = [each for each in turn.plan.steps if _is_old(turn.of(each), step.relies_on.get(each.action), turn.now)]
    if not old:
        yield Start(step.title)
    yield from (Check(each.title, Doing.APPLY) for each in old if turn.is_idle(each))


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


def _waiting(turn: _Turn, step: PlannedStep, waits: Waiting) -> Iterator[Order]:
    at = turn.of(step)
    until = _awaited(turn, step)
    is_over = until is not None and turn.now >= until
    if at.choice is not None:
        is_refused = at.choice is Choice.REFUSE
        words = f"{at.by} {'refused' if is_refused else 'approved'}" + (f": {at.message}" if at.message else "")
        yield Conclude(step.title, StepOutcome.FAILED if is_refused else StepOutcome.SUCCEEDED, words)
    elif is_over and not (turn.hold.consent and _is_consent(waits)):
        is_stop = waits.silence is Silence.STOP
        words = "nobody answered in time" if waits.people or waits.is_for_anybody else ""
        yield Conclude(step.title, StepOutcome.FAILED if is_stop else StepOutcome.SUCCEEDED, words)
    elif waits.people:
        yield from _asking(turn, step.title, waits.people, is_over=is_over)


def _is_consent(waits: Waiting) -> bool:
    """Whether silence is taken for an approval."""
    return (bool(waits.people) or waits.is_for_anybody) and waits.silence is Silence.CONTINUE


def _asking(turn: _Turn, title: str, people: tuple[str, ...], *, is_over: bool) -> Iterator[Tell]:
    """Ask for an approval. Where a pause keeps silence from counting, say so, and ask once more when it is over."""
    is_waited_on = is_told_to_wait(turn.progress.told, title)
    ask = Tell(asking_for(title), people, f"{title}: your approval is asked for")
    wait = Tell(waiting_on(title), people, f"{title}: it waits for your word, since it is {turn.hold.consent}")
    if is_waited_on and not turn.hold.consent:
        yield from turn.telling_anew(replace(ask, text=f"{ask.text} again, for nothing is paused any more"))
    elif is_over:
        yield from turn.telling_anew(wait)
    else:
        yield from turn.telling(wait if is_waited_on else ask)


def _ending(turn: _Turn) -> Iterator[Order]:
    """Wait for what runs, find out about what was lost, take back what is to be, and end."""
    plan, progress, under_way = turn.plan, turn.progress, turn.under_way
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
