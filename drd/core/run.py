"""What is said of a run: how much it reads, why it was started, how it ended.

Apart from `drd.core.policy`, whose schema a command that only follows a run need not build.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """A full reads everything again; an incremental reads what changed."""

    FULL = "full"
    INCREMENTAL = "incremental"


class Cause(StrEnum):
    """Why a run was started."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    MANUAL = "manual"
    WEBHOOK = "webhook"
    ALERT = "alert"
    HEALTH = "health"
    NEW_BASE = "new-base"
    """Nothing that was saved before leads on from where the source is now: another timeline, or WAL that is lost."""


class Outcome(StrEnum):
    """How a run ended. Only `succeeded` moves the recovery point."""

    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


_BADNESS = (Outcome.SUCCEEDED, Outcome.INCOMPLETE, Outcome.CANCELLED, Outcome.SKIPPED, Outcome.FAILED)


def worse(one: Outcome, other: Outcome) -> Outcome:
    """The less good of two outcomes."""
    return max(one, other, key=_BADNESS.index)
