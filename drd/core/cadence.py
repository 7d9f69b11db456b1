"""How far apart a plan's runs can lie: what `validate` holds against the RPO before anything has run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import Final
from zoneinfo import ZoneInfo

from drd.core.cron import last_at_or_before, next_after
from drd.core.crontab import DAY, Cron
from drd.core.forbidden import MINUTES_A_DAY, ForbiddenTime, longest_stretch, week_of
from drd.core.local_time import label_at, offset_at
from drd.core.plan import Plan, Recurrence

_CENTURY: Final = (date(2080, 1, 1), date(2120, 1, 1))
"""Forty years in which every date meets every weekday, with the eight years around 2100 that have no 29 February."""
_LONGEST_WITHOUT: Final = 9 * 366 * DAY
"""Longer than any line goes without a day: from 29 February 2096 it is eight years to the next."""
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_NONE: Final = timedelta()
_MIDNIGHT: Final = datetime.min.time()


def longest_gap(plan: Plan) -> timedelta | None:
    """The longest time between the starts of consecutive runs that the plan allows, or None if it has no schedule.

    A run of either mode ends the wait. It counts daylight saving of the year after the plan's creation, the spread, and
    the forbidden time as far as the RPO lets a run wait for its end. How long a run and its copies take comes on top.
    """
    full, incremental = plan.full, plan.incremental
    # An interval's runs keep no hours, so beside one the shorter of both gaps is what can lie between two runs.
    gaps = [_gap(plan, each) for each in (full, incremental) if each is not None]
    if full is not None and incremental is not None and full.cron is not None and incremental.cron is not None:
        both = _gap_of_both(
            plan, _slots(plan, full.cron, full.spread), _slots(plan, incremental.cron, incremental.spread)
        )
        # The incremental's own gap holds only where none of its slots is left to the full.
        gaps = [both, *gaps] if full.spread <= incremental.spread else [both, gaps[0]]
    return min(gaps, default=None)


def longest_cron_gap(cron: Cron, zone: ZoneInfo, year: int) -> timedelta:
    """The longest time between consecutive moments, with the changes of the clock in `year` and the year after."""
    longest = _longest_label_gap(cron)
    for change in _changes(zone, year):
        # Only the moments on either side of a change lie farther apart than their labels.
        before = last_at_or_before(cron, change - _SECOND, zone)
        longest = max(longest, next_after(cron, before, zone) - before)
    return longest


@dataclass(frozen=True, slots=True)
class _Slots:
    """The slots of one mode by a cron line, each of which starts up to `spread` later."""

    cron: Cron
    spread: timedelta

    @property
    def minutes(self) -> frozenset[int]:
        """When they lie on the days that the line names, in minutes from midnight."""
        return frozenset(hour * 60 + minute for hour in self.cron.hours for minute in self.cron.minutes)


@dataclass(frozen=True, slots=True)
class _Day:
    """A day that one or both lines name, and how many days later the next one of either sort comes, if ever."""

    is_full: bool
    is_incremental: bool
    next_full_only: int | None
    next_incremental_only: int | None
    next_both: int | None


def _gap(plan: Plan, recurrence: Recurrence) -> timedelta:
    if isinstance(recurrence.when, Cron):
        gap = longest_cron_gap(recurrence.when, plan.zone, _year_of(plan)) + recurrence.spread
        return _with_waits(plan, gap, _may_be_forbidden(recurrence.when, recurrence.spread, plan.forbidden))
    return _with_waits(plan, recurrence.when, bool(plan.forbidden))


def _slots(plan: Plan, cron: Cron, spread: timedelta) -> _Slots:
    # The spread never reaches the line's own next slot.
    return _Slots(cron, min(spread, longest_cron_gap(cron, plan.zone, _year_of(plan))))


def _gap_of_both(plan: Plan, full: _Slots, incremental: _Slots) -> timedelta:
    """The longest gap where both modes go by a cron line: each slot of either ends the wait."""
    gap = _longest_gap_of_both(full, incremental, plan.zone, _year_of(plan))
    if full.spread > incremental.spread:
        # A slot that both name is left to the full, which starts in its own spread, as far as the RPO lets it wait.
        left = _longest_gap_of_both(full, incremental, plan.zone, _year_of(plan), is_left_to_full=True)
        gap = left if plan.rpo is None else max(gap, min(left, plan.rpo))
    can_wait = any(_may_be_forbidden(each.cron, each.spread, plan.forbidden) for each in (full, incremental))
    return _with_waits(plan, gap, can_wait)


def _with_waits(plan: Plan, gap: timedelta, can_wait: bool) -> timedelta:
    """The gap with the wait for the end of a forbidden time, if a run can fall into one."""
    if not can_wait:
        return gap
    longest = gap + longest_stretch(plan.forbidden) + _shown_twice(plan.forbidden, plan.zone, _year_of(plan))
    # A run does not wait for the end of the forbidden time where the RPO would break.
    return longest if plan.rpo is None else max(gap, min(longest, plan.rpo))


def _year_of(plan: Plan) -> int:
    return plan.created.astimezone(plan.zone).year


@lru_cache(maxsize=1024)
def _longest_gap_of_both(
    full: _Slots, incremental: _Slots, zone: ZoneInfo, year: int, *, is_left_to_full: bool = False
) -> timedelta:
    days = _sorts_of_days(_days_alone(full.cron), _days_alone(incremental.cron))
    longest = timedelta(minutes=max(_longest_on(day, full, incremental, is_left_to_full) for day in days))
    for change in _changes(zone, year):
        start, following = change, change + _SECOND
        while following > change:  # what starts before it lies where the labels say
            start = max(last_at_or_before(each.cron, start - _SECOND, zone) for each in (full, incremental))
            following = _next_start(full, incremental, start, zone, is_left_to_full)
            longest = max(longest, following - start)
    return longest


def _longest_on(day: _Day, full: _Slots, incremental: _Slots, is_left_to_full: bool) -> float:
    """The longest wait in minutes that begins at a slot of the day, on a clock that is never changed."""
    fulls, incrementals = full.minutes, incremental.minutes
    alone = incrementals - fulls if is_left_to_full else incrementals
    next_full = _soonest((day.next_full_only, fulls), (day.next_both, fulls)) + full.spread / _MINUTE
    next_incremental = (
        _soonest((day.next_incremental_only, incrementals), (day.next_both, alone)) + incremental.spread / _MINUTE
    )
    of_full = fulls if day.is_full else frozenset()
    of_incremental = incrementals if day.is_incremental else frozenset()
    longest = 0.0
    for minute in sorted(of_full | of_incremental, reverse=True):
        longest = max(longest, min(next_full, next_incremental) - minute)
        if minute in of_full:
            next_full = minute + full.spread / _MINUTE
        if minute in of_incremental and (not day.is_full or minute in alone):
            next_incremental = minute + incremental.spread / _MINUTE
    return longest


def _soonest(*days: tuple[int | None, frozenset[int]]) -> float:
    """The minute, from this day's midnight, of the first slot on any of the days; infinity if there is none."""
    found = (after * MINUTES_A_DAY + min(minutes) for after, minutes in days if after is not None and minutes)
    return min(found, default=inf)


def _next_start(full: _Slots, incremental: _Slots, start: datetime, zone: ZoneInfo, is_left_to_full: bool) -> datetime:
    """When the next run of either mode has started at the latest."""
    found = next_after(full.cron, start, zone) + full.spread
    slot = next_after(incremental.cron, start, zone)
    while slot + incremental.spread < found:
        if not is_left_to_full or last_at_or_before(full.cron, slot, zone) != slot:
            return slot + incremental.spread
        slot = next_after(incremental.cron, slot, zone)
    return found


def _longest_label_gap(cron: Cron) -> timedelta:
    """The longest time between labels that follow each other, on a clock that is never changed."""
    of_day = [hour * 60 + minute for hour in cron.hours for minute in cron.minutes]
    within = max((later - earlier for earlier, later in pairwise(of_day)), default=0)
    across = _longest_days(_days_alone(cron)) * MINUTES_A_DAY + of_day[0] - of_day[-1]
    return timedelta(minutes=max(within, across))


def _days_alone(cron: Cron) -> Cron:
    """The line without its times, so that lines of the same days share the answers."""
    return replace(cron, text="", minutes=(0,), hours=(0,), is_real_time=False)


def _counts_only_weekdays(cron: Cron) -> bool:
    return len(cron.months) == 12 and len(cron.days) == 31 and not cron.is_either_day


@lru_cache(maxsize=1024)
def _longest_days(cron: Cron) -> int:
    """The most days between days that follow each other in the line."""
    begin, end = _CENTURY
    if _counts_only_weekdays(cron):
        end = begin + 28 * DAY
    day = cron.day_from(begin)
    longest = 0
    while day < end:
        following = cron.day_from(day + DAY)
        longest = max(longest, (following - day).days)
        day = following
    return longest


@lru_cache(maxsize=1024)
def _sorts_of_days(full: Cron, incremental: Cron) -> frozenset[_Day]:
    """Every sort of day that the two lines name together, by what lies ahead of it."""
    begin, end = _CENTURY
    beyond = _LONGEST_WITHOUT
    if _counts_only_weekdays(full) and _counts_only_weekdays(incremental):
        end, beyond = begin + 7 * DAY, 7 * DAY
    found: set[_Day] = set()
    ahead: dict[tuple[bool, bool], date] = {}
    day = end + beyond
    while day > begin:
        day -= DAY
        sort = (full.names(day), incremental.names(day))
        if sort == (False, False):
            continue
        if day < end:
            later = {each: (there - day).days for each, there in ahead.items()}
            found.add(_Day(*sort, later.get((True, False)), later.get((False, True)), later.get((True, True))))
        ahead[sort] = day
    return frozenset(found)


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
