"""A cluster in a few numbers: it commits, is backed up, is promoted, goes back, and loses segments of its archive.

Moments are whole seconds, one thing a second, so that a question at half a second has one answer. Segments are tiny.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from drd.core.postgres.archive import Archive
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, Kept
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment, needed

SIZE = 16
BEGINNING = datetime(2026, 11, 22, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGINNING + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Commit:
    second: int
    timeline: int
    end: int


@dataclass
class ClusterModel:
    second: int = 0
    timeline: int = 1
    positions: dict[int, int] = field(default_factory=lambda: {1: 3 * SIZE})
    """By timeline, how far it was written."""
    begun: dict[int, int] = field(default_factory=lambda: {1: 3 * SIZE})
    lived: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1)])
    """From which second on which timeline was written."""
    histories: dict[int, History] = field(default_factory=lambda: {1: History(1)})
    commits: list[Commit] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    bases: list[Base] = field(default_factory=list)
    lost: set[tuple[int, int]] = field(default_factory=set)
    """Timelines and numbers of segments."""

    def commit(self, byte_count: int) -> None:
        self._tick(byte_count)
        self.commits.append(Commit(self.second, self.timeline, self.positions[self.timeline]))

    def mark(self) -> None:
        self._tick(0)
        self.marks.append(Mark(at(self.second), self.timeline, self._here))

    def back_up(self, byte_count: int, holds_wal: bool) -> None:
        start = self._here
        self._tick(1 + byte_count)
        self.bases.append(
            Base(f"run-{self.second}", self.timeline, start, self._here, at(self.second), holds_wal=holds_wal)
        )

    def promote(self, choice: int, back: int) -> None:
        """Begin a new timeline from any earlier one, at most `back` bytes before its end."""
        self._tick(0)
        old = sorted(self.positions)[choice % len(self.positions)]
        place = max(self.begun[old], self.positions[old] - back)
        new = max(self.positions) + 1
        self.histories[new] = History(new, (*self.histories[old].switches, Switch(old, Lsn(place))))
        self.timeline, self.positions[new], self.begun[new] = new, place, place
        self.lived.append((self.second, new))

    def lose(self, choice: int) -> None:
        known = self._whole()
        if known:
            segment = known[choice % len(known)]
            self.lost.add((segment.timeline, segment.number))

    @property
    def kept(self) -> Kept:
        whole = [each for each in self._whole() if (each.timeline, each.number) not in self.lost]
        partials = {
            Segment(timeline, end // SIZE, SIZE): Lsn(end) for timeline, end in self.positions.items() if end % SIZE
        }
        archive = Archive.of(SIZE, whole, partials, self.histories.values())
        return Kept(archive, tuple(self.bases), tuple(self.marks))

    @property
    def questions(self) -> list[datetime]:
        return [at(second + 0.5) for second in range(self.second + 1)]

    def truth(self, moment: datetime) -> set[Commit]:
        """What the server that lived at that moment held."""
        timeline = [timeline for second, timeline in self.lived if at(second) <= moment][-1]
        return {each for each in self._along(self.histories[timeline]) if at(each.second) <= moment}

    def recovered(self, choice: Choice, moment: datetime) -> set[Commit]:
        """What PostgreSQL would make of it: it replays in order until a commit after that moment, or to the end."""
        found: set[Commit] = set()
        for commit in sorted(self._along(choice.history), key=lambda each: each.end):
            if commit.end > choice.base.end.value and (commit.end > choice.reach.value or at(commit.second) > moment):
                break
            found.add(commit)
        return found

    def is_complete(self, history: History, start: Lsn, end: Lsn) -> bool:
        """Whether all segments for this are there, looked at one by one."""
        archive = self.kept.archive
        wanted = list(needed(history, start, end, SIZE))
        held = {Segment(timeline, number, SIZE) for timeline, each in archive.segments.items() for number in each}
        missing = [each for each in wanted if each not in held]
        if missing == wanted[-1:] and missing and archive.partials.get(missing[0], Lsn(0)) >= end:
            return True
        return not missing

    def _along(self, history: History) -> list[Commit]:
        return [each for each in self.commits if history.contains(each.timeline, Lsn(each.end))]

    def _whole(self) -> list[Segment]:
        return [
            Segment(timeline, number, SIZE)
            for timeline, end in self.positions.items()
            for number in range(self.begun[timeline] // SIZE, end // SIZE)
        ]

    @property
    def _here(self) -> Lsn:
        return Lsn(self.positions[self.timeline])

    def _tick(self, byte_count: int) -> None:
        self.second += 1
        self.positions[self.timeline] += byte_count


_bytes = st.integers(1, 2 * SIZE)
_steps = st.one_of(
    st.tuples(st.just("commit"), _bytes),
    st.tuples(st.just("commit"), _bytes),
    st.tuples(st.just("mark")),
    st.tuples(st.just("mark")),
    st.tuples(st.just("back_up"), _bytes, st.booleans()),
    st.tuples(st.just("promote"), st.integers(0, 3), st.sampled_from([0, 0, 5, 3 * SIZE])),
    st.tuples(st.just("lose"), st.integers(0, 30)),
)


@st.composite
def clusters(draw: st.DrawFn) -> ClusterModel:
    """Any cluster with a past of some forty steps."""
    model = ClusterModel()
    model.back_up(draw(_bytes), draw(st.booleans()))
    for name, *arguments in draw(st.lists(_steps, min_size=5, max_size=40)):
        getattr(model, name)(*arguments)
    return model
