"""Incidents: runbooks that run, each step with its intent before and its outcome after."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from drd.core.events.body import Body
from drd.core.run import Cause, Outcome
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome


@dataclass(frozen=True)
class IncidentStarted(Body):
    """A runbook runs from here on, as `document` has it, whatever becomes of its file."""

    KIND = "incident-started"
    policy: str
    runbook: str
    disaster: str
    digest: str
    document: str
    """The runbook as it was read, as JSON."""
    cause: Cause
    by: str
    words: str
    """Why, as the person who started it says."""
    began: datetime
    """The outage's first symptom; the deadlines and the RTO count from here."""
    is_drill: bool
    locks: tuple[str, ...]
    """The nodes, or the policy where it has none, and the database cluster, that no other run may touch meanwhile."""
    variables: dict[str, str]
    """What `${name}` stood for when it began."""
    rto_seconds: float | None = None
    """What the policy promised then for this class of disaster."""
    against: tuple[str, ...] = ()
    """What would have kept drd from starting it by itself, and the person has overridden."""
    rpo_seconds: float | None = None
    """What may be lost at most by the same promise."""
    was_dead: bool = False
    """Whether the process of the primary was gone when it was started, so that it took no write after `began`."""
    alert: str = ""
    """The fingerprint and the start of the alert that started it."""
    fenced: str = ""
    """Who was told to lead by an earlier run, and neither does nor will, as the person who started this one says."""
    declared: datetime | None = None
    """When drd judged the primary to be lost; None where a person or an alert called for the run, with its start."""


@dataclass(frozen=True)
class StepStarted(Body):
    """The intent: what a step does, or takes back, begins only after this is on record."""

    KIND = "step-started"
    stage: str
    step: str
    doing: Doing
    action: str
    summary: str


@dataclass(frozen=True)
class StepOrdered(Body):
    """What a step has chosen and is about to order, as who is to lead: on record before anything is ordered."""

    KIND = "step-ordered"
    step: str
    facts: dict[str, str]


@dataclass(frozen=True)
class StepChecked(Body):
    """What came of asking whether a step of unknown outcome is done."""

    KIND = "step-checked"
    step: str
    doing: Doing
    answer: Answer
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepFinished(Body):
    """The outcome of a step. `facts` are what later steps and the report use, such as `new_primary`."""

    KIND = "step-finished"
    step: str
    doing: Doing
    outcome: StepOutcome
    message: str = ""
    hint: str = ""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepAnswered(Body):
    """A person's word on a step that waits for one."""

    KIND = "step-answered"
    step: str
    choice: Choice
    by: str
    words: str
    facts: dict[str, str] = field(default_factory=dict)
    """What a step that was done by hand has led to, as far as it is seen."""


@dataclass(frozen=True)
class DeadlineMissed(Body):
    """A stage was not over by its deadline. It stops nothing."""

    KIND = "deadline-missed"
    stage: str
    owner: str
    deputy: str


@dataclass(frozen=True)
class PeopleTold(Body):
    """People were told something of an incident; `failures` says who could not be reached, and why."""

    KIND = "people-told"
    topic: str
    people: tuple[str, ...]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunbookEdited(Body):
    """The file of a runbook changed while a run of it is under way, which goes on by what it began with."""

    KIND = "runbook-edited"
    runbook: str
    digest: str
    """SHA-256 of what it says now; empty where it is gone."""
    is_as_begun: bool
    """Whether that is what the run began with, again."""


@dataclass(frozen=True)
class AbortAsked(Body):
    """A person ends an incident before its end."""

    KIND = "abort-asked"
    by: str
    words: str
    takes_back: bool


@dataclass(frozen=True)
class IncidentFinished(Body):
    """An incident is over."""

    KIND = "incident-finished"
    policy: str
    runbook: str
    outcome: Outcome
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class TriggerHeld(Body):
    """An alert or a call wanted to start a runbook, and it was not started."""

    KIND = "trigger-held"
    policy: str
    runbook: str
    trigger: str
    message: str
    """Why it was not started."""


@dataclass(frozen=True)
class PrimaryLastSeen(Body):
    """What was seen last of a primary that is about to be replaced: who measures the loss may be a later daemon."""

    KIND = "primary-last-seen"
    policy: str
    node: str
    timeline: int
    offset: int
    """Bytes of log that it was seen to have."""
    beat: datetime | None = None
    """When the newest record of the heartbeat was written that it acknowledged, by its own clock."""
    beat_at: datetime | None = None
    """The same by drd's."""


@dataclass(frozen=True)
class LossMeasured(Body):
    """What a failover has lost, as far as it was seen."""

    KIND = "loss-measured"
    policy: str
    node: str
    """The new primary."""
    lost_bytes: int | None
    """Of log that the old primary was seen to have beyond where the new timeline left its own."""
    newest: datetime | None
    """When the newest record of the heartbeat was written that the new primary had when it was promoted."""
    every_seconds: float | None = None
    """How far apart those records were: by so much what it had may be newer."""
