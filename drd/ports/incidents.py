"""What is asked of drd about runbooks and their runs, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from drd.core.run import Outcome
from drd.core.runbook_step import Choice
from drd.ports.steps import Step


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedLine(_Message):
    """What one step of a runbook would do."""

    stage: str
    step: str
    action: str
    commands: tuple[str, ...] = ()
    """Every command with its target."""
    expected: timedelta | None = None
    """How long it took last."""
    unchecked: tuple[str, ...] = ()
    """What could not be looked at from here, or is wrong."""


class PlannedStageLine(_Message):
    """One stage of a runbook."""

    stage: str
    owner: str
    deadline: timedelta


class RunbookPlan(_Message):
    """What a runbook would do if it were started now."""

    runbook: str
    policy: str
    disaster: str
    digest: str
    stages: tuple[PlannedStageLine, ...]
    lines: tuple[PlannedLine, ...]
    expected: timedelta | None = None
    """How long it takes by how long its steps took last; None where one was never run."""
    rto: timedelta | None = None
    blockers: tuple[str, ...] = ()
    """Why it would not be started."""
    cost: tuple[str, ...] = ()
    """Of a failover: who would be promoted how soon, what would be lost, and how the old primary would be fenced."""
    held: tuple[str, ...] = ()
    """Of a failover: what keeps drd from starting it by itself now."""


class RunbookOrder(_Message):
    """What a person starts a runbook with."""

    runbook: str
    by: str
    words: str = ""
    began: datetime | None = None
    is_drill: bool = False
    variables: dict[str, str] = {}
    overrides: bool = False
    """Whether it starts although failovers are paused."""
    fenced: str = ""
    """Who was told to lead by an earlier run, and neither does nor will, as the person has seen."""


class StepLine(_Message):
    """Where one step of a run stands."""

    stage: str
    step: str
    state: str
    since: datetime | None = None
    message: str = ""
    by_hand: str = ""


class StageLine(_Message):
    """Where one stage of a run stands."""

    stage: str
    owner: str
    deadline: datetime
    is_missed: bool
    is_over: bool


class Question(_Message):
    """What a run waits for a person to say."""

    step: str
    choices: tuple[Choice, ...]
    why: str = ""


class TimelineLine(_Message):
    """One thing that happened."""

    at: datetime
    text: str


class Times(_Message):
    """The moments and sums of a recovery."""

    bad: datetime
    declared: datetime
    start: datetime
    good: datetime | None = None
    fenced: datetime | None = None
    promoted: datetime | None = None
    up: datetime | None = None
    detect: timedelta
    decide: timedelta
    human_wait: timedelta
    act: timedelta
    verify: timedelta
    rta: timedelta | None = None
    rta_at_most: timedelta | None = None
    """The upper end of its error bar; None where nobody looked at the service as its users do."""
    rto: timedelta | None = None
    is_kept: bool | None = None
    newest: datetime | None = None
    rpa_doubt: timedelta | None = None
    stopped: datetime | None = None
    lost_bytes: int | None = None
    lost_transactions: int | None = None
    lost_bound: str = ""
    stranded: str = ""
    rpa: timedelta | None = None
    rpo: timedelta | None = None
    is_rpo_kept: bool | None = None


class WhoLine(_Message):
    """What one of those who took part did."""

    who: str
    did: str


class IncidentStatus(_Message):
    """One run of a runbook."""

    run: str
    runbook: str
    policy: str
    disaster: str
    is_drill: bool
    by: str
    words: str
    digest: str
    state: Literal["running", "waiting", "succeeded", "incomplete", "failed", "cancelled", "skipped"]
    outcome: Outcome | None
    started: datetime
    finished: datetime | None
    message: str = ""
    stages: tuple[StageLine, ...] = ()
    steps: tuple[StepLine, ...] = ()
    questions: tuple[Question, ...] = ()
    held: str = ""
    """Why no further step begins now."""
    edited: str = ""
    """That the runbook's file says something else by now; empty where it does not, and once the run is over."""
    timeline: tuple[TimelineLine, ...] = ()
    who: tuple[WhoLine, ...] = ()
    """Who did what, in the order in which they came in."""
    times: Times


class IncidentQuestions(Protocol):
    """What can be told by reading alone."""

    async def incidents(self, policy: str | None = None) -> tuple[IncidentStatus, ...]:
        """The newest runs of runbooks, newest first."""
        ...

    async def incident(self, run: str) -> IncidentStatus:
        """One run by its id, or the newest of a runbook by its name. Raises `UsageError` when there is none."""
        ...


class RunbookOrders(IncidentQuestions, Protocol):
    """The orders that concern runbooks."""

    async def runbook_plan(self, runbook: str, variables: dict[str, str]) -> RunbookPlan:
        """What a runbook would do now. Changes nothing."""
        ...

    def runbook_start(self, order: RunbookOrder) -> AsyncIterator[Step]:
        """Start a runbook and follow it until it ends or waits for a person."""
        ...

    async def runbook_answer(self, run: str, step: str | None, choice: Choice, by: str, words: str) -> str:
        """A person's word on a step that waits for one; returns the step."""
        ...

    async def runbook_abort(self, run: str, by: str, words: str, takes_back: bool) -> None:
        """End a run before its end."""
        ...
