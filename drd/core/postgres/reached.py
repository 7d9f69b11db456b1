"""Up to which moment a store by itself leads: its newest base backup with the WAL beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from drd.core.points import RecoveryPoint
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.groups import ShippedGroup, archive_of, marks_of
from drd.core.postgres.recovery import Base


def reached(point: RecoveryPoint, shipped: Sequence[ShippedGroup]) -> datetime:
    """The newest moment that `point` can be rolled forward to with this WAL; its own where that leads nowhere.

    `shipped` is the WAL in one store, of whichever clusters.
    """
    record = next(filter(None, map(BaseRecord.of_tags, point.facts.values())), None)
    if record is None:
        return point.moment
    groups = [each for each in shipped if each.group.system_identifier == record.system_identifier]
    if not groups:
        return point.moment
    archive, base, marks = archive_of(groups, record.segment_bytes), Base.of(point.run, record), marks_of(groups)
    moments = [point.moment]
    for timeline in archive.timelines:
        history = archive.history(timeline)
        if not history.contains(base.timeline, base.end):
            continue
        reach = archive.reach(history, base.reads_from)
        if reach >= base.end:
            moments += [
                mark.moment for mark in marks if mark.lsn <= reach and history.contains(mark.timeline, mark.lsn)
            ]
    return max(moments)


def rolled_forward(point: RecoveryPoint, shipped: Sequence[ShippedGroup]) -> RecoveryPoint:
    """The point as it counts for what is promised: of the moment to which the WAL beside it leads.

    That a restore has read the base backup proves nothing of that moment. WAL leads no other part of a point anywhere.
    """
    if len(point.parts) > 1:
        return point
    moment = reached(point, shipped)
    if moment == point.moment:
        return point
    return replace(point, moment=moment, copies=tuple(replace(copy, proven_at=None) for copy in point.copies))
