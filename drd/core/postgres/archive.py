"""What there is of a cluster's WAL, and how far it goes from a position along a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.stretches import Stretch, Stretches
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Gap, Segment

_NOTHING = Stretches()


@dataclass(frozen=True, slots=True)
class Part:
    """The segments of one timeline that recovery along a later one, or itself, reads: from `first` to `last`."""

    timeline: int
    first: int
    last: int | None
    """None: without end."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The WAL of one cluster that is safe somewhere."""

    segment_bytes: int
    segments: Mapping[int, Stretches] = field(default_factory=dict)
    """By timeline, the numbers of whole segments."""
    partials: Mapping[Segment, Lsn] = field(default_factory=dict)
    """Segments of which only the beginning is there, and where that ends."""
    histories: Mapping[int, History] = field(default_factory=dict)
    """By timeline, what it continues, as its history file says."""

    @classmethod
    def of(
        cls,
        segment_bytes: int,
        whole: Iterable[Segment],
        partials: Mapping[Segment, Lsn] | None = None,
        histories: Iterable[History] = (),
    ) -> Archive:
        """An archive of these files."""
        numbers: dict[int, list[int]] = {}
        for segment in whole:
            numbers.setdefault(segment.timeline, []).append(segment.number)
        return cls(
            segment_bytes,
            {timeline: Stretches.of(found) for timeline, found in numbers.items()},
            partials or {},
            {history.timeline: history for history in histories},
        )

    @property
    def timelines(self) -> tuple[int, ...]:
        """All that anything is known of, oldest first."""
        switched = (switch.timeline for history in self.histories.values() for switch in history.switches)
        partial = (segment.timeline for segment in self.partials)
        return tuple(sorted({*self.segments, *self.histories, *switched, *partial}))

    def history(self, timeline: int) -> History:
        """What a timeline continues. One whose history file is missing can only be followed from its own bases."""
        return self.histories.get(timeline, History(timeline))

    def parts(self, history: History, start: Lsn) -> Iterator[Part]:
        """The segments that recovery reads from `start` on along a timeline; see `drd.core.postgres.wal.needed`."""
        number = start.value // self.segment_bytes
        for switch in history.switches:
            # The segment in which a timeline was left is read from the later one.
            last = switch.at.value // self.segment_bytes - 1
            if number <= last:
                yield Part(switch.timeline, number, last)
                number = last + 1
        yield Part(history.timeline, number, None)

    def reach(self, history: History, start: Lsn) -> Lsn:
        """How far WAL goes without a gap from `start` along a timeline; `start` itself when it does not begin there."""
        size = self.segment_bytes
        for part in self.parts(history, start):
            stretch = self.segments.get(part.timeline, _NOTHING).around(part.first)
            end = part.first if stretch is None else stretch.last + 1
            if part.last is None or end <= part.last:
                partial = self.partials.get(Segment(part.timeline, end, size), Lsn(0))
                return max(start, Lsn(end * size), partial)
        raise AssertionError("the last part has no end")

    def end(self, history: History) -> Lsn:
        """The end of all WAL along a timeline, gaps or not; zero without any."""
        size, found = self.segment_bytes, Lsn(0)
        for part in self.parts(history, Lsn(0)):
            owned = Stretches((Stretch(part.first, part.last if part.last is not None else 2**64),))
            for stretch in (self.segments.get(part.timeline, _NOTHING) & owned).parts[-1:]:
                found = Lsn((stretch.last + 1) * size)
            for segment, until in self.partials.items():
                if segment.timeline == part.timeline and segment.number in owned:
                    found = max(found, until)
        return found

    def written(self, timeline: int) -> Lsn:
        """The end of all WAL of one timeline that is there, zero without any."""
        ends = [(part.last + 1) * self.segment_bytes for part in self.segments.get(timeline, _NOTHING).parts[-1:]]
        ends += [until.value for segment, until in self.partials.items() if segment.timeline == timeline]
        return Lsn(max(ends, default=0))

    def gaps(self, history: History, start: Lsn, end: Lsn) -> tuple[Gap, ...]:
        """What is missing of the WAL from `start` up to, not including, `end` along a timeline."""
        size, found = self.segment_bytes, []
        if end <= start:
            return ()
        last_of_all = (end.value - 1) // size
        for part in self.parts(history, start):
            last = last_of_all if part.last is None else min(part.last, last_of_all)
            missing = Stretches.joined([Stretch(part.first, last)]) - self.segments.get(part.timeline, _NOTHING)
            for stretch in missing.parts:
                first, final = (Segment(part.timeline, each, size) for each in (stretch.first, stretch.last))
                if final.number == last_of_all and self.partials.get(final, Lsn(0)) >= end:
                    if first == final:
                        continue
                    final = Segment(part.timeline, final.number - 1, size)
                found.append(Gap(first, final))
        return tuple(found)
