"""What `archive_command` brought, beside what was received: which of it enters the spool, and where.

Mostly everything was received already, and the second file is only compared. What was not, as behind a slot that was
lost, enters a group: that which it continues, or one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drd.core.postgres.spooling import GROUP_BYTES, PARTIAL, Found, Move
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.wal import FileKind, Segment, kind_of, timeline_of

RECEIVED = ""
"""In place of a group: the folder that is received into, where histories stand."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is done with the files that were pushed, in the order of their names."""

    entering: tuple[Move, ...] = ()
    """Those that nobody had yet."""
    compared: tuple[Move, ...] = ()
    """Those of which there is one of the same name already."""
    superfluous: tuple[str, ...] = ()
    """Those that stand in every store, or that no recovery ever reads."""


def arrivals(
    found: Found,
    pushed: Iterable[str],
    size: int,
    stored: Mapping[int, Stretches],
    group_bytes: int = GROUP_BYTES,
) -> Arrivals:
    """Where pushed files go. `stored` are the segments that every store has, whose groups may have left the spool."""
    place = _Places(found, size, group_bytes)
    entering: list[Move] = []
    compared: list[Move] = []
    superfluous: list[str] = []
    for name in sorted(pushed):
        kind, segment = kind_of(name), Segment.parse(name, size)
        group = place.of(name)
        if group is not None:
            compared.append(Move(name, group, segment))
        elif kind is FileKind.HISTORY and timeline_of(name) in place.timelines:  # else it waits for WAL of it
            entering.append(Move(name, RECEIVED))
        elif kind is FileKind.LABEL and found.newest is not None:
            entering.append(Move(name, found.newest.name))
        elif kind is FileKind.SEGMENT and segment is not None:
            if segment.number in stored.get(segment.timeline, Stretches()):
                superfluous.append(name)
            else:
                entering.append(Move(name, place.enter(segment), segment))
        elif kind is FileKind.PARTIAL and segment is not None:
            if (group := place.awaiting(segment)) is not None:
                entering.append(Move(name, group, segment))
            else:  # recovery reads that segment from the timeline that took over in it
                superfluous.append(name)
    return Arrivals(tuple(entering), tuple(compared), tuple(superfluous))


class _Places:
    """Which group has what, and which segment each would take next."""

    def __init__(self, found: Found, size: int, group_bytes: int) -> None:
        self._most = max(1, group_bytes // size)
        self._groups = {name: group.name for group in found.groups for name in group.names}
        self._groups |= {name: RECEIVED for name in found.received if kind_of(name) is FileKind.HISTORY}
        self.timelines = {group.first.timeline for group in found.groups}
        self._next = {group.following: (group.name, group.count) for group in found.groups}

    def of(self, name: str) -> str | None:
        """The group that has a file of this name; a partial segment stands for less than the whole one."""
        return self._groups.get(name, self._groups.get(name.removesuffix(PARTIAL)))

    def awaiting(self, segment: Segment) -> str | None:
        """The group that goes on with this segment."""
        group, _ = self._next.get(segment, (None, 0))
        return group

    def enter(self, segment: Segment) -> str:
        """The group that a whole segment enters."""
        group, count = self._next.pop(segment, (segment.name, 0))
        if count >= self._most:
            group, count = segment.name, 0
        self._next[segment.following] = group, count + 1
        return group
