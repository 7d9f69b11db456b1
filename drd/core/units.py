"""Quantities as people write them: durations, sizes, rates, distances and shares always carry a unit.

A bare number is an error that names the likely unit: `every: 15` could be seconds or minutes, and a backup that runs at
the wrong one is found out on the day it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31_536_000.0}
_BYTES = {
    "B": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_METRES = {"m": 1.0, "km": 1000.0, "mi": 1609.344}
_QUANTITY = re.compile(r"\s*(?P<number>\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-zµ%/]*)\s*", re.ASCII)
_LONGEST = timedelta(days=36_525)
_LARGEST = 2.0**63
_MEANT = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w", "weeks": "w",
    "year": "y", "years": "y", "msec": "ms", "k": "KiB", "g": "GiB", "t": "TiB", "bytes": "B", "metres": "m",
    "meters": "m", "kilometres": "km", "kilometers": "km", "kms": "km", "miles": "mi", "percent": "%",
    "mbps": "MB/s", "mibps": "MiB/s",
}  # fmt: skip
"""Units as people also write them, in lower case, and ours."""


_BELOW = {"y": "d", "w": "d", "d": "h", "h": "m", "m": "s", "s": "ms"}
"""What a number without a unit means after one with this unit, as in `1h 30`."""


def parse_duration(text: object, likely: tuple[str, ...] = ("s", "m", "h")) -> timedelta:
    """`30s`, `15m`, `1h 30m`, `250ms`, `14d` → a duration. Raises ValueError that says what to write.

    `likely` are the units that a bare number may have meant: which of them, only its writer knows.
    """
    if isinstance(text, timedelta):
        return text
    parts = _split(text, "a duration", "30s, 15m, 2h or 7d", likely, _SECONDS)
    seconds = sum(number * _SECONDS[unit] for number, unit in parts)
    if seconds > _LONGEST.total_seconds():
        raise ValueError("a duration is at most a hundred years: write 36525d or less")
    return timedelta(seconds=seconds)


def parse_size(text: object) -> int:
    """`64 MiB` → bytes. Raises ValueError that says what to write."""
    if isinstance(text, int) and not isinstance(text, bool) and text == 0:
        return 0
    [(number, unit)] = _split(text, "a size", "64 MiB or 2 GB", ("MiB",), _BYTES, many=False)
    return _whole(number * _BYTES[unit], "a size")


def parse_rate(text: object) -> int:
    """`50 MiB/s` → bytes a second. Raises ValueError that says what to write."""
    rates = {f"{unit}/s": factor for unit, factor in _BYTES.items()}
    [(number, unit)] = _split(text, "a rate", "50 MiB/s", ("MiB/s",), rates, many=False)
    return _whole(number * rates[unit], "a rate")


def parse_distance(text: object) -> float:
    """`500 km` → metres. Raises ValueError that says what to write."""
    [(number, unit)] = _split(text, "a distance", "500 km", ("km",), _METRES, many=False)
    return number * _METRES[unit]


def parse_share(text: object) -> float:
    """`30 %` → 0.3. Raises ValueError that says what to write."""
    [(number, _)] = _split(text, "a share", "30 %", ("%",), {"%": 0.01}, many=False)
    if number > 100:
        raise ValueError("a share is at most 100 %: write 30 %")
    return number / 100


def format_duration(value: timedelta) -> str:
    """The shortest exact way to write a duration, as `1h 30m`; sub-second parts in ms."""
    milliseconds = round(value.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    words: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words)


def format_share(value: float) -> str:
    """A share for people, as `30 %`; a small one with a figure more, as `0.4 %`."""
    percent = value * 100
    return f"{percent:.0f} %" if percent >= 9.5 or percent == 0 else f"{percent:.2g} %"


def format_size(value: float) -> str:
    """A size for people, in binary units with at most three figures, as `1.25 GiB` or `0.98 KiB`."""
    amount, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if round(abs(amount)) < 1000:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 100 else f"{amount:.3g} {unit}"


def _split(
    text: object, what: str, example: str, likely: tuple[str, ...], units: Mapping[str, float], many: bool = True
) -> list[tuple[float, str]]:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{what} is written like {example}")
    if not isinstance(text, str):
        raise ValueError(_without_unit(str(text), what, likely))
    found: list[tuple[float, str]] = []
    position = 0
    while position < len(text) and (match := _QUANTITY.match(text, position)):
        number, unit = match["number"], match["unit"]
        if not unit:
            below = (_BELOW.get(found[-1][1], "ms"),) if found else likely
            raise ValueError(_without_unit(text, what, below))
        if unit not in units:
            raise ValueError(_wrong_unit(number, unit, what, units))
        found.append((float(number), unit))
        position = match.end()
    if not found or position < len(text) or (len(found) > 1 and not many):
        raise ValueError(f"{what} is written like {example}")
    return found


def _without_unit(number: str, what: str, likely: tuple[str, ...]) -> str:
    written = [f"{number.strip()}{_gap(unit)}{unit}" for unit in likely]
    return f"{what} needs a unit: write {' or '.join(filter(None, (', '.join(written[:-1]), written[-1])))}"


def _wrong_unit(number: str, unit: str, what: str, units: Mapping[str, float]) -> str:
    folded = {known.casefold(): known for known in units}
    meant = folded.get(unit.casefold()) or folded.get(f"{unit}/s".casefold()) or _MEANT.get(unit.casefold())
    if meant is None or meant not in units:
        return f"{unit} is no unit of {what}: write one of {', '.join(units)}"
    return f"{unit} is no unit of {what}: write {number}{_gap(meant)}{meant}"


def _gap(unit: str) -> str:
    """Before a unit of one letter, and before ms, none is written."""
    return "" if unit in _SECONDS else " "


def _whole(value: float, what: str) -> int:
    if value >= _LARGEST:
        raise ValueError(f"{what} is less than 8 EiB: write a smaller one")
    return round(value)


def _longer_than_nothing(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("it is longer than nothing: write a duration like 15m")
    return value


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


_AS_JSON = PlainSerializer(format_duration, when_used="json")
_DURATION_SCHEMA = _schema(r"^(\d+(\.\d+)?\s*(ms|s|m|h|d|w|y)\s*)+$", "15m")

Duration = Annotated[timedelta, BeforeValidator(parse_duration), _AS_JSON, _DURATION_SCHEMA]
PositiveDuration = Annotated[Duration, AfterValidator(_longer_than_nothing)]
"""A duration that is longer than nothing."""
INTERVAL_UNITS = ("m", "h", "d")
Interval = Annotated[
    timedelta,
    BeforeValidator(partial(parse_duration, likely=INTERVAL_UNITS)),
    AfterValidator(_longer_than_nothing),
    _AS_JSON,
    _DURATION_SCHEMA,
]
"""A duration between two runs: minutes, hours or days."""
ShortInterval = Annotated[
    timedelta,
    BeforeValidator(partial(parse_duration, likely=("ms", "s"))),
    AfterValidator(_longer_than_nothing),
    _AS_JSON,
    _DURATION_SCHEMA,
]
"""A duration between two looks: milliseconds or seconds."""
Days = Annotated[
    timedelta,
    BeforeValidator(partial(parse_duration, likely=("d",))),
    AfterValidator(_longer_than_nothing),
    _AS_JSON,
    _DURATION_SCHEMA,
]
"""A duration that people count in days."""
Size = Annotated[int, BeforeValidator(parse_size), _schema(r"^\d+(\.\d+)?\s*([kMGT]?B|[KMGT]iB)$", "64 MiB")]
"""Bytes."""
Rate = Annotated[int, BeforeValidator(parse_rate), _schema(r"^\d+(\.\d+)?\s*([kMGT]?B|[KMGT]iB)/s$", "50 MiB/s")]
"""Bytes a second."""
Distance = Annotated[float, BeforeValidator(parse_distance), _schema(r"^\d+(\.\d+)?\s*(m|km|mi)$", "500 km")]
"""Metres."""
Share = Annotated[float, BeforeValidator(parse_share), _schema(r"^\d+(\.\d+)?\s*%$", "30 %")]
"""0 to 1."""
Count = Annotated[int, Strict(), Field(ge=0)]
"""A whole number, 0 or more; neither `true` nor `"3"` is one."""
Flag = Annotated[bool, Strict()]
"""`true` or `false`; `yes` and `on` are words."""
