"""How far apart a plan's runs can lie: what `validate` holds against the RPO before anything has run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from drd.core.cron import last_at_or_before, next_after
from drd.core.crontab import DAY, Cron
from drd.core.forbidden import MINUTES_A_DAY, ForbiddenTime, longest_stretch, week_of
from drd.core.local_time import label_at, offset_at
from drd.core.plan import Plan, Recurrence

_CENTURY: Final = (date(2080, 1, 1), date(2120, 1, 1))
"""Forty years in which every date meets every weekday, with the eight years around 2100 that have no 29 February."""
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_NONE: Final = timedelta()
_MIDNIGHT: Final = datetime.min.time()


def longest_gap(plan: Plan) -> timedelta | None:
    """The longest time between the starts of consecutive runs that the plan allows, or None if it has no schedule.

    It counts daylight saving of the year after the plan's creation, the spread, and the forbidden time as far as the
    RPO lets a run wait for its end. How long a run and its copies take comes on top.
    """
    gaps = [_gap(plan, recurrence) for recurrence in (plan.full, plan.incremental) if recurrence is not None]
    return min(gaps, default=None)


def longest_cron_gap(cron: Cron, zone: ZoneInfo, year: int) -> timedelta:
    """The longest time between consecutive moments, with the changes of the clock in `year` and the year after."""
    longest = _longest_label_gap(cron)
    for change in _changes(zone, year):
        # Only the moments on either side of a change lie farther apart than their labels.
        before = last_at_or_before(cron, change - _SECOND, zone)
        longest = max(longest, next_after(cron, before, zone) - before)
    return longest


def _gap(plan: Plan, recurrence: Recurrence) -> timedelta:
    year = plan.created.astimezone(plan.zone).year
    if isinstance(recurrence.when, Cron):
        gap = longest_cron_gap(recurrence.when, plan.zone, year) + recurrence.spread
        can_wait = _may_be_forbidden(recurrence.when, recurrence.spread, plan.forbidden)
    else:
        gap = recurrence.when
        can_wait = bool(plan.forbidden)
    if not can_wait:
        return gap
    longest = gap + longest_stretch(plan.forbidden) + _shown_twice(plan.forbidden, plan.zone, year)
    # A run does not wait for the end of the forbidden time where the RPO would break.
    return longest if plan.rpo is None else max(gap, min(longest, plan.rpo))


def _longest_label_gap(cron: Cron) -> timedelta:
    """The longest time between labels that follow each other, on a clock that is never changed."""
    of_day = [hour * 60 + minute for hour in cron.hours for minute in cron.minutes]
    within = max((later - earlier for earlier, later in pairwise(of_day)), default=0)
    across = _longest_days(replace(cron, text="", minutes=(0,), hours=(0,))) * MINUTES_A_DAY + of_day[0] - of_day[-1]
    return timedelta(minutes=max(within, across))


@lru_cache(maxsize=1024)
def _longest_days(cron: Cron) -> int:
    """The most days between days that follow each other in the line; without its times, lines share the answer."""
    begin, end = _CENTURY
    if len(cron.months) == 12 and len(cron.days) == 31 and not cron.is_either_day:
        end = begin + 28 * DAY  # only weekdays count
    day = cron.day_from(begin)
    longest = 0
    while day < end:
        following = cron.day_from(day + DAY)
        longest = max(longest, (following - day).days)
        day = following
    return longest


def _may_be_forbidden(cron: Cron, spread: timedelta, forbidden: tuple[ForbiddenTime, ...]) -> bool:
    """Whether the start of any slot can fall into a forbidden time."""
    if not forbidden:
        return False
    week = week_of(forbidden)
    reach = int(spread.total_seconds() // 60) + 1
    weekdays = range(7) if cron.is_either_day else [(day - 1) % 7 for day in cron.weekdays]
    begins = (
        weekday * MINUTES_A_DAY + hour * 60 + minute
        for weekday in weekdays
        for hour in cron.hours
        for minute in cron.minutes
    )
    return any(1 in (week + week)[begin : begin + reach] for begin in begins)


def _shown_twice(forbidden: tuple[ForbiddenTime, ...], zone: ZoneInfo, year: int) -> timedelta:
    """How much longer a forbidden time can get because the clock is set back in it."""
    week = week_of(forbidden)
    longest = _NONE
    for change in _changes(zone, year):
        step_back = offset_at(change - _SECOND, zone) - offset_at(change, zone)
        label = label_at(change, zone)
        begin = label.weekday() * MINUTES_A_DAY + label.hour * 60 + label.minute
        if 1 in (week + week)[begin : begin + max(step_back // _MINUTE, 0)]:
            longest = max(longest, step_back)
    return longest


@lru_cache(maxsize=256)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The moments in `year` and the year after at which the zone's offset changes."""
    found: list[datetime] = []
    day = datetime.combine(date(year, 1, 1), _MIDNIGHT, UTC)
    for _ in range(2 * 366):
        if offset_at(day, zone) != offset_at(day + DAY, zone):
            found.append(_change_between(day, day + DAY, zone))
        day += DAY
    return tuple(found)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    offset = offset_at(before, zone)
    while after - before > _SECOND:
        middle = before + (after - before) / 2 // _SECOND * _SECOND
        if offset_at(middle, zone) == offset:
            before = middle
        else:
            after = middle
    return after
