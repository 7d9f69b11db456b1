"""Which WAL is still needed, and so what may go: never anything that a kept base backup needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from drd.core.postgres.archive import Archive
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Kept
from drd.core.postgres.stretches import Stretch, Stretches
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Segment

_ENDLESS = 2**64


def needed_wal(kept: Kept, since: datetime | None) -> Mapping[int, Stretches]:
    """The numbers of the segments that are needed, by timeline, whether they are there or not.

    Every moment since `since` stays within reach as far as the kept base backups lead there: along every timeline that
    lived since then, all WAL is needed from the newest whole base backup that ended before, or else from the oldest.
    None stands for the newest base backup of the newest timeline. Of all others only what makes them consistent is
    needed. A timeline newer than every base backup is needed whole: the first one may be under way there.
    """
    archive = kept.archive
    newest_base = max((base.timeline for base in kept.bases), default=0)
    timelines, alive = kept.timelines, alive_since(kept, since)
    found = [(timeline, Stretch(0, _ENDLESS)) for timeline in timelines if timeline > newest_base]
    for base in kept.bases:
        if not base.holds_wal:
            found += _along(archive, archive.history(base.timeline), base.start, base.end)
    for timeline in timelines:
        history = archive.history(timeline)
        within = [base for base in kept.bases if history.contains(base.timeline, base.end)]
        for base in within:
            found += _left_behind(archive, history, base.end, Segment.at(timeline, base.end, archive.segment_bytes).end)
        if within and timeline in alive:
            first = followed(archive, history, within, since)
            found += _along(archive, history, first.reads_from, None)
            found += _left_behind(archive, history, first.end, None)
    by_timeline: dict[int, list[Stretch]] = {}
    for timeline, stretch in dict.fromkeys(found):
        by_timeline.setdefault(timeline, []).append(stretch)
    return {timeline: Stretches.joined(stretches) for timeline, stretches in by_timeline.items()}


def removable_wal(kept: Kept, since: datetime | None) -> Mapping[int, Stretches]:
    """The numbers of whole segments that nothing needs any more, by timeline. History files stay for ever."""
    needed = needed_wal(kept, since)
    left = {each: numbers - needed.get(each, Stretches()) for each, numbers in kept.archive.segments.items()}
    return {timeline: numbers for timeline, numbers in left.items() if numbers}


def alive_since(kept: Kept, since: datetime | None) -> frozenset[int]:
    """The timelines that may have been written since then; None: the newest alone."""
    timelines = kept.timelines
    if since is None:
        return frozenset(timelines[:1])
    last: dict[int, datetime] = {}
    for mark in kept.marks:
        last[mark.timeline] = max(mark.moment, last.get(mark.timeline, mark.moment))
    known = {*timelines, *last}  # of one that has no WAL there may be marks
    return frozenset({*timelines[:1], *(each for each in known if each not in last or last[each] >= since)})


def followed(archive: Archive, history: History, within: list[Base], since: datetime | None) -> Base:
    """The one of a timeline's base backups from which it is to be followed: never one whose own WAL has a gap."""
    in_order = sorted(within, key=lambda base: base.end)
    before = [
        base
        for base in in_order
        if (since is None or base.ended_at <= since) and archive.reach(history, base.reads_from) >= base.end
    ]
    return before[-1] if before else in_order[0]


def _along(archive: Archive, history: History, start: Lsn, end: Lsn | None) -> list[tuple[int, Stretch]]:
    """The segments from `start` up to `end` along a timeline; None: without end."""
    last_of_all = _ENDLESS if end is None else (end.value - 1) // archive.segment_bytes
    found = []
    for part in archive.parts(history, start):
        last = last_of_all if part.last is None else min(part.last, last_of_all)
        if part.first <= last:
            found.append((part.timeline, Stretch(part.first, last)))
    return found


def _left_behind(archive: Archive, history: History, start: Lsn, end: Lsn | None) -> list[tuple[int, Stretch]]:
    """What earlier timelines wrote behind the switches from `start` up to `end`: it tells that they went on there."""
    return [
        (switch.timeline, Stretch(switch.at.value // archive.segment_bytes, _ENDLESS))
        for switch in history.left_between(start, end)
    ]
