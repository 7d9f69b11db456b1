"""Services as their users reach them: from when until when they did not answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body


@dataclass(frozen=True)
class ServiceFailed(Body):
    """A service does not answer its users."""

    KIND = "service-failed"
    policy: str
    bad: datetime
    """When the first look that failed began."""
    good: datetime | None
    """When the last good look before it was over."""
    message: str


@dataclass(frozen=True)
class ServiceUnseen(Body):
    """For a while nobody saw whether a service answered its users: drd was away, or in doubt of itself."""

    KIND = "service-unseen"
    policy: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class ServiceRestored(Body):
    """A service answers its users again."""

    KIND = "service-restored"
    policy: str
    bad: datetime
    """When the outage began that is over."""
    up: datetime
    """When the first good look was over."""
