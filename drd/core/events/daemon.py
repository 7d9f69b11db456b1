"""What happened to the daemon, its configuration and its machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body


@dataclass(frozen=True)
class DaemonStarted(Body):
    """A daemon opened this journal."""

    KIND = "daemon-started"
    version: str
    restic: str
    lived_until: datetime | None = None
    """When an earlier daemon was last known to live; None where there was none."""


@dataclass(frozen=True)
class DaemonStopped(Body):
    """A daemon left in an orderly way."""

    KIND = "daemon-stopped"
    reason: str


@dataclass(frozen=True)
class ConfigurationLoaded(Body):
    """The configuration that is in force from here on."""

    KIND = "configuration-loaded"
    digest: str
    policies: int
    runbooks: int
    stores: int


@dataclass(frozen=True)
class ConfigurationRefused(Body):
    """A reload found errors and changed nothing."""

    KIND = "configuration-refused"
    errors: int
    first: str


@dataclass(frozen=True)
class ClockStepped(Body):
    """Wall time and monotonic time disagreed: the clock was set, or the machine slept."""

    KIND = "clock-stepped"
    seconds: float


@dataclass(frozen=True)
class BallastReleased(Body):
    """The state's disk was full; the ballast was given up so that this could be written."""

    KIND = "ballast-released"
    free_bytes: int


@dataclass(frozen=True)
class BallastRestored(Body):
    """There is room again, and the ballast is back."""

    KIND = "ballast-restored"
    free_bytes: int


@dataclass(frozen=True)
class JobFailed(Body):
    """Work that belongs to no run failed: a check, a prune, a copy that is caught up.

    `store` is empty where it is the journal that is sealed or verified.
    """

    KIND = "job-failed"
    store: str
    job: str
    message: str
    hint: str


@dataclass(frozen=True)
class BugFound(Body):
    """A mistake in drd itself ended one unit of work."""

    KIND = "bug-found"
    unit: str
    error: str
    traceback: str
    quarantined: bool
