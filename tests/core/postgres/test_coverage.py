"""Which moments are covered, and why those in between are not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from drd.core.postgres.archive import Archive
from drd.core.postgres.coverage import spans
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Kept
from drd.core.postgres.timeline import History, Switch
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


def test_one_segment_that_lacks_is_named_alone() -> None:
    _, second = spans(kept([1, 2, 3, 5, 6, 7], (120, 12), (520, 52)))
    assert second.gap == f"WAL {Segment(1, 4, SIZE).name} is missing"


def promoted(*marks: tuple[float, int]) -> Kept:
    """Two servers were promoted where a base backup ended, and of either only the marks of these minutes are there."""
    here = Lsn(SIZE + 50)
    histories = [History(1), *(History(timeline, (Switch(1, here),)) for timeline in (2, 3))]
    beginnings = {Segment(timeline, 1, SIZE): here for timeline in (1, 2, 3)}
    archive = Archive.of(SIZE, [], beginnings, histories)
    base = Base("run", 1, Lsn(SIZE), here, at(1))
    return Kept(archive, (base,), tuple(Mark(at(minute), timeline, here) for minute, timeline in marks))


def test_where_another_timeline_begins_and_no_mark_tells_of_the_moments_before_that_is_said() -> None:
    first, second = spans(promoted((4, 2), (6, 3)))
    assert (first.covered.timeline, first.covered.last, second.covered.first) == (2, at(4), at(6))
    assert second.gap == "timeline 3 begins, and nothing tells what was committed when before"


def test_moments_of_one_timeline_between_which_nothing_tells_what_was_committed_are_two_spans() -> None:
    *_, before, after = spans(promoted((2, 1), (6, 3)))
    assert (before.covered.timeline, before.covered.last) == (3, at(2))
    assert (after.covered.timeline, after.covered.first) == (3, at(6))
    assert after.gap == "nothing tells what was committed when"


def test_between_two_base_backups_with_all_wal_and_no_mark_no_wal_is_called_missing() -> None:
    kept = promoted((2, 1), (5, 3))
    whole = replace(kept.archive, partials={**kept.archive.partials, Segment(3, 1, SIZE): Lsn(SIZE + 60)})
    later = Base("later", 3, Lsn(SIZE + 50), Lsn(SIZE + 60), at(6))
    *_, after = spans(replace(kept, archive=whole, bases=(*kept.bases, later)))
    assert (after.covered.first, after.gap) == (at(5), "nothing tells what was committed when")
