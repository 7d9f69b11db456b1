"""Which base and which WAL lead to a moment: every answer is right, and there is one wherever one is possible."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given

from drd.core.postgres.archive import Archive
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, Kept, RestorePoint, choose_base, covered
from drd.core.postgres.target import AtLsn, AtName, AtTime, Latest, Target
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment
from tests.core.postgres.cluster_model import SIZE, ClusterModel, at, clusters


def chosen(kept: Kept, target: Target, timeline: int | None = None) -> Choice | None:
    try:
        return choose_base(kept, target, timeline)
    except NotCovered:
        return None


# --- against the model -----------------------------------------------------------------------------------------------


@given(clusters())
def test_what_is_recovered_is_what_the_server_of_that_moment_held(model: ClusterModel) -> None:
    kept = model.kept
    for moment in model.questions:
        choice = chosen(kept, AtTime(moment))
        if choice is None:
            continue
        held, truth = model.recovered(choice, moment), model.truth(moment)
        assert held <= truth
        for commit in truth - held:
            # Only what a failover lost, and of which not a byte behind the switch was ever archived.
            [switch] = [each for each in choice.history.switches if each.timeline == commit.timeline]
            assert kept.archive.written(commit.timeline) <= switch.at < Lsn(commit.end)
        assert model.is_complete(choice.history, choice.base.reads_from, choice.until)


@given(clusters())
def test_there_is_an_answer_wherever_one_is_possible(model: ClusterModel) -> None:
    kept = model.kept
    ranges = covered(kept)
    for moment in model.questions:
        expected = any(is_possible(model, kept, moment, timeline, base) for timeline, base in pairs(kept))
        assert (chosen(kept, AtTime(moment)) is not None) is expected
        assert any(each.first <= moment <= each.last for each in ranges) is expected


def pairs(kept: Kept) -> list[tuple[int, Base]]:
    return [(timeline, base) for timeline in kept.timelines for base in kept.bases]


def is_possible(model: ClusterModel, kept: Kept, moment: datetime, timeline: int, base: Base) -> bool:
    history = kept.archive.history(timeline)
    if not history.contains(base.timeline, base.end) or base.ended_at > moment:
        return False
    within = [mark for mark in kept.marks if history.contains(mark.timeline, mark.lsn)]
    return not is_lost(kept, history, within, moment) and any(
        model.is_complete(history, base.reads_from, max(mark.lsn, base.end)) for mark in within if mark.moment >= moment
    )


def is_lost(kept: Kept, history: History, within: list[Mark], moment: datetime) -> bool:
    """Whether anything tells of another timeline with no mark of this one between it and that moment.

    That a base backup ended on this one tells of what came after it.
    """
    bases = [base for base in kept.bases if history.contains(base.timeline, base.end)]
    for mark in kept.marks:
        if mark not in within:
            low, high = sorted((mark.moment, moment))
            if not any(low < each.moment < high for each in within) and not any(
                mark.moment < base.ended_at < moment for base in bases
            ):
                return True
    silent = {timeline: timeline - 1 for timeline in kept.timelines if timeline not in history.lineage}
    silent |= {
        switch.timeline: switch.timeline
        for switch in history.switches
        if kept.archive.written(switch.timeline) > switch.at
    }
    for last in silent.values():
        is_before = any(each.timeline <= last and each.moment >= moment for each in within)
        is_after = any(each.timeline > last and each.moment <= moment for each in within) or any(
            base.timeline > last and base.ended_at <= moment for base in bases
        )
        if not is_before and not is_after:
            return True
    return False


@given(clusters())
def test_a_position_is_reached_from_the_newest_base_before_it(model: ClusterModel) -> None:
    kept = model.kept
    for position in range(3 * SIZE, max(model.positions.values()) + SIZE, 5):
        lsn = Lsn(position)
        choice = chosen(kept, AtLsn(lsn))
        possible = [
            (timeline, base.end)
            for timeline, base in pairs(kept)
            if kept.archive.history(timeline).contains(base.timeline, base.end)
            and base.end <= lsn
            and model.is_complete(kept.archive.history(timeline), base.reads_from, lsn)
        ]
        assert (choice is None) is (possible == [])
        if choice is not None:
            assert (choice.history.timeline, choice.base.end) == max(possible)
            assert choice.until == lsn


@given(clusters())
def test_the_latest_is_the_end_of_the_newest_timeline_or_nothing(model: ClusterModel) -> None:
    kept = model.kept
    choice = chosen(kept, Latest())
    if choice is None:
        return
    assert choice.history.timeline == max(kept.timelines)
    assert choice.until == choice.reach
    assert choice.reach >= kept.archive.end(choice.history)
    newest = {each for each in model._along(choice.history) if each.end <= choice.reach.value}
    assert model.recovered(choice, at(10**6)) == newest


# --- by hand ---------------------------------------------------------------------------------------------------------


def segments(timeline: int, first: int, last: int) -> list[Segment]:
    return [Segment(timeline, number, SIZE) for number in range(first, last + 1)]


def mark(second: float, timeline: int, lsn: int) -> Mark:
    return Mark(at(second), timeline, Lsn(lsn))


FIRST = Base("first", 1, Lsn(100), Lsn(110), at(10))
SECOND = Base("second", 1, Lsn(200), Lsn(210), at(20))
ONE_TIMELINE = Kept(
    Archive.of(SIZE, segments(1, 6, 19)),
    (FIRST, SECOND),
    (mark(5, 1, 90), mark(15, 1, 150), mark(25, 1, 250), mark(35, 1, 300)),
)


def test_the_newest_base_that_ended_before_the_moment_is_taken() -> None:
    assert choose_base(ONE_TIMELINE, AtTime(at(20))).base == SECOND
    choice = choose_base(ONE_TIMELINE, AtTime(at(19.9)))
    assert choice.base == FIRST
    assert choice.until == Lsn(250)
    assert [each.number for each in choice.segments] == list(range(6, 16))
    assert [(each.first, each.last) for each in covered(ONE_TIMELINE)] == [(at(10), at(35))]


def test_a_moment_outside_is_refused_with_what_is_covered() -> None:
    for second in (9.9, 35.1):
        with pytest.raises(NotCovered) as caught:
            choose_base(ONE_TIMELINE, AtTime(at(second)))
        assert "covered: 2026-11-22 00:00:10 UTC to 2026-11-22 00:00:35 UTC (timeline 1)" in caught.value.message


def test_a_missing_segment_is_named_and_splits_what_is_covered() -> None:
    holed = replace(ONE_TIMELINE, archive=Archive.of(SIZE, [*segments(1, 6, 10), *segments(1, 12, 19)]))
    with pytest.raises(NotCovered, match="the WAL 00000001000000000000000B is missing"):
        choose_base(holed, AtTime(at(16)))
    assert [(each.first, each.last) for each in covered(holed)] == [(at(10), at(15)), (at(20), at(35))]


def test_a_base_whose_own_wal_is_missing_is_passed_over() -> None:
    archive = Archive.of(SIZE, segments(1, 6, 12), {Segment(1, 13, SIZE): Lsn(209)})
    late = replace(ONE_TIMELINE, archive=archive)
    assert choose_base(late, Latest()).base == FIRST
    holding = replace(SECOND, holds_wal=True)
    assert choose_base(replace(late, bases=(FIRST, holding)), Latest()).base == holding


def test_without_any_archive_a_base_that_holds_its_wal_leads_to_its_own_end() -> None:
    kept = Kept(Archive(SIZE), (replace(FIRST, holds_wal=True),))
    choice = choose_base(kept, Latest())
    assert (choice.until, choice.segments) == (FIRST.end, ())
    with pytest.raises(NotCovered, match="no moment is covered"):
        choose_base(kept, AtTime(at(10)))
    with pytest.raises(NotCovered, match="there is no base backup"):
        choose_base(Kept(Archive(SIZE)), Latest())


GONE_BACK = Kept(
    # At second 40 the cluster was brought back to position 215: what timeline 1 held behind it is in no later one.
    Archive.of(SIZE, [*segments(1, 6, 19), *segments(2, 13, 25)], histories=[History(2, (Switch(1, Lsn(215)),))]),
    (FIRST, SECOND),
    (*ONE_TIMELINE.marks, mark(22, 1, 212), mark(45, 2, 230), mark(55, 2, 260)),
)


def test_a_moment_after_going_back_is_answered_by_the_timeline_that_lived_then() -> None:
    assert choose_base(GONE_BACK, AtTime(at(22))).history.timeline == 2
    assert choose_base(GONE_BACK, AtTime(at(30))).history.timeline == 1
    assert choose_base(GONE_BACK, AtTime(at(50))).history.timeline == 2
    told = [(each.first, each.last, each.timeline) for each in covered(GONE_BACK)]
    assert told == [(at(10), at(35), 1), (at(45), at(55), 2)]


def test_between_two_timelines_nothing_is_told_unless_one_is_named() -> None:
    with pytest.raises(NotCovered):
        choose_base(GONE_BACK, AtTime(at(40)))
    assert choose_base(GONE_BACK, AtTime(at(40)), timeline=2).until == Lsn(230)


def test_a_position_is_that_of_the_newest_timeline_unless_another_is_named() -> None:
    assert choose_base(GONE_BACK, AtLsn(Lsn(250))).history.timeline == 2
    assert choose_base(GONE_BACK, AtLsn(Lsn(250)), timeline=1).history.timeline == 1


def test_a_base_of_a_timeline_that_was_left_leads_to_no_later_one() -> None:
    later = Base("later", 1, Lsn(220), Lsn(240), at(30))
    kept = replace(GONE_BACK, bases=(FIRST, later))
    assert choose_base(kept, AtTime(at(50))).base == FIRST
    assert choose_base(kept, AtTime(at(32))).base == later


def test_a_restore_point_is_found_by_its_name() -> None:
    points = (
        RestorePoint("before", 1, Lsn(213)),
        RestorePoint("twice", 1, Lsn(230)),
        RestorePoint("twice", 2, Lsn(231)),
    )
    kept = replace(GONE_BACK, points=points)
    assert choose_base(kept, AtName("before")).until == Lsn(213)
    with pytest.raises(NotCovered, match="there are 2 restore points twice") as caught:
        choose_base(kept, AtName("twice"))
    assert "0/E6 or 0/E7" in caught.value.hint
    with pytest.raises(NotCovered, match="there is no restore point after") as caught:
        choose_base(kept, AtName("after"))
    assert "before, twice" in caught.value.hint


def test_the_end_of_the_wal_that_is_being_received_counts() -> None:
    archive = replace(ONE_TIMELINE.archive, partials={Segment(1, 20, SIZE): Lsn(330)})
    kept = replace(ONE_TIMELINE, archive=archive)
    assert choose_base(kept, Latest()).until == Lsn(330)
    assert choose_base(kept, AtLsn(Lsn(330))).segments[-1].number == 20
    with pytest.raises(NotCovered, match="000000010000000000000014 is missing"):
        choose_base(kept, AtLsn(Lsn(331)))
