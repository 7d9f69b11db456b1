"""Timelines: each promotion begins one, and a history file tells which earlier ones it continues.

A position alone does not say which WAL it is in: two servers that were promoted from the same standby write different
bytes at the same position. (PostgreSQL manual, "Timelines"; the format of history files is that of
`src/backend/access/transam/timeline.c`.)
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drd.core.postgres.lsn import Lsn

_LINE = re.compile(r"\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)(?:\s+(.*))?")
_COMMENT = re.compile(r"\s*#.*")


@dataclass(frozen=True, slots=True)
class Switch:
    """The end of an earlier timeline's part in a later one."""

    timeline: int
    at: Lsn
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """A timeline with all that it continues, oldest first. The first timeline has no history file and no switches."""

    timeline: int
    switches: tuple[Switch, ...] = ()
    _left: Mapping[int, Lsn] = field(init=False, compare=False, repr=False)
    """Timeline → where it was left: base backups and marks by the hundred are held against as many timelines."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_left", {switch.timeline: switch.at for switch in self.switches})

    @classmethod
    def parse(cls, timeline: int, content: str) -> History:
        """Read a `.history` file. Raises ValueError when it is damaged or belongs to another timeline.

        Recovery that followed a timeline and stopped before that one began writes a history that goes back in the WAL:
        of what it stepped over nothing is part of it.
        """
        switches: list[Switch] = []
        for line in content.splitlines():
            if not line.strip() or _COMMENT.fullmatch(line):
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"the history of timeline {timeline} holds a line that is none: {line[:80]!r}")
            switches.append(Switch(int(match[1]), Lsn.parse(match[2]), (match[3] or "").strip()))
        names = [switch.timeline for switch in switches]
        if names != sorted(set(names)) or any(name >= timeline for name in names):
            raise ValueError(f"the history of timeline {timeline} does not lead to it: {names}")
        return cls(timeline, tuple(_rising(switches)))

    @property
    def lineage(self) -> tuple[int, ...]:
        """All timelines that it is made of, itself last."""
        return (*(switch.timeline for switch in self.switches), self.timeline)

    def owner_of(self, lsn: Lsn) -> int:
        """The timeline on which the byte that begins at `lsn` was written, seen from this one."""
        return next((switch.timeline for switch in self.switches if lsn < switch.at), self.timeline)

    def contains(self, timeline: int, lsn: Lsn) -> bool:
        """Whether all WAL of `timeline` up to `lsn` is part of this timeline's past, or of itself.

        A backup that ended at `lsn` on `timeline` can be rolled forward along this timeline exactly then.
        """
        if timeline == self.timeline:
            return not self.switches or lsn >= self.switches[-1].at
        left = self._left.get(timeline)
        return left is not None and lsn <= left

    def left_between(self, start: Lsn, end: Lsn | None) -> tuple[Switch, ...]:
        """The switches from `start` up to before `end`; None: all from there on."""
        first = bisect_left(self.switches, start, key=_place)
        return self.switches[first : None if end is None else bisect_left(self.switches, end, key=_place)]


def _place(switch: Switch) -> Lsn:
    return switch.at


def _rising(switches: list[Switch]) -> list[Switch]:
    """The same with each part ending no later than the parts behind it begin."""
    found: list[Switch] = []
    for switch in reversed(switches):
        at = min(switch.at, found[-1].at) if found else switch.at
        found.append(replace(switch, at=at))
    return found[::-1]
