"""Which groups of WAL a store lets go, and which base backups stay for the moments that are promised."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.groups import Group, ShippedGroup, archive_of, marks_of
from drd.core.postgres.letting_go import leading_runs, promised_since, superfluous_groups
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Base, Choice, Kept, choose_base
from drd.core.postgres.target import AtTime, Latest, Target
from drd.core.postgres.wal import Segment
from tests.core.postgres.cluster_model import SIZE, ClusterModel, at, clusters

SYSTEM = "7311111111111111111"


def chosen(kept: Kept, target: Target) -> Choice | None:
    try:
        return choose_base(kept, target)
    except NotCovered:
        return None


def groups_of(model: ClusterModel, store: str, most: int) -> list[ShippedGroup]:
    """The model's WAL in groups of so many segments, each with the marks of its own WAL and its timeline's switches."""
    archive, found = model.kept.archive, []
    for timeline in sorted(model.positions):
        runs: list[list[int]] = []
        for number in archive.segments.get(timeline, ()):
            if not runs or runs[-1][-1] + 1 != number or len(runs[-1]) == most:
                runs.append([])
            runs[-1].append(number)
        spans = [(run[0], Lsn((run[-1] + 1) * SIZE)) for run in runs]
        for segment, until in archive.partials.items():
            if segment.timeline == timeline:
                goes_on = bool(spans) and spans[-1][1] == segment.start
                spans = [*spans[:-1], (spans[-1][0], until)] if goes_on else [*spans, (segment.number, until)]
        found += [_shipped(model, store, timeline, first, through) for first, through in spans]
    return found


def _shipped(model: ClusterModel, store: str, timeline: int, first: int, through: Lsn) -> ShippedGroup:
    segment = Segment(timeline, first, SIZE)
    marks = tuple(mark for mark in model.marks if mark.timeline == timeline and segment.start <= mark.lsn <= through)
    group = Group(SYSTEM, segment, through, None, model.histories[timeline].switches)
    return ShippedGroup("orders", store, group, f"{store}-{segment.name}", (), marks, at(model.second))


def points_of(bases: Iterable[Base], *stores: str, system: str = SYSTEM) -> list[RecoveryPoint]:
    return [
        RecoveryPoint(
            policy="orders",
            run=base.run,
            mode=Mode.FULL,
            moment=base.ended_at,
            outcome=Outcome.SUCCEEDED,
            total_bytes=1,
            total_files=1,
            copies=tuple(Copy(store, "main", f"{store}-{base.run}") for store in stores),
            facts={
                "main": BaseRecord(
                    system, 150018, base.timeline, base.start, base.end, base.ended_at, SIZE, base.holds_wal
                ).tags()
            },
        )
        for base in bases
    ]


@dataclass(frozen=True)
class Left:
    """What is there before and after retention, of which the later knows nothing of what went."""

    before: Kept
    after: Kept


def left(model: ClusterModel, most: int, seconds: float | None, *, forgets_bases: bool) -> Left:
    shipped, points = groups_of(model, "local.wal", most), points_of(model.bases, "local")
    now = at(model.second)
    any_moment = None if seconds is None else timedelta(seconds=model.second - seconds)
    bases = tuple(model.bases)
    before = Kept(archive_of(shipped, SIZE), bases, marks_of(shipped))
    if forgets_bases and any_moment is not None:
        runs = leading_runs(points, shipped, "local", any_moment, now)
        points = [point for point in points if point.run in runs]
        bases = tuple(base for base in bases if base.run in runs)
    gone = superfluous_groups(points, shipped, "local.wal", any_moment, now)
    stay = [each for each in shipped if each not in gone]
    return Left(before, Kept(archive_of(stay, SIZE), bases, marks_of(stay)))


def is_marked(model: ClusterModel, moment: datetime) -> bool:
    """Whether the timeline that lived then had a mark before: otherwise a base alone tells that it had begun."""
    timeline = [timeline for second, timeline in model.lived if at(second) <= moment][-1]
    return any(mark.timeline == timeline and mark.moment <= moment for mark in model.marks)


models = clusters().filter(lambda model: bool(groups_of(model, "local.wal", 2)))


@given(models, st.integers(1, 4), st.integers(0, 40), st.booleans())
def test_every_promised_moment_stays_within_reach_and_is_answered_truly(
    model: ClusterModel, most: int, second: int, forgets_bases: bool
) -> None:
    second = min(second, model.second)
    found = left(model, most, second, forgets_bases=forgets_bases)
    since = promised_since(timedelta(seconds=model.second - second), at(model.second), found.before.marks)
    for moment in model.questions:
        before, after = chosen(found.before, AtTime(moment)), chosen(found.after, AtTime(moment))
        if moment >= since and (is_marked(model, moment) or not forgets_bases):
            assert (after is None) is (before is None)
        if after is not None:
            held, truth = model.recovered(after, moment), model.truth(moment)
            assert held <= truth
            for commit in truth - held:
                # Only what a failover lost, and of which not a byte behind the switch was ever archived.
                [switch] = [each for each in after.history.switches if each.timeline == commit.timeline]
                assert found.before.archive.written(commit.timeline) <= switch.at < Lsn(commit.end)


@given(models, st.integers(1, 4), st.none() | st.integers(0, 40))
def test_every_kept_base_stays_consistent_and_the_latest_moment_within_reach(
    model: ClusterModel, most: int, second: int | None
) -> None:
    found = left(model, most, None if second is None else min(second, model.second), forgets_bases=False)
    for base in found.before.bases:
        reaches = []
        for kept in (found.before, found.after):
            history = kept.archive.history(base.timeline)
            reaches.append(kept.archive.reach(history, base.reads_from) >= base.end)
        assert reaches[1] is reaches[0]
    assert chosen(found.after, Latest()) == chosen(found.before, Latest())


@given(models, st.integers(1, 4))
def test_without_a_promise_every_moment_since_the_oldest_base_stays(model: ClusterModel, most: int) -> None:
    found = left(model, most, None, forgets_bases=False)
    for moment in model.questions:
        assert chosen(found.after, AtTime(moment)) == chosen(found.before, AtTime(moment))


OLD = Base("old", 1, Lsn(3 * SIZE + 4), Lsn(3 * SIZE + 8), at(10), holds_wal=True)
NEW = Base("new", 1, Lsn(20 * SIZE + 4), Lsn(20 * SIZE + 8), at(50), holds_wal=True)


def group(first: int, end: int, second: float, store: str = "local.wal", system: str = SYSTEM) -> ShippedGroup:
    segment, through = Segment(1, first, SIZE), Lsn(end * SIZE)
    mark = Mark(at(second), 1, through)
    return ShippedGroup("orders", store, Group(system, segment, through, at(second)), "id", (), (mark,), at(second))


def names(groups: Iterable[ShippedGroup]) -> list[int]:
    return [each.group.first.number for each in groups]


def test_a_base_in_another_store_keeps_the_wal_that_leads_on_from_it() -> None:
    shipped = [group(0, 10, 20), group(10, 20, 45), group(20, 30, 60)]
    here = points_of([NEW], "local")
    assert names(superfluous_groups(here, shipped, "local.wal", None, at(60))) == [0, 10]
    both = [*here, *points_of([OLD], "offsite")]
    assert superfluous_groups(both, shipped, "local.wal", None, at(60)) == ()


def test_of_a_window_only_what_leads_there_stays() -> None:
    shipped = [group(0, 10, 20), group(10, 20, 45), group(20, 30, 60), group(30, 31, 100)]
    points = points_of([OLD, NEW], "local")
    assert names(superfluous_groups(points, shipped, "local.wal", timedelta(seconds=45), at(100))) == [0, 10]
    assert superfluous_groups(points, shipped, "local.wal", timedelta(seconds=55), at(100)) == ()


def test_a_clock_that_runs_ahead_lets_nothing_go() -> None:
    shipped = [group(0, 10, 20), group(10, 20, 45), group(20, 30, 60)]
    points = points_of([OLD, NEW], "local")
    assert superfluous_groups(points, shipped, "local.wal", timedelta(seconds=20), at(10**8)) == ()
    assert leading_runs(points, shipped, "local", timedelta(seconds=20), at(10**8)) == {"old"}


def test_wal_of_a_cluster_without_a_base_goes_when_another_has_taken_its_place() -> None:
    former = group(0, 10, 20, system="1")
    shipped = [former, group(0, 10, 60, system="2")]
    assert superfluous_groups([], shipped, "local.wal", None, at(70)) == ()
    assert superfluous_groups(points_of([NEW], "local", system="2"), shipped, "local.wal", None, at(70)) == (former,)
    both = points_of([OLD], "local", system="1") + points_of([NEW], "local", system="2")
    assert former not in superfluous_groups(both, shipped, "local.wal", None, at(70))


def test_bases_of_a_cluster_that_is_no_more_stay_as_long_as_it_lived_in_the_window() -> None:
    shipped = [group(0, 10, 20, system="1"), group(0, 30, 60, system="2")]
    points = points_of([OLD], "local", system="1") + points_of([NEW], "local", system="2")
    assert leading_runs(points, shipped, "local", timedelta(seconds=45), at(60)) == {"old", "new"}
    assert leading_runs(points, shipped, "local", timedelta(seconds=30), at(60)) == {"new"}


def test_behind_a_gap_the_first_whole_base_leads_on() -> None:
    behind = [replace(NEW, run=f"behind-{each}", start=Lsn(each), end=Lsn(each + 4)) for each in (500, 520)]
    shipped = [group(0, 10, 20), group(12, 40, 60)]
    points = points_of([OLD, *behind], "local")
    assert leading_runs(points, shipped, "local", timedelta(seconds=45), at(60)) == {"old", "behind-500"}


def test_bases_of_a_former_cluster_stay_when_the_clock_runs_ahead_or_its_wal_has_no_marks() -> None:
    former, here = group(0, 10, 40, system="1"), group(0, 30, 60, system="2")
    unmarked = replace(former, marks=(), group=replace(former.group, moment=None))
    points = points_of([OLD], "local", system="1") + points_of([NEW], "local", system="2")
    for shipped in ([former, here], [unmarked, here]):
        assert leading_runs(points, shipped, "local", timedelta(seconds=30), at(60)) == {"old", "new"}
        assert leading_runs(points, shipped, "local", timedelta(seconds=30), at(10**8)) == {"old", "new"}
        assert leading_runs(points, shipped, "local", timedelta(seconds=10), at(60)) == {"new"}
