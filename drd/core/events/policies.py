"""Which policies there are, and what a person stopped for a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drd.core.events.body import Body


@dataclass(frozen=True)
class PolicyAdded(Body):
    """A policy is protected from here on."""

    KIND = "policy-added"
    policy: str


@dataclass(frozen=True)
class PolicyRemoved(Body):
    """A policy's file is gone. Its recovery points stay."""

    KIND = "policy-removed"
    policy: str


@dataclass(frozen=True)
class SuspicionRaised(Body):
    """A run looks as if what it read had been destroyed: nothing of the policy is forgotten from here on."""

    KIND = "suspicion-raised"
    policy: str
    message: str


@dataclass(frozen=True)
class SuspicionReleased(Body):
    """A person has looked: what was suspected is as it should be, or over."""

    KIND = "suspicion-released"
    policy: str
    by: str


@dataclass(frozen=True)
class Paused(Body):
    """A person stopped work for a time."""

    KIND = "paused"
    policy: str
    what: str
    until: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class Resumed(Body):
    """A pause ended before its time."""

    KIND = "resumed"
    policy: str
    what: str
    by: str
