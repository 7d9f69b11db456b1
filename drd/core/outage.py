"""Whether a service answers its users, and since when it does not: the moments that RTA and the downtime are made of.

An outage lasts from its first failed look to the first good look of the row that ends it. What was not looked at, or
was looked at from a machine whose own clock or loop was in doubt, is unknown, and no outage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class ServiceState(StrEnum):
    """How a service stands for its users."""

    UNKNOWN = "unknown"
    ANSWERS = "answers"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service did not answer its users."""

    bad: datetime
    """When the first look that failed began (t_bad)."""
    good: datetime | None = None
    """When the last good look before it was over (t_good); None where none was seen."""
    up: datetime | None = None
    """When the first good look of the row that ended it was over (t_up); None while it lasts."""
    message: str = ""
    """What the looks failed of at first."""

    @property
    def doubt(self) -> timedelta:
        """By how much it may have begun earlier than it was seen."""
        return timedelta() if self.good is None else self.bad - self.good


@dataclass(frozen=True, slots=True)
class Unseen:
    """A time in which no look told anything: drd was away, its clock was set, or it was not let in."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a service."""

    began: datetime
    ended: datetime
    failure: str = ""
    """Why it failed; empty of a good one."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What the looks at a service amount to so far."""

    state: ServiceState = ServiceState.UNKNOWN
    outage: Outage | None = None
    """The one that lasts; None while there is none."""
    good: datetime | None = None
    """When the newest good look was over."""
    row: tuple[Look, ...] = ()
    """The looks since the last one with another result: the first and the newest."""
    count: int = 0
    """How many they are."""

    def after(self, look: Look, fall: int, rise: int) -> ServiceView:
        """The same with one more look: so many failures in a row begin an outage, so many good looks end it."""
        is_same = bool(self.row) and bool(self.row[0].failure) == bool(look.failure)
        seen = replace(self, row=(self.row[0], look) if is_same else (look,), count=self.count + 1 if is_same else 1)
        return _failed(seen, fall) if look.failure else _answered(seen, look, rise)

    def unseen(self) -> ServiceView:
        """The same when a look told nothing, for drd itself was in doubt."""
        return replace(self, state=ServiceState.UNKNOWN, row=(), count=0)


def _failed(view: ServiceView, fall: int) -> ServiceView:
    if view.count < fall:
        return view
    first = view.row[0]
    outage = view.outage or Outage(first.began, view.good, None, first.failure)
    return replace(view, state=ServiceState.FAILS, outage=outage)


def _answered(view: ServiceView, look: Look, rise: int) -> ServiceView:
    if view.outage is not None and view.count < rise:
        return view
    return replace(view, state=ServiceState.ANSWERS, outage=None, good=look.ended)


def ended(before: ServiceView, after: ServiceView) -> Outage | None:
    """The outage that one more look has ended."""
    if before.outage is None or after.outage is not None:
        return None
    return replace(before.outage, up=after.row[0].ended)


def downtime(outages: Iterable[Outage], since: datetime, now: datetime) -> timedelta:
    """For how long a service did not answer between two moments: outages that overlap count once."""
    total, reached = timedelta(), since
    for outage in sorted(outages, key=lambda each: each.bad):
        begin, end = max(outage.bad, reached), min(outage.up or now, now)
        if end > begin:
            total += end - begin
            reached = end
    return total


def downtime_at_most(outages: Iterable[Outage], unseen: Iterable[Unseen], since: datetime, now: datetime) -> timedelta:
    """The same if it did not answer either while nobody saw it, nor between the last good look and the first failed."""
    widest = [replace(outage, bad=outage.bad - outage.doubt) for outage in outages]
    return downtime([*widest, *(Outage(each.since, up=each.until) for each in unseen)], since, now)
