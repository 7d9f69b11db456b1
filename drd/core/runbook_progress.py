"""How far a run of a runbook has come: a fold of its events, so a restarted daemon knows what the killed one knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from drd.core.events import (
    AbortAsked,
    Body,
    DeadlineMissed,
    IncidentFinished,
    PeopleTold,
    RunbookEdited,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
)
from drd.core.run import Outcome
from drd.core.runbook import OnFailure
from drd.core.runbook_plan import PlannedStep, RunPlan
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome
from drd.core.runbook_telling import Told, told_again


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    """Its intent is on record and its outcome is not: it may or may not have taken effect."""
    ASKING = "asking"
    """A person decides what becomes of it."""
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"
    NOT_UNDONE = "not undone"
    """It should have been taken back, and nobody knows that it was."""


SETTLED: Final = frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED})
"""Where a step stands when the next one may come."""


class Stopping(StrEnum):
    """How a run ends before its last step."""

    HALT = "halt"
    """Nothing more is begun."""
    TAKE_BACK = "take back"
    """What was done is taken back, the last first."""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """What the journal tells of one step."""

    state: StepState = StepState.PENDING
    order: int = 0
    """Its place among the steps that were begun, from 1; 0: it was not."""
    failures: int = 0
    first: datetime | None = None
    """When it was begun first."""
    since: datetime | None = None
    """When it came to stand where it stands."""
    looked: datetime | None = None
    """When it was asked last whether what it has done still holds; None: not since it was done."""
    moved_as: int = 0
    """Its place among the changes of the run's steps when it came to stand where it stands: clocks may be set back."""
    seen_as: int = 0
    """And when it was seen last that what it has done holds."""
    is_cleared: bool = False
    """Whether it may be begun again without asking first: somebody or something has just looked."""
    is_open: bool = False
    """Whether it was begun, and nothing has told since whether it took effect."""
    answer: Answer | None = None
    """What was answered since its last intent when it was asked whether it is done."""
    times_undone: int = 0
    """How often what it had done was found not to hold any more."""
    choice: Choice | None = None
    by: str = ""
    message: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> datetime | None:
        """When it was seen last that what it has done holds."""
        return self.looked or self.since

    @property
    def is_settled(self) -> bool:
        """Whether the next step may come."""
        return self.state in SETTLED


MOST_UNDONE: Final = 5
"""So often a step is done again that somebody takes back."""
_NOT_BEGUN: Final = StepProgress()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    began: datetime
    """The outage's first symptom."""
    steps: Mapping[str, StepProgress] = field(default_factory=dict)
    missed: frozenset[str] = frozenset()
    """The stages whose deadlines were missed."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """What people were told, or were to be told, by its topic."""
    stopping: Stopping | None = None
    why: str = ""
    """Why it stops."""
    is_aborted: bool = False
    edited: str | None = None
    """SHA-256 of what the runbook's file says now, empty where it is gone; None: what the run began with."""
    finished: Outcome | None = None

    def of(self, step: str) -> StepProgress:
        """Where a step stands."""
        return self.steps.get(step, _NOT_BEGUN)

    @property
    def facts(self) -> dict[str, str]:
        """What the steps that are done have found out, the latest last."""
        begun = sorted(self.steps.values(), key=lambda each: each.order)
        return {name: value for each in begun for name, value in each.facts.items()}

    @property
    def next_place(self) -> int:
        """The place of the next change of a step among all of them, from 1."""
        return 1 + max((each.seen_as for each in self.steps.values()), default=0)

    def with_step(self, title: str, at: datetime, **changes: Any) -> Progress:
        """The same with a step that has changed."""
        changed = replace(self.of(title), since=at, moved_as=self.next_place, seen_as=self.next_place, **changes)
        return replace(self, steps={**self.steps, title: changed})


def after(plan: RunPlan, progress: Progress, body: Body, at: datetime) -> Progress:
    """The progress after one more event of the run. Events that say nothing of it change nothing."""
    effect = _EFFECTS.get(type(body))
    return progress if effect is None else effect(plan, progress, body, at)


def _started(_plan: RunPlan, progress: Progress, body: StepStarted, at: datetime) -> Progress:
    before = progress.of(body.step)
    if body.doing is Doing.UNDO:
        return progress.with_step(body.step, at, state=StepState.UNDOING, answer=None, is_cleared=False)
    order = before.order or 1 + max((each.order for each in progress.steps.values()), default=0)
    return progress.with_step(
        body.step,
        at,
        state=StepState.RUNNING,
        order=order,
        first=before.first or at,
        is_open=True,
        answer=None,
        looked=None,
        is_cleared=False,
        choice=None,
    )


def _ordered(_plan: RunPlan, progress: Progress, body: StepOrdered, _at: datetime) -> Progress:
    """Where the step stands does not change; what it has ordered stays known while it is tried again."""
    before = progress.of(body.step)
    changed = replace(before, facts={**before.facts, **body.facts})
    return replace(progress, steps={**progress.steps, body.step: changed})


def _checked(plan: RunPlan, progress: Progress, body: StepChecked, at: datetime) -> Progress:
    planned, before = plan.step(body.step), progress.of(body.step)
    if body.doing is Doing.UNDO:
        return _undo_checked(progress, body, at, is_repeatable=planned.is_undo_repeatable)
    if before.state is StepState.DONE:
        return _asked_again(plan, progress, body, at)
    if body.answer is Answer.DONE:
        return progress.with_step(
            body.step, at, state=StepState.DONE, answer=body.answer, facts=body.facts, is_open=False
        )
    if progress.stopping is not None:
        lost = "drd ended in its middle" if before.state is StepState.RUNNING else before.message
        return progress.with_step(body.step, at, state=StepState.FAILED, answer=body.answer, message=lost)
    if body.answer is Answer.UNKNOWN and _would_be_blind(planned, before):
        why = "drd ended in the middle of this step" if before.state is StepState.RUNNING else before.message
        message = f"{why}, and nothing tells whether it was done"
        return progress.with_step(body.step, at, state=StepState.ASKING, answer=body.answer, message=message)
    is_open = before.is_open and body.answer is Answer.UNKNOWN
    return progress.with_step(
        body.step, at, state=StepState.PENDING, answer=body.answer, is_cleared=True, is_open=is_open
    )


def _would_be_blind(planned: PlannedStep, at: StepProgress) -> bool:
    """Whether it may have taken effect already where doing it again might do it twice, and no person has decided."""
    if not at.is_open or planned.is_repeatable or at.choice is Choice.AGAIN:
        return False
    # What a killed daemon has begun may go on still; what this one has given up does not.
    return at.state is StepState.RUNNING or not planned.looks_first


def _asked_again(plan: RunPlan, progress: Progress, body: StepChecked, at: datetime) -> Progress:
    """Whether what was done still holds: if not, it is done again, and not for ever.

    So it is where nobody can tell, for another step relies on it; but not at the end, when nothing follows.
    """
    planned, before = plan.step(body.step), progress.of(body.step)
    is_unknown = body.answer is Answer.UNKNOWN and (planned.is_looked_at_last or not planned.is_repeatable)
    if body.answer is Answer.DONE or is_unknown or progress.stopping is not None:
        facts = {**before.facts, **body.facts}
        changed = replace(before, answer=body.answer, looked=at, seen_as=progress.next_place, facts=facts)
        return replace(progress, steps={**progress.steps, body.step: changed})
    if before.times_undone >= MOST_UNDONE:
        lost = StepFinished(body.step, Doing.APPLY, StepOutcome.FAILED, "what it does is taken back again and again")
        return _failed(plan, progress, lost, at)
    return progress.with_step(
        body.step,
        at,
        state=StepState.PENDING,
        answer=body.answer,
        is_cleared=True,
        times_undone=before.times_undone + 1,
    )


def _undo_checked(progress: Progress, body: StepChecked, at: datetime, *, is_repeatable: bool) -> Progress:
    if body.answer is Answer.DONE:
        return progress.with_step(body.step, at, state=StepState.UNDONE, answer=body.answer)
    if body.answer is Answer.UNKNOWN and not is_repeatable:
        message = "drd ended while it was taken back, and nothing tells whether it was"
        return progress.with_step(body.step, at, state=StepState.NOT_UNDONE, answer=body.answer, message=message)
    return progress.with_step(body.step, at, answer=body.answer, is_cleared=True)


def _finished(plan: RunPlan, progress: Progress, body: StepFinished, at: datetime) -> Progress:
    is_well = body.outcome is StepOutcome.SUCCEEDED
    if body.doing is Doing.UNDO:
        state = StepState.UNDONE if is_well else StepState.NOT_UNDONE
        return progress.with_step(body.step, at, state=state, message=body.message)
    if body.outcome in (StepOutcome.FAILED, StepOutcome.UNKNOWN):
        return _failed(plan, progress, body, at)
    state = {StepOutcome.SUCCEEDED: StepState.DONE, StepOutcome.SKIPPED: StepState.SKIPPED}.get(
        body.outcome, StepState.CANCELLED
    )
    return progress.with_step(body.step, at, state=state, message=body.message, facts=body.facts, is_open=False)


def _failed(plan: RunPlan, progress: Progress, body: StepFinished, at: datetime) -> Progress:
    planned, before = plan.step(body.step), progress.of(body.step)
    failures = before.failures + 1
    state, on_failure = StepState.FAILED, planned.on_failure
    # A no ends the run, whoever or whatever says it: it is not passed over, and a person's is not questioned.
    is_refused = planned.is_approval and before.choice is Choice.REFUSE
    if (planned.is_approval and on_failure is OnFailure.CONTINUE) or (is_refused and on_failure is OnFailure.ASK):
        on_failure = OnFailure.STOP
    if progress.stopping is None and failures <= planned.retry and not is_refused:
        state = StepState.PENDING
    elif progress.stopping is None and on_failure is OnFailure.ASK:
        state = StepState.ASKING
    is_known = before.state is StepState.RUNNING and body.outcome is not StepOutcome.UNKNOWN
    is_open = before.is_open and not is_known
    changed = progress.with_step(body.step, at, state=state, failures=failures, message=body.message, is_open=is_open)
    if state is not StepState.FAILED or progress.stopping is not None or on_failure is OnFailure.CONTINUE:
        return changed
    stopping = Stopping.TAKE_BACK if on_failure is OnFailure.UNDO else Stopping.HALT
    return replace(changed, stopping=stopping, why=f"{body.step}: {body.message}")


def _answered(plan: RunPlan, progress: Progress, body: StepAnswered, at: datetime) -> Progress:
    before = progress.of(body.step)
    if before.state is StepState.ASKING and body.choice is Choice.AGAIN:
        # The effect may have come since the question was put, which a person need not know.
        is_cleared = not before.is_open or plan.step(body.step).is_repeatable
        return progress.with_step(
            body.step, at, state=StepState.PENDING, failures=0, is_cleared=is_cleared, choice=body.choice, by=body.by
        )
    if before.state is StepState.ASKING and body.choice is Choice.DONE:
        return progress.with_step(
            body.step,
            at,
            state=StepState.DONE,
            choice=body.choice,
            by=body.by,
            message=f"done by hand by {body.by}",
            facts={**before.facts, **body.facts},
        )
    if before.state is StepState.RUNNING and plan.step(body.step).waits is not None:
        changed = replace(before, choice=body.choice, by=body.by, message=body.words)
        return replace(progress, steps={**progress.steps, body.step: changed})
    return progress


def _missed(_plan: RunPlan, progress: Progress, body: DeadlineMissed, _at: datetime) -> Progress:
    return replace(progress, missed=progress.missed | {body.stage})


def _told(_plan: RunPlan, progress: Progress, body: PeopleTold, at: datetime) -> Progress:
    return replace(progress, told=told_again(progress.told, body, at))


def _aborted(_plan: RunPlan, progress: Progress, body: AbortAsked, _at: datetime) -> Progress:
    stopping = Stopping.TAKE_BACK if body.takes_back else progress.stopping or Stopping.HALT
    return replace(progress, stopping=stopping, is_aborted=True, why=f"{body.by} ended it: {body.words}")


def _edited(_plan: RunPlan, progress: Progress, body: RunbookEdited, _at: datetime) -> Progress:
    return replace(progress, edited=None if body.is_as_begun else body.digest)


def _ended(_plan: RunPlan, progress: Progress, body: IncidentFinished, _at: datetime) -> Progress:
    return replace(progress, finished=body.outcome)


_EFFECTS: Final[Mapping[type[Body], Callable[[RunPlan, Progress, Any, datetime], Progress]]] = {
    StepStarted: _started,
    StepOrdered: _ordered,
    StepChecked: _checked,
    StepFinished: _finished,
    StepAnswered: _answered,
    DeadlineMissed: _missed,
    PeopleTold: _told,
    AbortAsked: _aborted,
    RunbookEdited: _edited,
    IncidentFinished: _ended,
}
