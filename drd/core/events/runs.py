"""Runs of backups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body
from drd.core.figures import RunFigures
from drd.core.run import Cause, Mode, Outcome


@dataclass(frozen=True)
class RunStarted(Body):
    """A policy's run began; nothing has been written to a store yet."""

    KIND = "run-started"
    policy: str
    mode: Mode
    cause: Cause
    slot: datetime | None


@dataclass(frozen=True)
class RunFinished(Body):
    """A run ended. `message` and `hint` are for people and empty on success."""

    KIND = "run-finished"
    policy: str
    mode: Mode
    outcome: Outcome
    message: str
    hint: str
    seconds: float
    total_bytes: int
    added_bytes: int
    store: str = ""
    """Where it wrote or was to write: the first store of the policy when none of them answered."""
    figures: RunFigures | None = None
    """What it saw of its sources; None where it did not come so far."""
