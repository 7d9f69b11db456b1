"""The words of crontab(5): five fields, read into the local minutes, hours, days, months and weekdays that they name.

Source: crontab(5) and cron(8) of the ISC cron that Debian ships. Where they leave a choice, the stricter one is taken,
so that a line that means nothing is refused when it is read rather than found out on the day it does not run.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Self

DAY: Final = timedelta(days=1)
_LONGEST: Final = 300
_LEAP_YEAR: Final = 2000
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ITEM: Final = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\w+))?", re.ASCII)


class CronError(ValueError):
    """A cron line that means nothing; the message says what to write instead.

    `offset` counts characters from 0 to the word that is wrong; `field` is that field's name, empty for the whole line.
    """

    def __init__(self, message: str, offset: int = 0, field: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.field = field


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def span(self) -> str:
        return f"{self.low}-{self.high}" + (f" or {self.names[0]}-{self.names[-1]}" if self.names else "")

    def error(self, message: str, offset: int) -> CronError:
        return CronError(f"{self.name}: {message}", offset, self.name)


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line: which readings of a local clock it names. Values are sorted; weekdays count from 0 = Sunday.

    A *label* is such a reading: a naive datetime of whole minutes, which a time zone turns into no, one or two moments.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: tuple[int, ...]
    weekdays: frozenset[int]
    is_either_day: bool
    """Both day fields are restricted, so one of them suffices; otherwise both must fit (a field that begins with `*`
    counts as unrestricted, but a step in it holds)."""
    is_real_time: bool
    """The hours are `*` or have a step: the line counts real time, and is not made to fit local days."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read five fields or an alias as `@daily`. Raises CronError."""
        words = [(found.group(), found.start()) for found in re.finditer(r"\S+", _expand(text))]
        if len(words) != len(_FIELDS):
            raise CronError(_miscounted(len(words)), words[len(_FIELDS)][1] if len(words) > len(_FIELDS) else 0)
        minutes, hours, days, months, weekdays = (
            _read_field(field, word, offset) for field, (word, offset) in zip(_FIELDS, words, strict=True)
        )
        starred = [word.startswith("*") for word, _ in words]
        cron = cls(
            text=" ".join(text.split()),
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=days,
            months=tuple(sorted(months)),
            weekdays=frozenset(day % 7 for day in weekdays),
            is_either_day=not (starred[2] or starred[4]),
            is_real_time="*" in words[1][0] or "/" in words[1][0],
        )
        if not cron.is_either_day and not any(min(days) <= monthrange(_LEAP_YEAR, month)[1] for month in months):
            raise _FIELDS[2].error(
                f"{words[2][0]} never comes in the months {words[3][0]}; write a day that these months have",
                words[2][1],
            )
        return cron

    def __str__(self) -> str:
        return self.text

    def label_from(self, label: datetime) -> datetime:
        """The first label that is not before `label`."""
        day = self.day_from(label.date())
        if day == label.date():
            place = bisect_left(self.hours, label.hour)
            if place < len(self.hours) and self.hours[place] == label.hour:
                minute = bisect_left(self.minutes, label.minute)
                if minute < len(self.minutes):
                    return _label(day, label.hour, self.minutes[minute])
                place += 1
            if place < len(self.hours):
                return _label(day, self.hours[place], self.minutes[0])
            day = self.day_from(day + DAY)
        return _label(day, self.hours[0], self.minutes[0])

    def label_until(self, label: datetime) -> datetime:
        """The last label that is not after `label`."""
        day = self.day_until(label.date())
        if day == label.date():
            place = bisect_right(self.hours, label.hour) - 1
            if place >= 0 and self.hours[place] == label.hour:
                minute = bisect_right(self.minutes, label.minute) - 1
                if minute >= 0:
                    return _label(day, label.hour, self.minutes[minute])
                place -= 1
            if place >= 0:
                return _label(day, self.hours[place], self.minutes[-1])
            day = self.day_until(day - DAY)
        return _label(day, self.hours[-1], self.minutes[-1])

    def day_from(self, day: date) -> date:
        """The first day it names that is not before `day`."""
        while not self.names(day):
            if day.month in self.months:
                day += DAY
                continue
            place = bisect_right(self.months, day.month)
            day = (
                date(day.year, self.months[place], 1)
                if place < len(self.months)
                else date(day.year + 1, self.months[0], 1)
            )
        return day

    def day_until(self, day: date) -> date:
        """The last day it names that is not after `day`."""
        while not self.names(day):
            if day.month in self.months:
                day -= DAY
                continue
            place = bisect_left(self.months, day.month) - 1
            year, month = (day.year, self.months[place]) if place >= 0 else (day.year - 1, self.months[-1])
            day = date(year, month, monthrange(year, month)[1])
        return day

    def names(self, day: date) -> bool:
        """Whether the line has labels on this day."""
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (is_day or is_weekday) if self.is_either_day else (is_day and is_weekday)


def _label(day: date, hour: int, minute: int) -> datetime:
    return datetime.combine(day, time(hour, minute))


def _expand(text: str) -> str:
    if len(text) > _LONGEST:
        raise CronError(f"a cron line of {len(text)} characters is not read; write at most {_LONGEST}", _LONGEST)
    word = text.strip()
    if not word.startswith("@"):
        return text
    if word.lower() in _ALIASES:
        return _ALIASES[word.lower()]
    place = text.index("@")
    if word.lower() == "@reboot":
        raise CronError("@reboot names no time; write @daily, or five fields as 0 2 * * *", place)
    raise CronError(f"{word} is not known; write one of {', '.join(_ALIASES)}, or five fields as 0 2 * * *", place)


def _miscounted(count: int) -> str:
    wanted = "write five: minute, hour, day of month, month, day of week, as 0 2 * * *"
    if count == len(_FIELDS) + 1:
        return f"six fields: crontab(5) has neither seconds nor years; {wanted}"
    return f"{count} fields; {wanted}" if count != 1 else f"one field; {wanted}"


def _read_field(field: _Field, word: str, offset: int) -> frozenset[int]:
    values: set[int] = set()
    for item in word.split(","):
        values.update(_read_item(field, item, offset))
        offset += len(item) + 1
    return frozenset(values)


def _read_item(field: _Field, item: str, offset: int) -> range:
    """The values of one item of a list: `*`, a value, or a range, with a step unless it is a single value."""
    found = _ITEM.fullmatch(item)
    if found is None or (found["first"] == "*" and found["last"]):
        raise field.error(_unreadable(field, item), offset)
    if found["first"] == "*":
        low, high = field.low, field.high - (1 if field.names is _WEEKDAYS else 0)
    else:
        low = high = _read_value(field, found["first"], offset)
        if found["last"]:
            high = _read_value(field, found["last"], offset + found.start("last"), is_end=True)
        elif found["step"]:
            raise field.error(
                f"{item} has a step but no range; write {found['first']}-{field.high}/{found['step']}", offset
            )
    if low > high:
        raise field.error(_backwards(field, item, low, high), offset)
    return range(low, high + 1, _read_step(field, found, item, offset, high - low))


def _read_value(field: _Field, word: str, offset: int, *, is_end: bool = False) -> int:
    if word.isdecimal():
        if len(word) > len("007") or not field.low <= int(word) <= field.high:
            raise field.error(f"{word} is out of range; write {field.span}", offset)
        return int(word)
    if word.lower() not in field.names:
        raise field.error(_unreadable(field, word), offset)
    value = field.low + field.names.index(word.lower())
    # fri-sun is meant as it reads: at a range's end Sunday is 7.
    return field.high if is_end and field.names is _WEEKDAYS and value == 0 else value


def _read_step(field: _Field, found: re.Match[str], item: str, offset: int, reach: int) -> int:
    word = found["step"]
    if word is None:
        return 1
    place = offset + found.start("step")
    if not word.isdecimal() or int(word[:4]) == 0:
        raise field.error(f"{word} is not a step; write a whole number from 1, as */5", place)
    if len(word) > len("007") or int(word) > reach:
        instead = f"every: {word}m" if field.name == "minute" else f"every: {word}h" if field.name == "hour" else "*"
        raise field.error(f"the step of {item} is longer than its range; write {instead}", place)
    return int(word)


def _backwards(field: _Field, item: str, low: int, high: int) -> str:
    last = field.high - (1 if field.names is _WEEKDAYS else 0)
    return f"{item} runs backwards; write {low}-{last},{field.low}-{high}"


def _unreadable(field: _Field, item: str) -> str:
    instead = f"write *, {field.span}, a list as {field.low},{field.low + 1} or a step as */2"
    if not item:
        return f"an item of the list is empty; {instead}"
    if item == "?":
        return "? is not crontab(5); write *"
    if "~" in item or item.lower() in {"h", "r"}:
        return f"{item} would draw lots; write a fixed value, and spread: 15m beside cron:"
    return f"{item} is not crontab(5); {instead}"
