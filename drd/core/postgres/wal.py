"""Files of write-ahead log: what they are called, what lies in them, and which are missing.

A segment's name is its timeline and its number, in hexadecimal: `000000010000001600000B37` is timeline 1, number
0x16 × (2³² ÷ segment size) + 0xB37. The partial last segment of a promoted timeline ends in `.partial`, a timeline's
history in `.history`, a base backup's label in `.OFFSET.backup`. (PostgreSQL's `xlog_internal.h`.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History

_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_LABEL = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment. They sort by timeline, then by number; `size` is that of the whole cluster, in bytes."""

    timeline: int
    number: int
    size: int

    @classmethod
    def parse(cls, name: str, size: int) -> Segment | None:
        """The segment that a file holds, whole or in part; None when it is called otherwise."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        in_a_log = 2**32 // size
        log, low = int(match[2], 16), int(match[3], 16)
        if low >= in_a_log:
            return None
        return cls(int(match[1], 16), log * in_a_log + low, size)

    @classmethod
    def at(cls, timeline: int, lsn: Lsn, size: int) -> Segment:
        """The segment that holds the byte at `lsn`."""
        return cls(timeline, lsn.value // size, size)

    @property
    def name(self) -> str:
        """What PostgreSQL calls it once it is whole."""
        in_a_log = 2**32 // self.size
        return f"{self.timeline:08X}{self.number // in_a_log:08X}{self.number % in_a_log:08X}"

    @property
    def start(self) -> Lsn:
        """Its first byte."""
        return Lsn(self.number * self.size)

    @property
    def end(self) -> Lsn:
        """The first byte behind it."""
        return Lsn((self.number + 1) * self.size)

    @property
    def following(self) -> Segment:
        """The next one of the same timeline."""
        return replace(self, number=self.number + 1)


class FileKind(StrEnum):
    """What a file of an archive is."""

    SEGMENT = "segment"
    PARTIAL = "partial"
    HISTORY = "history"
    LABEL = "label"


def kind_of(name: str) -> FileKind | None:
    """What a file is by its name; None when it is nothing of PostgreSQL's."""
    if match := _NAME.fullmatch(name):
        return FileKind.PARTIAL if match[4] else FileKind.SEGMENT
    if _HISTORY.fullmatch(name):
        return FileKind.HISTORY
    return FileKind.LABEL if _LABEL.fullmatch(name) else None


def history_name(timeline: int) -> str:
    """What the history of a timeline is called."""
    return f"{timeline:08X}.history"


def timeline_of(name: str) -> int:
    """The timeline that any file of an archive belongs to. Raises ValueError when it is none."""
    if kind_of(name) is None:
        raise ValueError(f"{name!r} is no file of a WAL archive")
    return int(name[:8], 16)


def needed(history: History, start: Lsn, end: Lsn, size: int) -> Iterator[Segment]:
    """The segments that recovery reads from `start` up to, not including, `end` along a timeline, in order.

    Where a timeline was left in the middle of a segment, the next one holds a copy of that segment's beginning, and
    recovery reads the newer (`XLogFileReadAnyTLI`).
    """
    if end <= start:
        return
    for number in range(start.value // size, (end.value - 1) // size + 1):
        yield Segment(history.owner_of(Lsn((number + 1) * size - 1)), number, size)


@dataclass(frozen=True, slots=True)
class Gap:
    """Segments that follow one another and are missing, `first` to `last`, both included."""

    first: Segment
    last: Segment

    @property
    def count(self) -> int:
        """How many are missing."""
        return self.last.number - self.first.number + 1


def gaps(wanted: Iterable[Segment], present: frozenset[Segment]) -> tuple[Gap, ...]:
    """What is missing of the `wanted` segments, which come in order, as stretches on one timeline each."""
    found: list[Gap] = []
    for segment in wanted:
        if segment in present:
            continue
        if found and found[-1].last.following == segment:
            found[-1] = replace(found[-1], last=segment)
        else:
            found.append(Gap(segment, segment))
    return tuple(found)
