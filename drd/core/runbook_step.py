"""What is said of one step of a run: what is done with it, what came of it, what people answer.

Apart from `drd.core.runbook`, whose schemas the events need not build.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Doing(StrEnum):
    """Which way a step is gone."""

    APPLY = "apply"
    UNDO = "undo"


class StepOutcome(StrEnum):
    """What came of a step."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It ended without an answer, as by its time-out or a lost connection: it may have taken effect all the same."""
    SKIPPED = "skipped"
    """A step that it needs did not succeed."""
    CANCELLED = "cancelled"
    """The run was aborted in its middle."""


class Answer(StrEnum):
    """Whether a step is done already."""

    DONE = "done"
    NOT_DONE = "not-done"
    UNKNOWN = "unknown"
    """Nothing tells: doing it again might do it twice."""


class Choice(StrEnum):
    """A person's word on a step."""

    APPROVE = "approve"
    REFUSE = "refuse"
    AGAIN = "again"
    """Do it (again): the person has looked."""
    DONE = "done"
    """It has been done by hand."""


class Silence(StrEnum):
    """What it means when nobody answers in time."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a step waits for instead of doing something."""

    people: tuple[str, ...] = ()
    """Whose word is asked for; nobody's where only time has to pass."""
    within: timedelta | None = None
    """How long; None: until a person answers."""
    silence: Silence = Silence.CONTINUE
    """What it means when nobody answers in time."""
    is_for_anybody: bool = False
    """Whether it is anybody's word, for which nobody is asked."""
