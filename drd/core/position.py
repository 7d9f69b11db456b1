"""How far a copy of a database is, comparable across promotions, without a word of how a database counts it.

A position is an offset on a timeline. A promotion begins a new timeline at an offset of an old one: what the old one
wrote beyond that is no part of the new one. Numbers alone do not order timelines, since two promotions from one parent
may give the same number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Order(StrEnum):
    """How one position lies to another."""

    AHEAD = "ahead"
    BEHIND = "behind"
    EQUAL = "equal"
    DIVERGED = "diverged"
    """Neither holds all that the other holds, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class Position:
    """An offset on a timeline."""

    timeline: int
    offset: int
    """Bytes of log since the beginning of time."""
    forks: tuple[tuple[int, int], ...] = ()
    """(earlier timeline, offset at which this one left it), oldest first; empty where that is not known."""

    def compare(self, other: Position) -> Order:
        """Where this one is, seen from the other."""
        if self.timeline == other.timeline:
            return self._on_one_timeline(other)
        if self.timeline < other.timeline:
            return Order.BEHIND if other.compare(self) is Order.AHEAD else Order.DIVERGED
        left_at = dict(self.forks).get(other.timeline)
        return Order.AHEAD if left_at is not None and other.offset <= left_at else Order.DIVERGED

    def _on_one_timeline(self, other: Position) -> Order:
        if self.forks and other.forks and self.forks != other.forks:
            return Order.DIVERGED
        if self.offset == other.offset:
            return Order.EQUAL
        return Order.AHEAD if self.offset > other.offset else Order.BEHIND
