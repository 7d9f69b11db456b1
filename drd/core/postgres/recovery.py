"""Which base backup and which WAL bring a cluster back to a moment, and to which moments that is possible at all.

Recovery replays WAL from a base backup's start along one timeline. Two things are easily got wrong. A base backup holds
nothing consistent before its own end, so that end has to lie before the target. And a moment alone does not say which
of two timelines is meant: after a promotion that went back, both have WAL of the same positions, and the newer one
knows nothing of what was committed in between on the older one. So what is answered for a moment is what the server
that lived at that moment held, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from drd.core.postgres.archive import Archive
from drd.core.postgres.base import BaseFacts, BaseRecord
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.lineage import Alive, Mark, Past
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.target import AtLsn, AtName, AtTime, Latest, Target, in_utc
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Gap, Segment, needed

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Base:
    """A base backup that is kept."""

    run: str
    timeline: int
    start: Lsn
    end: Lsn
    ended_at: datetime
    """All that was committed before `end` was committed before this."""
    holds_wal: bool = False
    """Whether the WAL from `start` to `end` is in it."""

    @classmethod
    def of(cls, run: str, facts: BaseFacts | BaseRecord) -> Base:
        """The base backup that a run made."""
        return cls(run, facts.timeline, facts.start, facts.end, facts.ended_at, facts.holds_wal)

    @property
    def reads_from(self) -> Lsn:
        """Where the WAL begins that has to come from an archive."""
        return self.end if self.holds_wal else self.start


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A position that somebody named."""

    name: str
    timeline: int
    lsn: Lsn
    """The end of what names it."""
    moment: datetime | None = None
    """When that was written, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Kept:
    """All that a cluster can be brought back from."""

    archive: Archive
    bases: tuple[Base, ...] = ()
    marks: tuple[Mark, ...] = ()
    points: tuple[RestorePoint, ...] = ()

    @property
    def timelines(self) -> tuple[int, ...]:
        """All timelines that anything is known of, newest first."""
        return tuple(sorted({*self.archive.timelines, *(base.timeline for base in self.bases)}, reverse=True))


@dataclass(frozen=True, slots=True)
class Choice:
    """How a target is reached."""

    base: Base
    history: History
    """Along which timeline."""
    until: Lsn
    """All that the target asks for lies before this."""
    reach: Lsn
    """How far the WAL goes: recovery that finds no record behind its target there has to be told to end at the end."""
    segment_bytes: int

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What has to be fetched, in the order of reading; the last one may be there in part only."""
        return tuple(needed(self.history, self.base.reads_from, self.until, self.segment_bytes))


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """A target with the way that leads there."""

    system_identifier: str
    choice: Choice
    target: Target


@dataclass(frozen=True, slots=True)
class Covered:
    """Moments to which the cluster can be brought back, both ends included."""

    first: datetime
    last: datetime
    timeline: int
    """The one that was written at those moments."""

    def __str__(self) -> str:
        return f"{in_utc(self.first)} to {in_utc(self.last)} (timeline {self.timeline})"


def choose_base(kept: Kept, target: Target, timeline: int | None = None) -> Choice:
    """The newest base backup from which a target can be reached without a gap.

    Of several timelines that lead there the newest is taken, unless one is given. Raises `NotCovered`, which tells
    what is missing and which moments are covered.
    """
    missing: list[Gap] = []
    for each in kept.timelines if timeline is None else (timeline,):
        past = _past(kept, each)
        until = _end_of(kept, target, past, is_given=timeline is not None)
        if until is None:
            continue
        for base in _usable(kept, target, past.history, until):
            reach = _reach(kept, base, past.history)
            if max(until, base.end) <= reach:
                return Choice(base, past.history, max(until, base.end), reach, kept.archive.segment_bytes)
            missing += kept.archive.gaps(past.history, base.reads_from, until)[:1]
    raise _not_covered(kept, target, missing, timeline)


def covered(kept: Kept) -> tuple[Covered, ...]:
    """All moments that `choose_base` has an answer for, oldest first."""
    found: set[Covered] = set()
    for timeline in kept.timelines:
        past = _past(kept, timeline)
        for base in kept.bases:
            if past.history.contains(base.timeline, base.end):
                found.update(_spans(base, past, _reach(kept, base, past.history)))
    return _joined(found)


def _past(kept: Kept, timeline: int) -> Past:
    history = kept.archive.history(timeline)
    ends = {base.timeline: base.end for base in sorted(kept.bases, key=lambda base: base.end)}
    within = [base for base in kept.bases if history.contains(base.timeline, base.end)]
    seen = [Alive(base.ended_at, base.timeline) for base in within]
    return Past.of(history, kept.marks, kept.archive, ends, seen)


def _end_of(kept: Kept, target: Target, past: Past, *, is_given: bool) -> Lsn | None:
    """Before which position lies what the target asks for; None when it is not on that timeline."""
    if isinstance(target, AtTime):
        mark = past.mark_at(target.moment)
        return None if mark is None or (past.has_lost(target.moment) and not is_given) else mark.lsn
    if isinstance(target, AtLsn):
        return target.lsn
    if isinstance(target, AtName):
        point = _point(kept.points, target)
        return point.lsn if past.history.contains(point.timeline, point.lsn) else None
    is_meant = is_given or past.history.timeline == kept.timelines[0]
    return kept.archive.end(past.history) if is_meant else None


def _point(points: Sequence[RestorePoint], target: AtName) -> RestorePoint:
    found = [point for point in points if point.name == target.name]
    if not found:
        names = ", ".join(sorted({point.name for point in points})[:MOST_SHOWN])
        raise NotCovered(f"there is no restore point {target.name}", f"those that there are: {names or 'none'}")
    if len(found) > 1:
        places = " or ".join(str(point.lsn) for point in found[:MOST_SHOWN])
        raise NotCovered(f"there are {len(found)} restore points {target.name}", f"write which position: {places}")
    return found[0]


def _usable(kept: Kept, target: Target, history: History, until: Lsn) -> list[Base]:
    """Those that end before the target, in that timeline's past; the newest first."""

    def is_before(base: Base) -> bool:
        if isinstance(target, AtTime):
            return base.ended_at <= target.moment
        return isinstance(target, Latest) or base.end <= until

    usable = [base for base in kept.bases if history.contains(base.timeline, base.end) and is_before(base)]
    return sorted(usable, key=lambda base: (base.end, base.ended_at), reverse=True)


def _reach(kept: Kept, base: Base, history: History) -> Lsn:
    return kept.archive.reach(history, base.reads_from)


def _spans(base: Base, past: Past, reach: Lsn) -> Iterator[Covered]:
    """The moments that a base backup leads to along a timeline, each span on the timeline that was written then."""
    if reach < base.end:
        return
    reached = [mark for mark in past.marks if mark.moment >= base.ended_at and mark.lsn <= reach]
    first, told = base.ended_at, None
    for timeline, marks in groupby(reached, key=lambda mark: mark.timeline):
        last = max(mark.moment for mark in marks)
        # The moment at which an earlier timeline's span ends was told with that one.
        spans = [span for span in past.kept(first, last) if span != (told, told)]
        yield from (Covered(*span, timeline) for span in spans)
        first = told = last


def _joined(spans: Iterable[Covered]) -> tuple[Covered, ...]:
    """The same with one span for those of a timeline that overlap, oldest first."""
    found: list[Covered] = []
    for span in sorted(spans, key=lambda span: (span.timeline, span.first)):
        if found and found[-1].timeline == span.timeline and span.first <= found[-1].last:
            found[-1] = replace(found[-1], last=max(found[-1].last, span.last))
        else:
            found.append(span)
    return tuple(sorted(found, key=lambda span: (span.first, span.timeline)))


def _not_covered(kept: Kept, target: Target, missing: Sequence[Gap], timeline: int | None) -> NotCovered:
    along = "" if timeline is None else f" on timeline {timeline}"
    why = f": the WAL {_named(missing[0])} is missing" if missing else ""
    ranges = covered(kept)
    shown = ", ".join(map(str, ranges[-MOST_SHOWN:]))
    more = f" and {len(ranges) - MOST_SHOWN} older ranges" if len(ranges) > MOST_SHOWN else ""
    told = f"covered: {shown}{more}" if ranges else "no moment is covered" if kept.bases else "there is no base backup"
    return NotCovered(f"{target} cannot be reached{along}{why}; {told}", "choose a moment that is covered")


def _named(gap: Gap) -> str:
    return gap.first.name if gap.count == 1 else f"{gap.first.name} to {gap.last.name} ({gap.count} segments)"
