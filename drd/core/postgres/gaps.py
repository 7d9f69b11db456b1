"""What of the WAL that is needed is in a store, and where the rest is: the four states by which WAL-G names them.

Only whole segments are looked at: the one in writing is a matter of seconds, which the age of the newest WAL tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from drd.core.postgres.archive import Archive
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.stretches import Stretch, Stretches
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Segment

_NOTHING = Stretches()
_ENDLESS = 2**64


class WalState(StrEnum):
    """Where a segment is that a restore would need."""

    FOUND = "found"
    """In the store."""
    UPLOADING = "uploading"
    """On its way: in the spool, or in another store."""
    DELAYED = "delayed"
    """Not here yet, and the server keeps it for the slot."""
    LOST = "lost"
    """Nowhere that is known of: no moment behind it can be reached until there is a new base backup."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Segments of one timeline that follow one another and are in the same state, `first` to `last`, both included."""

    state: WalState
    first: Segment
    last: Segment

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last.number - self.first.number + 1

    def __str__(self) -> str:
        if self.first == self.last:
            return self.first.name
        return f"{self.first.name} to {self.last.name} ({self.count} segments)"


@dataclass(frozen=True, slots=True)
class Seen:
    """Where segments of one cluster are, by the numbers of each timeline."""

    store: Mapping[int, Stretches] = field(default_factory=dict)
    near: Mapping[int, Stretches] = field(default_factory=dict)
    """In the spool, or in another store."""
    held_from: Lsn | None = None
    """Where the WAL begins that the server keeps for the slot; None when nothing is kept, or nobody knows."""


def pieces(archive: Archive, history: History, start: Lsn, end: Lsn, seen: Seen) -> tuple[Piece, ...]:
    """The state of each segment that is whole between `start` and `end` along a timeline, in the order of reading.

    Of `archive` only the size of segments counts.
    """
    size = archive.segment_bytes
    held = _NOTHING if seen.held_from is None else _from(seen.held_from.value // size)
    found: list[Piece] = []
    for part in archive.parts(history, start):
        last = end.value // size - 1
        last = last if part.last is None else min(last, part.last)
        wanted = Stretches.joined((Stretch(part.first, last),))
        there = wanted & seen.store.get(part.timeline, _NOTHING)
        lacking = wanted - there
        uploading = lacking & seen.near.get(part.timeline, _NOTHING)
        delayed = (lacking - uploading) & held
        states = {
            WalState.FOUND: there,
            WalState.UPLOADING: uploading,
            WalState.DELAYED: delayed,
            WalState.LOST: lacking - uploading - delayed,
        }
        found += _in_order(states, part.timeline, size)
    return tuple(found)


def joined(*seen: Mapping[int, Stretches]) -> Mapping[int, Stretches]:
    """All of them together."""
    found: dict[int, Stretches] = {}
    for each in seen:
        for timeline, numbers in each.items():
            found[timeline] = found.get(timeline, _NOTHING) | numbers
    return found


def numbers_of(segments: Iterable[Segment]) -> Mapping[int, Stretches]:
    """The numbers of these segments, by timeline."""
    found: dict[int, list[int]] = {}
    for segment in segments:
        found.setdefault(segment.timeline, []).append(segment.number)
    return {timeline: Stretches.of(numbers) for timeline, numbers in found.items()}


def numbers_in(found: Iterable[Piece]) -> Mapping[int, Stretches]:
    """The numbers of the segments of all these pieces, by timeline."""
    return joined(
        *({each.first.timeline: Stretches((Stretch(each.first.number, each.last.number),))} for each in found)
    )


def in_state(found: Iterable[Piece], state: WalState) -> tuple[Piece, ...]:
    """Those in one state."""
    return tuple(piece for piece in found if piece.state is state)


def _from(number: int) -> Stretches:
    return Stretches((Stretch(number, _ENDLESS),))


def _in_order(states: Mapping[WalState, Stretches], timeline: int, size: int) -> Sequence[Piece]:
    found = [
        Piece(state, Segment(timeline, part.first, size), Segment(timeline, part.last, size))
        for state, numbers in states.items()
        for part in numbers.parts
    ]
    return sorted(found, key=lambda piece: piece.first)
