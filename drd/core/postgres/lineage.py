"""What was committed when, along one timeline with all that it continues."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf

from drd.core.postgres.archive import Archive
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History


@dataclass(frozen=True, slots=True)
class Mark:
    """All that was committed before `moment` lies before `lsn` on that timeline; both are the server's own words."""

    moment: datetime
    timeline: int
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Alive:
    """A moment at which a timeline was written. What had been committed by then may lie behind any position."""

    moment: datetime
    timeline: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Moments at which another timeline may have been written, of which this one knows nothing; both ends excluded."""

    after: datetime | None
    """None: from the beginning."""
    before: datetime | None
    """None: for ever, since nothing tells when the server lived again on this timeline."""

    def __contains__(self, moment: datetime) -> bool:
        return (self.after is None or self.after < moment) and (self.before is None or moment < self.before)


@dataclass(frozen=True, slots=True)
class Past:
    """A timeline's marks, and what it has lost."""

    history: History
    marks: tuple[Mark, ...]
    """Those in its past, by moment; the positions never go back: of a later mark that lies lower, the lower counts."""
    lost: tuple[Lost, ...]

    @classmethod
    def of(
        cls,
        history: History,
        marks: Iterable[Mark],
        archive: Archive,
        ends: Mapping[int, Lsn],
        seen: Sequence[Alive],
    ) -> Past:
        """The past of a timeline, by all marks, all WAL and the `ends` of base backups, by timeline.

        The ends tell how far a timeline went also when its WAL has been removed. `seen` is when one of those that it
        is made of was written for certain, beside what the marks tell: it stays when they are gone.
        """
        within: list[Mark] = []
        outside: list[datetime] = []
        for mark in sorted(marks, key=lambda mark: mark.moment):
            if history.contains(mark.timeline, mark.lsn):
                within.append(mark)
            else:
                outside.append(mark.moment)
        moments = [mark.moment for mark in within]
        lost = {
            *_elsewhere(moments, outside, sorted(each.moment for each in seen)),
            *_of_others({*archive.timelines, *ends, *range(1, history.timeline)} - {*history.lineage}, within, seen),
            *_left_behind(history, within, archive, ends, seen),
        }
        return cls(history, tuple(_rising(within)), tuple(sorted(lost, key=_by_beginning)))

    def mark_at(self, moment: datetime) -> Mark | None:
        """The mark before which everything lies that was committed before `moment`; None when there is none."""
        index = bisect_left(self.marks, moment, key=lambda mark: mark.moment)
        return self.marks[index] if index < len(self.marks) else None

    def has_lost(self, moment: datetime) -> bool:
        """Whether another timeline was written at that moment, of which this one knows nothing."""
        return any(moment in lost for lost in self.lost)

    def kept(self, first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The spans from `first` to `last`, both included, of which nothing was lost."""
        for lost in self.lost:
            if lost.after is not None and first <= min(last, lost.after):
                yield first, min(last, lost.after)
            if lost.before is None:
                return
            first = max(first, lost.before)
        if first <= last:
            yield first, last


def _rising(marks: list[Mark]) -> list[Mark]:
    lowest: Mark | None = None
    found: list[Mark] = []
    for mark in reversed(marks):
        if lowest is None or mark.lsn < lowest.lsn:
            lowest = mark
        found.append(Mark(mark.moment, lowest.timeline, lowest.lsn))
    return found[::-1]


def _elsewhere(within: list[datetime], outside: list[datetime], seen: list[datetime]) -> Iterator[Lost]:
    """Around each moment at which another timeline lived, what lies between this one's own marks."""
    for moment in outside:
        preceding = bisect_left(within, moment) - 1
        following = [each[index] for each in (within, seen) if (index := bisect_right(each, moment)) < len(each)]
        yield Lost(within[preceding] if preceding >= 0 else None, min(following, default=None))


def _of_others(timelines: set[int], within: list[Mark], seen: Sequence[Alive]) -> Iterator[Lost]:
    """When a timeline lived that is not in this past, as far as its number tells: they are given in order.

    None is left out, so one of which nothing is left is known, too.
    """
    for timeline in timelines:
        yield Lost(*_around(within, seen, timeline - 1))


def _left_behind(
    history: History, within: list[Mark], archive: Archive, ends: Mapping[int, Lsn], seen: Sequence[Alive]
) -> Iterator[Lost]:
    """Around each switch that left WAL of the earlier timeline behind: when that was written, only marks could tell."""
    for switch in history.switches:
        if max(archive.written(switch.timeline), ends.get(switch.timeline, switch.at)) > switch.at:
            yield Lost(*_around(within, seen, switch.timeline))


def _around(within: list[Mark], seen: Sequence[Alive], timeline: int) -> tuple[datetime | None, datetime | None]:
    """The last moment that is marked on a timeline or an earlier one, and the first that is known of a later one."""
    earlier = (mark.moment for mark in within if mark.timeline <= timeline)
    later = [mark.moment for mark in within if mark.timeline > timeline]
    later += [each.moment for each in seen if each.timeline > timeline]
    return max(earlier, default=None), min(later, default=None)


def _by_beginning(lost: Lost) -> float:
    return -inf if lost.after is None else lost.after.timestamp()
