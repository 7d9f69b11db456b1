"""Between moments and what a wall clock reads in a time zone.

A *label* is a reading: a naive datetime. Daylight saving skips some labels (a gap) and shows others twice (a fold), so
a label stands for no, one or two moments.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from drd.core.errors import UsageError

_SECOND: Final = timedelta(seconds=1)
_NONE: Final = timedelta()


def label_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock reads at `moment`, which must be aware: ValueError otherwise."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def moments_of(label: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The moments, in order, at which the clock reads `label`."""
    first = label.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = label.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return (first,)
    return (first, second) if first < second else ()


def only_moment_of(label: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which the clock reads `label`. Raises `UsageError` when there are two, or none."""
    found = moments_of(label, zone)
    if len(found) == 1:
        return found[0]
    if not found:
        after = first_at(label, zone).astimezone(zone)
        raise UsageError(
            f"the clock of {zone.key} was set forward over {label:%Y-%m-%d %H:%M}, so there was no such time",
            f"write the offset from UTC too; the first moment after it was {after.isoformat(timespec='seconds')}",
        )
    both = " or ".join(moment.astimezone(zone).isoformat(timespec="seconds") for moment in found)
    raise UsageError(f"the clock of {zone.key} showed {label:%Y-%m-%d %H:%M} twice", f"write which one: {both}")


def first_at(label: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock reads `label` or has jumped over it; it grows with the label."""
    found = moments_of(label, zone)
    if found:
        return found[0]
    # In a gap fold=1 takes the offset after it and lands before the jump; fold=0 lands at or after it.
    before = label.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = label.replace(tzinfo=zone, fold=0).astimezone(UTC)
    while after - before > _SECOND:
        middle = before + ((after - before) / 2 // _SECOND) * _SECOND
        if label_at(middle, zone) >= label:
            after = middle
        else:
            before = middle
    return after


def offset_at(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How far the zone's clock is ahead of UTC at `moment`."""
    return moment.astimezone(zone).utcoffset() or _NONE
