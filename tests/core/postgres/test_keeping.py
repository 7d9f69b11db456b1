"""What may go of the WAL: nothing that a kept base, or any moment that is promised, needs."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.archive import Archive
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.keeping import needed_wal, removable_wal
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, Kept, choose_base
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.target import AtTime, Latest, Target
from drd.core.postgres.timeline import History, Switch
from tests.core.postgres.cluster_model import SIZE, ClusterModel, at, clusters

OF_A_FEW_SEGMENTS = Base("first", 1, Lsn(100), Lsn(150), at(10))
SECOND = Base("second", 1, Lsn(300), Lsn(310), at(20))
THIRD = Base("third", 1, Lsn(500), Lsn(510), at(30))


def chosen(kept: Kept, target: Target) -> Choice | None:
    try:
        return choose_base(kept, target)
    except NotCovered:
        return None


def shortened(kept: Kept, removed: dict[int, Stretches]) -> Kept:
    left = {
        timeline: numbers - removed.get(timeline, Stretches()) for timeline, numbers in kept.archive.segments.items()
    }
    return replace(kept, archive=replace(kept.archive, segments=left))


@given(clusters(), st.integers(0, 40))
def test_every_promised_moment_stays_within_reach(model: ClusterModel, second: int) -> None:
    kept = model.kept
    left = shortened(kept, dict(removable_wal(kept, at(second))))
    for moment in model.questions:
        before = chosen(kept, AtTime(moment))
        if moment >= at(second):
            assert chosen(left, AtTime(moment)) == before
        elif (after := chosen(left, AtTime(moment))) is not None:
            assert before is not None
            assert (after.base, after.until) == (before.base, before.until)


@given(clusters(), st.none() | st.integers(0, 40))
def test_every_kept_base_stays_consistent_and_the_latest_moment_within_reach(
    model: ClusterModel, second: int | None
) -> None:
    kept = model.kept
    left = shortened(kept, dict(removable_wal(kept, None if second is None else at(second))))
    for base in kept.bases:
        history = kept.archive.history(base.timeline)
        before, after = (each.archive.reach(history, base.reads_from) >= base.end for each in (kept, left))
        assert after is before
    assert chosen(left, Latest()) == chosen(kept, Latest())


@given(clusters(), st.integers(0, 40))
def test_removing_twice_removes_nothing_more(model: ClusterModel, second: int) -> None:
    left = shortened(model.kept, dict(removable_wal(model.kept, at(second))))
    assert removable_wal(left, at(second)) == {}


def whole(*bases: Base) -> Kept:
    return Kept(Archive(SIZE, {1: Stretches.of(range(40))}), bases)


def test_from_the_newest_base_before_the_window_everything_stays_and_of_older_ones_what_they_need() -> None:
    kept = whole(OF_A_FEW_SEGMENTS, SECOND, THIRD)
    removed = removable_wal(kept, at(25))
    assert list(removed[1]) == [0, 1, 2, 3, 4, 5, *range(10, 18)]
    assert list(removable_wal(kept, None)[1]) == [*range(6), *range(10, 18), *range(20, 31)]
    assert list(removable_wal(kept, at(5))[1]) == list(range(6))


def test_a_base_whose_own_wal_has_a_gap_lets_nothing_go_of_what_leads_on_from_the_one_before() -> None:
    gap = Kept(Archive(SIZE, {1: Stretches.of([*range(6, 31), *range(32, 40)])}), (OF_A_FEW_SEGMENTS, SECOND, THIRD))
    assert list(removable_wal(gap, None)[1]) == list(range(10, 18))


def test_what_a_base_reached_tells_of_a_switch_when_the_wal_is_gone() -> None:
    histories = {2: History(2, (Switch(1, Lsn(75)),))}
    beyond = Base("beyond", 1, Lsn(53), Lsn(80), at(5), holds_wal=True)
    after = Base("after", 2, Lsn(75), Lsn(80), at(7), holds_wal=True)
    kept = Kept(Archive(SIZE, {1: Stretches.of([3, 4])}, {}, histories), (beyond, after), (Mark(at(8), 2, Lsn(80)),))
    left = shortened(kept, dict(removable_wal(kept, at(7))))
    assert chosen(left, AtTime(at(7.5))) == chosen(kept, AtTime(at(7.5)))


def test_an_older_base_that_holds_its_wal_needs_none() -> None:
    kept = whole(replace(OF_A_FEW_SEGMENTS, holds_wal=True), THIRD)
    assert list(removable_wal(kept, None)[1]) == list(range(31))


def test_without_a_base_and_on_a_timeline_without_one_nothing_goes() -> None:
    assert removable_wal(whole(), None) == {}
    promoted = Archive(SIZE, {1: Stretches.of(range(40)), 2: Stretches.of(range(10, 50))}, {}, {2: second_history()})
    assert 2 not in removable_wal(Kept(promoted, (THIRD,)), None)


def second_history() -> History:
    return History(2, (Switch(1, Lsn(170)),))


def test_what_is_needed_is_named_whether_it_is_there_or_not() -> None:
    missing = Kept(Archive(SIZE, {1: Stretches.of([33, 34])}), (OF_A_FEW_SEGMENTS, THIRD))
    needed = needed_wal(missing, None)[1]
    assert [number for number in range(40) if number in needed] == [*range(6, 40)]


def test_a_base_that_ends_where_its_timeline_begins_needs_no_segment_of_that() -> None:
    end = Lsn(10 * SIZE)
    base = Base("first", 2, Lsn(100), end, at(10))
    histories = {2: History(2, (Switch(1, end),)), 3: History(3, (Switch(1, Lsn(50)),))}
    kept = Kept(Archive(SIZE, {}, {}, histories), (base,), (Mark(at(20), 2, end), Mark(at(30), 3, end)))
    needed = needed_wal(kept, at(25))
    assert [number for number in range(6, 10) if number in needed[1]] == [6, 7, 8, 9]
    assert 2 not in needed
