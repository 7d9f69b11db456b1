"""Local times in which no run starts, as `09:00-11:00`, `22:00-06:00` or `Sun 03:00-04:00`.

They are readings of the local clock: where daylight saving shows an hour twice, it is forbidden twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Final, Self
from zoneinfo import ZoneInfo

from drd.core.local_time import first_at, label_at, moments_of

MINUTES_A_DAY: Final = 24 * 60
MINUTES_A_WEEK: Final = 7 * MINUTES_A_DAY
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE: Final = re.compile(r"(?:(?P<days>[A-Za-z]\S*)\s+)?(?P<begin>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)", re.ASCII)
_INSTEAD: Final = "write 09:00-11:00, or with days Sun 03:00-04:00, Mon-Fri 09:00-17:00, Sat,Sun 00:00-24:00"


class ForbiddenTimeError(ValueError):
    """A range that cannot be read; `offset` counts characters from 0 to what is wrong in it."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class ForbiddenTime:
    """A stretch of local time that begins on the given weekdays (0 = Monday) and may reach into the next day.

    `begin` counts minutes from midnight; `length` is 1 to 1440 minutes.
    """

    text: str
    weekdays: frozenset[int]
    begin: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one range. Raises ForbiddenTimeError."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise ForbiddenTimeError(f"{text.strip()[:40] or 'nothing'} is not a range of local times; {_INSTEAD}")
        indent = len(text) - len(text.lstrip())
        begin = _read_time(found["begin"], indent + found.start("begin"))
        end = _read_time(found["end"], indent + found.start("end"))
        if begin == MINUTES_A_DAY:
            raise ForbiddenTimeError("24:00 can only end a range; write 00:00 on the day after", indent)
        if begin == end:
            raise ForbiddenTimeError(
                f"{text.strip()} begins when it ends; write 00:00-24:00 for the whole day", indent + found.start("end")
            )
        return cls(
            text=text.strip(),
            weekdays=_read_days(found["days"], indent) if found["days"] else frozenset(range(7)),
            begin=begin,
            length=(end - begin) % MINUTES_A_DAY or MINUTES_A_DAY,
        )

    def __str__(self) -> str:
        return self.text

    def end_of(self, label: datetime) -> datetime | None:
        """The label at which the stretch that holds `label` ends, or None if none does."""
        midnight = datetime.combine(label.date(), time())
        for day in (midnight, midnight - timedelta(days=1)):
            begin = day + timedelta(minutes=self.begin)
            end = begin + timedelta(minutes=self.length)
            if day.weekday() in self.weekdays and begin <= label < end:
                return end
        return None


def free_from(forbidden: tuple[ForbiddenTime, ...], moment: datetime, zone: ZoneInfo) -> datetime:
    """The first moment from `moment` on that no range forbids.

    The ranges must leave some time free (`is_always_forbidden`): otherwise it would not end.
    """
    while forbidden:
        label = label_at(moment, zone)
        end = max((end for span in forbidden if (end := span.end_of(label)) is not None), default=None)
        if end is None:
            return moment
        # A range that ends in a doubled hour ends each time; one that ends in a gap ends with the gap.
        moment = next((ends for ends in moments_of(end, zone) if ends > moment), first_at(end, zone))
    return moment


def is_always_forbidden(forbidden: tuple[ForbiddenTime, ...]) -> bool:
    """Whether the ranges leave no time free in the whole week."""
    return all(week_of(forbidden))


def longest_stretch(forbidden: tuple[ForbiddenTime, ...]) -> timedelta:
    """The longest stretch of local time without a free minute; seven days if there is none."""
    week = week_of(forbidden)
    if all(week):
        return timedelta(days=7)
    longest = length = 0
    for is_forbidden in week + week:
        length = length + 1 if is_forbidden else 0
        longest = max(longest, length)
    return timedelta(minutes=longest)


@lru_cache(maxsize=256)
def week_of(forbidden: tuple[ForbiddenTime, ...]) -> bytes:
    """For each minute of a local week, from Monday 00:00, 1 if it is forbidden, else 0."""
    week = bytearray(MINUTES_A_WEEK)
    for span in forbidden:
        for weekday in span.weekdays:
            begin = weekday * MINUTES_A_DAY + span.begin
            for minute in range(begin, begin + span.length):
                week[minute % MINUTES_A_WEEK] = 1
    return bytes(week)


def _read_time(word: str, offset: int) -> int:
    hours, minutes = (int(part) for part in word.split(":"))
    if minutes > 59 or hours * 60 + minutes > MINUTES_A_DAY:
        raise ForbiddenTimeError(f"{word} is no time of day; write 00:00 to 24:00", offset)
    return hours * 60 + minutes


def _read_days(word: str, offset: int) -> frozenset[int]:
    days: set[int] = set()
    for item in word.split(","):
        ends = [_read_day(name, offset) for name in item.split("-")]
        if len(ends) > 2:
            raise ForbiddenTimeError(f"{item} is not a range of days; write Mon-Fri", offset)
        days.update((ends[0] + step) % 7 for step in range((ends[-1] - ends[0]) % 7 + 1))
    return frozenset(days)


def _read_day(name: str, offset: int) -> int:
    if name.lower() not in _WEEKDAYS:
        raise ForbiddenTimeError(f"{name or 'nothing'} is no day of the week; write Mon, Tue, … or Sun", offset)
    return _WEEKDAYS.index(name.lower())
