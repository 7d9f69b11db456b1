"""Which moments are covered, and why those in between are not."""

from datetime import UTC, datetime, timedelta

from drd.core.postgres.archive import Archive
from drd.core.postgres.coverage import spans
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Kept
from drd.core.postgres.wal import Segment

SIZE = 100
DAY = datetime(2026, 11, 22, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return DAY + timedelta(minutes=minutes)


def kept(numbers: list[int], *bases: tuple[int, float]) -> Kept:
    """WAL whose byte 10 × m is written in minute m, and base backups that end at a position and in a minute."""
    archive = Archive.of(SIZE, [Segment(1, number, SIZE) for number in numbers])
    marks = tuple(Mark(at(number * 10 + 5), 1, Lsn(number * SIZE + 50)) for number in numbers)
    made = tuple(Base(f"run {end}", 1, Lsn(end - 5), Lsn(end), at(minute)) for end, minute in bases)
    return Kept(archive, made, marks)


def test_a_gap_is_named_with_the_wal_that_is_missing() -> None:
    first, second = spans(kept([1, 2, 3, 6, 7], (120, 12), (620, 62)))
    assert (first.covered.first, first.covered.last, first.gap) == (at(12), at(35), "")
    assert (second.covered.first, second.covered.last) == (at(62), at(75))
    assert second.gap == f"WAL {Segment(1, 4, SIZE).name} to {Segment(1, 5, SIZE).name} (2 segments) is missing"


def test_without_a_gap_there_is_one_range() -> None:
    [only] = spans(kept([1, 2, 3, 4, 5, 6, 7], (120, 12), (620, 62)))
    assert (only.covered.first, only.covered.last, only.gap) == (at(12), at(75), "")


def test_without_a_base_backup_nothing_is_covered() -> None:
    assert spans(kept([1, 2])) == ()
