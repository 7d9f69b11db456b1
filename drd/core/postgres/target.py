"""The moment to which a cluster is to be brought back, as people type it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from drd.core.errors import UsageError
from drd.core.local_time import only_moment_of
from drd.core.postgres.lsn import Lsn

LATEST: Final = "latest"
LONGEST_NAME_BYTES: Final = 63
BY_NAME: Final = "name:"
HOW_TO_WRITE: Final = "write 2026-11-22 10:15:00+08:00, latest, a position as 16/B374D848, or name:RESTORE_POINT"
HOW_TO_WRITE_A_TIME: Final = "write 2026-11-22 10:15:00+08:00 or latest"
"""Where no WAL is kept."""
_LIKE_A_TIME = re.compile(r"\d{4}-\d{1,2}-\d")
_TIME = re.compile(
    r"(?P<label>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)\s*(?P<offset>Z|UTC|[+-]\d{2}(:?\d{2})?)?"
)
_LIKE_A_NAME = re.compile(r"[^\W\d][\w .-]*")
_LIKE_A_POSITION = re.compile(r"[0-9A-Fa-f]+/[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class AtTime:
    """All that was committed before a moment, and nothing that was begun after it."""

    moment: datetime

    def __str__(self) -> str:
        return in_utc(self.moment)

    @property
    def typed(self) -> str:
        """As `parse_target` reads it."""
        return in_utc(self.moment)


@dataclass(frozen=True, slots=True)
class AtLsn:
    """All WAL up to a position."""

    lsn: Lsn

    def __str__(self) -> str:
        return f"position {self.lsn}"

    @property
    def typed(self) -> str:
        """As `parse_target` reads it."""
        return str(self.lsn)


@dataclass(frozen=True, slots=True)
class AtName:
    """A restore point, which somebody named as it was made."""

    name: str

    def __str__(self) -> str:
        return f"restore point {self.name}"

    @property
    def typed(self) -> str:
        """As `parse_target` reads it."""
        return f"{BY_NAME}{self.name}"


@dataclass(frozen=True, slots=True)
class Latest:
    """As far as the WAL goes, along the newest timeline."""

    def __str__(self) -> str:
        return LATEST

    @property
    def typed(self) -> str:
        """As `parse_target` reads it."""
        return LATEST


Target: TypeAlias = AtTime | AtLsn | AtName | Latest


def parse_target(text: str, zone: ZoneInfo) -> Target:
    """What a person types: a time, `latest`, a position in the WAL, or the name of a restore point.

    A name stands alone where it is words that are none of the others, and else behind `name:`. A time without an offset
    is read in `zone`, exactly as it was written: 10:15 is 10:15:00. Raises `UsageError` for what is none of these, and
    for a time that the zone's clock shows twice, with both readings, or never.
    """
    text = text.strip()
    if text.lower() == LATEST:
        return Latest()
    if _LIKE_A_POSITION.fullmatch(text):
        try:
            return AtLsn(Lsn.parse(text))
        except ValueError as error:
            raise UsageError(str(error), HOW_TO_WRITE) from error
    if _LIKE_A_TIME.match(text):
        return AtTime(_moment(text, zone))
    name = text.removeprefix(BY_NAME)
    if (name == text and not _LIKE_A_NAME.fullmatch(text)) or not name or len(name.encode()) > LONGEST_NAME_BYTES:
        raise UsageError(f"{text[:80]!r} is no moment to go back to", HOW_TO_WRITE)
    return AtName(name)


def in_utc(moment: datetime) -> str:
    """A moment for messages, to the microsecond where it has any."""
    whole = moment.astimezone(UTC)
    fraction = f".{whole.microsecond:06}".rstrip("0") if whole.microsecond else ""
    return f"{whole:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def _moment(text: str, zone: ZoneInfo) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        has_no_time = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)
        raise UsageError(f"{text!r} {'has no time of day' if has_no_time else 'is no time'}", HOW_TO_WRITE)
    offset = {"UTC": "+00:00", "Z": "+00:00"}.get(match["offset"] or "", match["offset"] or "")
    try:
        given = datetime.fromisoformat(match["label"] + offset)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time: {error}", HOW_TO_WRITE) from error
    return given.astimezone(UTC) if given.tzinfo else only_moment_of(given, zone)
