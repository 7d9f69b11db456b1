"""Data that was brought back."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body
from drd.core.run import Outcome


@dataclass(frozen=True)
class RestoreStarted(Body):
    """Data is being brought back."""

    KIND = "restore-started"
    policy: str
    point_run: str
    store: str
    snapshot_id: str
    by: str


@dataclass(frozen=True)
class RestoreFinished(Body):
    """A restore ended; on success every file that landed was read back and compared.

    A restore of several parts has one such event for each, with the part's own figures.
    """

    KIND = "restore-finished"
    policy: str
    point_run: str
    store: str
    outcome: Outcome
    message: str
    hint: str
    seconds: float
    bytes: int
    files: int
    whole: bool
    """Whether the whole snapshot was restored, which proves its copy."""
    snapshot_id: str = ""
