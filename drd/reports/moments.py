"""Moments and spans of time as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


def span(duration: timedelta) -> str:
    """A length of time in one unit, or two where the second still matters: `3 min`, `1 h 40 min`, `26 h`, `12 d`."""
    left = abs(round(duration.total_seconds()))
    if left >= 3 * 86400:
        return f"{left // 86400} d"
    if left >= 10 * 3600:
        return f"{left // 3600} h"
    if left >= 3600:
        hours, minutes = divmod(left // 60, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{left // 60} min" if left >= 60 else f"{left} s"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago: `3 min ago`; `never` for None; `in 5 min` for what is still to come."""
    if moment is None:
        return "never"
    return f"{span(now - moment)} ago" if moment <= now else f"in {span(moment - now)}"


def local(moment: datetime, zone: ZoneInfo) -> str:
    """Date and time on the wall clock of a zone, to the second."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def local_with_offset(moment: datetime, zone: ZoneInfo) -> str:
    """The same with the offset from UTC, for where it might be doubted."""
    return moment.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def local_short(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`14:02` for today, `2026-03-01 14:02` otherwise."""
    here = moment.astimezone(zone)
    return f"{here:%H:%M}" if here.date() == now.astimezone(zone).date() else f"{here:%Y-%m-%d %H:%M}"


def counted(count: int, one: str, many: str) -> str:
    """`1 policy`, `3 policies`."""
    return f"{number(count)} {one if count == 1 else many}"


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}".replace(",", " ")
