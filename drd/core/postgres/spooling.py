"""What happens to received WAL in the spool: which group a file enters, and what may leave. Nothing here moves a file.

The program that receives goes on behind the newest file in its folder, so that one always stays there; all files stand
in a group beside that, the one in writing as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import FileKind, Segment, history_name, kind_of, timeline_of

GROUP_BYTES: Final = 2**30
"""A group that holds so much gets no further segment: as long as it is open, all of it is in the spool."""
GROUP_LASTS: Final = timedelta(days=1)
"""A group whose first batch is older gets no further segment: retention gives up whole groups."""
PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class GroupFolder:
    """A group as it lies in the spool."""

    first: Segment
    names: frozenset[str] = frozenset()
    """Its files of WAL and its timeline's history."""
    marks: tuple[Mark, ...] = ()
    """What it is known of, oldest first."""
    history: str = ""
    """Content of its timeline's history file; empty when there is none."""

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.first.name

    @property
    def following(self) -> Segment:
        """The segment that comes behind its whole ones."""
        segment = self.first
        while segment.name in self.names:
            segment = segment.following
        return segment

    @property
    def count(self) -> int:
        """How many whole segments it has."""
        return self.following.number - self.first.number

    @property
    def room(self) -> Lsn:
        """The end of its files: a position before it may be in them."""
        segment = self.following
        return segment.end if segment.name + PARTIAL in self.names else segment.start

    def group(self, system_identifier: str) -> Group:
        """How far it goes: to the end of its whole segments, and as far into the next as a mark tells."""
        mark = self.marks[-1] if self.marks else None
        through = self.following.start
        if mark is not None and through < mark.lsn <= self.room:
            through = mark.lsn
        switches = History.parse(self.first.timeline, self.history).switches if self.history else ()
        return Group(system_identifier, self.first, through, None if mark is None else mark.moment, switches)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the spool of one cluster."""

    received: frozenset[str] = frozenset()
    """Names in the folder that is received into."""
    groups: tuple[GroupFolder, ...] = ()
    """In the order of their WAL."""

    @property
    def newest(self) -> GroupFolder | None:
        """The group that was begun last."""
        return self.groups[-1] if self.groups else None


@dataclass(frozen=True, slots=True)
class Move:
    """A received file that is to stand in a group, too."""

    name: str
    group: str
    segment: Segment | None = None
    """What it holds, of a segment that is whole."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What is to be done in the spool, in this order."""

    entering: tuple[Move, ...] = ()
    leaving: tuple[str, ...] = ()
    """Names to be removed from the folder that is received into: they stand in a group, or are left over."""


@dataclass(slots=True)
class _Open:
    """The group that is filled now."""

    first: Segment
    next: Segment
    count: int
    names: set[str] = field(default_factory=set)


def moves(found: Found, size: int, now: datetime, group_bytes: int = GROUP_BYTES) -> Moves:
    """Which received files enter which group, and which leave the folder that is received into.

    `size` is that of a segment in bytes. What enters a group follows the group's newest segment on the same timeline.
    """
    in_groups = {name for group in found.groups for name in group.names}
    most = max(1, group_bytes // size)
    is_old = _is_old(found.newest, now)
    current = _opened(found.newest)
    entering: list[Move] = []
    for segment, name in _in_order(found.received, size):
        is_whole = name == segment.name
        if name in in_groups:
            continue
        if not is_whole and (segment.name in in_groups or segment.name in found.received):
            continue
        goes_on = current is not None and current.next == segment
        is_full = current is not None and (current.count >= most or (is_old and current.count > 0))
        has_begun = current is not None and segment.name + PARTIAL in current.names
        if current is None or not goes_on or (is_full and not has_begun):
            current, is_old = _Open(segment, segment, 0), False
        entering.append(Move(name, current.first.name, segment if is_whole else None))
        current.names.add(name)
        if is_whole:
            current.next, current.count = segment.following, current.count + 1
    entering += _histories(found, entering)
    return Moves(tuple(entering), _leaving(found, entering, size))


def _opened(newest: GroupFolder | None) -> _Open | None:
    if newest is None:
        return None
    return _Open(newest.first, newest.following, newest.count, set(newest.names))


def _is_old(newest: GroupFolder | None, now: datetime) -> bool:
    return newest is not None and bool(newest.marks) and now - newest.marks[0].moment > GROUP_LASTS


def _in_order(names: Iterable[str], size: int) -> list[tuple[Segment, str]]:
    """Segments, whole or not, by timeline and number."""
    found = []
    for name in names:
        if kind_of(name) in (FileKind.SEGMENT, FileKind.PARTIAL):
            segment = Segment.parse(name, size)
            if segment is not None:
                found.append((segment, name))
    return sorted(found)


def _histories(found: Found, entering: Sequence[Move]) -> list[Move]:
    """The history of its timeline for every group that lacks it."""
    names = {group.name: set(group.names) for group in found.groups}
    for move in entering:
        names.setdefault(move.group, set()).add(move.name)
    wanted = ((group, history_name(timeline_of(group))) for group in names)
    return [Move(name, group) for group, name in wanted if name in found.received and name not in names[group]]


def _leaving(found: Found, entering: Sequence[Move], size: int) -> tuple[str, ...]:
    """All segments but the newest file; histories stay, since the program would fetch them again."""
    in_order = _in_order(found.received, size)
    entered = {name for group in found.groups for name in group.names} | {move.name for move in entering}
    older = (name for _, name in in_order[:-1])
    return tuple(name for name in older if name in entered or name.removesuffix(PARTIAL) in entered)


def settled(
    pending: Sequence[Mark], found: Found, received: Mapping[int, Lsn]
) -> Iterator[tuple[GroupFolder, tuple[Mark, ...]]]:
    """The newest group of each timeline, with those marks whose WAL is there as far as names tell, oldest first.

    `received` is how far each timeline's WAL is safe in the spool. Of one that was left, as by a promotion, the last
    marks are told with it.
    """
    newest = {group.first.timeline: group for group in found.groups}
    for timeline, group in newest.items():
        safe = min(group.room, received.get(timeline, Lsn(0)))
        if marks := tuple(mark for mark in pending if mark.timeline == timeline and mark.lsn <= safe):
            yield group, marks


def is_news(group: Group, shipped: Group | None, idle: timedelta) -> bool:
    """Whether a batch of the group is due: it goes farther, or says so of a moment that is later by `idle`."""
    if shipped is None:
        return group.through > group.first.start or group.moment is not None
    if group.through != shipped.through or group.switches != shipped.switches:
        return group.through >= shipped.through
    if group.moment is None:
        return False
    return shipped.moment is None or group.moment - shipped.moment >= idle


def removable(
    folders: Sequence[GroupFolder], system_identifier: str, shipped: Iterable[ShippedGroup], required: Collection[str]
) -> tuple[str, ...]:
    """The groups that may leave the spool: closed ones that stand, as far as they go, in every required store."""
    through: Mapping[tuple[str, str], Group] = {
        (each.store, each.group.name): each.group
        for each in shipped
        if each.group.system_identifier == system_identifier
    }
    gone = []
    for folder in folders[:-1]:
        group = folder.group(system_identifier)
        there = [through.get((store, folder.name)) for store in required]
        if there and all(each is not None and each.through >= group.through for each in there):
            gone.append(folder.name)
    return tuple(gone)
