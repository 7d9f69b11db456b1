"""Reading all of a store in rotation: into how many parts it is divided, which is next, and when.

restic reads the part n/t of a repository: the packs of which the first byte of the id, divided by t, leaves n - 1 (its
manual, "Checking integrity and consistency"). So 256 parts are the most that there are, and what was read in one
division is known in another one where that divides it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import gcd
from typing import TypeVar

from drd.core.catalogue import StoreRecord

MOST_PARTS = 256
A_DAY = timedelta(days=1)
SHARE_OF_TIME = 0.8
"""All is read in this share of the time that is promised, so that a store may be away for a while."""
SHARE_TO_WAIT_FOR_CHEAP_HOURS = 0.9
"""Once the data is unread for this share of the time, no hour is too dear any more."""
MOST_A_DAY = 8
"""Each part is read beside a check of the whole structure, so there is a limit to what smaller parts are worth."""
EVERYTHING = "1/1"

_PART = re.compile(r"(\d{1,3})/(\d{1,3})")
Text = TypeVar("Text", str, datetime)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a store's data, `number` from 1 to `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def read_part(subset: str) -> Part | None:
    """The part that a subset of a check names; None for other subsets."""
    if subset == "100%":
        return Part(1, 1)
    found = _PART.fullmatch(subset)
    if found is None:
        return None
    part = Part(int(found[1]), int(found[2]))
    return part if 1 <= part.number <= part.of <= MOST_PARTS else None


def holds(subset: str, other: str) -> bool:
    """Whether a check of `subset` sees all that one of `other` saw: each looks at the whole structure as well."""
    part, seen = read_part(subset), read_part(other)
    if part is None:
        return False
    if seen is None:
        return other == "" or part.of == 1
    return seen.of % part.of == 0 and (seen.number - part.number) % part.of == 0


def divided(read: Sequence[Text | None], parts: int) -> list[Text | None]:
    """When each of so many parts was read last, from what is known of another division; None for never."""
    if len(read) == parts or not read:
        return list(read) or [None] * parts
    common = gcd(len(read), parts)
    joined = [_oldest(read[first::common]) for first in range(common)]
    return [joined[each % common] for each in range(parts)]


def division(record: StoreRecord, within: timedelta, longest_seconds: float) -> int:
    """Into how many parts a store is divided so that one a day is enough, or more where one takes too long.

    `longest_seconds`: how long one may hold up others.
    """
    least = min(MOST_PARTS, max(1, int(within * SHARE_OF_TIME / A_DAY)))
    most = min(MOST_PARTS, least * MOST_A_DAY)
    known = len(record.parts_read)
    parts = known if known and known % least == 0 and known // least in (1, 2, 4, MOST_A_DAY) else least
    if record.part_seconds > longest_seconds and parts * 2 <= most:
        return parts * 2
    if record.part_seconds < longest_seconds / 4 and parts > least:
        return parts // 2
    return parts


def next_part(
    record: StoreRecord, within: timedelta, longest_seconds: float, now: datetime, *, is_dear: bool
) -> Part | None:
    """The part of a store's data that is to be read now, if any: the one that was not read for longest.

    `is_dear`: this is an hour in which nothing is read that can wait.
    """
    parts = division(record, within, longest_seconds)
    read = divided(record.parts_read, parts)
    newest = max((each for each in read if each is not None), default=None)
    if newest is not None and timedelta(0) <= now - newest < within * SHARE_OF_TIME / parts:
        return None
    unread_since = record.unread_since
    is_urgent = unread_since is not None and now - unread_since >= within * SHARE_TO_WAIT_FOR_CHEAP_HOURS
    if is_dear and not is_urgent:
        return None
    first = min(range(parts), key=lambda each: (read[each] is not None, read[each] or now, each))
    return Part(first + 1, parts)


def _oldest(read: Sequence[Text | None]) -> Text | None:
    known = [each for each in read if each is not None]
    return min(known) if len(known) == len(read) else None
