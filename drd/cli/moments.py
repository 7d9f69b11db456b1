"""Moments as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from drd.core.errors import UsageError
from drd.core.local_time import only_moment_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LATEST = "latest"
_SHAPE = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d{1,6})?)?\s*"
    r"(?P<offset>Z|UTC|[+-]\d{2}(:?\d{2})?)?"
)
_BEFORE_OFFSET = re.compile(r"\s+(?=Z|[+-]\d{2}(:?\d{2})?$)")
_EXAMPLES = "write it like 2026-03-02 14:30, 2026-03-02T14:30:17+08:00 or latest"


def parse_moment(text: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """A moment in UTC; None for `latest`.

    A time without an offset is read in `zone`. What is given to the minute or second means its end, so that the moment
    of a recovery point as it was shown finds that point. Raises `UsageError` for a time that the zone's clock shows
    twice or never, and for one that is still to come.
    """
    if text == LATEST:
        return None
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None:
        missing = "has no time of day" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()) else "is no time"
        raise UsageError(f"{text!r} {missing}", _EXAMPLES)
    try:
        given = datetime.fromisoformat(_BEFORE_OFFSET.sub("", text.strip().replace("UTC", "Z")))
    except ValueError as error:
        raise UsageError(f"{text!r} is no time: {error}", _EXAMPLES) from error
    moment = given.astimezone(UTC) if given.tzinfo else only_moment_of(given, zone)
    if moment > now:
        raise UsageError(f"{text} is still to come", "the newest recovery point is: --at latest")
    if shape["fraction"]:
        return moment
    return moment + (timedelta(seconds=1) if shape["seconds"] else timedelta(minutes=1)) - timedelta(microseconds=1)
