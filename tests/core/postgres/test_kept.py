"""What the catalogue knows, as the way to a moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.kept import needed_groups, plan_recovery
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.target import AtLsn, AtTime, Latest
from drd.core.postgres.timeline import Switch
from drd.core.postgres.wal import Segment

SIZE = 2**20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def point(run: str, segment: int, at: datetime, system: str = "77", timeline: int = 1) -> RecoveryPoint:
    start = Lsn(segment * SIZE + 40)
    record = BaseRecord(system, 150018, timeline, start, start + 400, at, SIZE, holds_wal=True)
    return RecoveryPoint(
        "orders", run, Mode.FULL, at, Outcome.SUCCEEDED, 100, 3, (Copy("local", "main", run),),
        facts={"main": tuple(sorted(("source=postgres", *record.tags())))},
    )  # fmt: skip


def group(
    first: int, through: Lsn, at: datetime, store: str = "local.wal", system: str = "77", *, after: Lsn | None = None
) -> ShippedGroup:
    timeline = 1 if after is None else 2
    switches = () if after is None else (Switch(1, after),)
    held = Group(system, Segment(timeline, first, SIZE), through, at, switches)
    return ShippedGroup("orders", store, held, f"{store}-{first}", marks=(Mark(at, timeline, through),), shipped=at)


POINTS = (point("01A", 2, NOON), point("01B", 6, NOON + minutes(60)))
SHIPPED = (
    group(2, Lsn(5 * SIZE), NOON + minutes(30)),
    group(5, Lsn(8 * SIZE + 500), NOON + minutes(90)),
    group(5, Lsn(7 * SIZE), NOON + minutes(70), "offsite.wal"),
)


def test_a_moment_leads_to_the_newest_base_before_it_and_the_groups_behind_that() -> None:
    recovery = plan_recovery(POINTS, SHIPPED, AtTime(NOON + minutes(20)))
    assert recovery is not None
    assert recovery.choice.base.run == "01A"
    assert [each.group.name for each in needed_groups(recovery, SHIPPED, ["local.wal"])] == [SHIPPED[0].group.name]
    later = plan_recovery(POINTS, SHIPPED, AtTime(NOON + minutes(80)))
    assert later is not None
    assert (later.choice.base.run, later.choice.until) == ("01B", Lsn(8 * SIZE + 500))


def test_latest_goes_to_the_end_of_what_any_store_has() -> None:
    recovery = plan_recovery(POINTS, SHIPPED, Latest())
    assert recovery is not None
    assert recovery.choice.until == Lsn(8 * SIZE + 500)
    [only] = needed_groups(recovery, SHIPPED, ["offsite.wal", "local.wal"])
    assert only.store == "local.wal"


def test_of_two_stores_that_have_as_much_the_first_gives_it() -> None:
    twin = replace(SHIPPED[1], store="offsite.wal", snapshot_id="twin")
    recovery = plan_recovery(POINTS, SHIPPED, Latest())
    assert recovery is not None
    for stores in (["offsite.wal", "local.wal"], ["local.wal", "offsite.wal"]):
        [only] = needed_groups(recovery, (*SHIPPED, twin), stores)
        assert only.store == stores[0]


def test_the_history_of_the_targets_timeline_is_fetched_although_no_segment_of_it_is_read() -> None:
    shipped = (SHIPPED[0], group(4, Lsn(6 * SIZE), NOON + minutes(50), after=Lsn(4 * SIZE + 100)))
    recovery = plan_recovery(POINTS[:1], shipped, AtLsn(Lsn(3 * SIZE)))
    assert recovery is not None
    assert recovery.choice.history.timeline == 2
    assert len(needed_groups(recovery, shipped, ["local.wal"])) == 2


def test_without_wal_or_without_a_base_of_the_same_cluster_there_is_nothing_to_replay() -> None:
    assert plan_recovery(POINTS, (), Latest()) is None
    assert plan_recovery((), SHIPPED, Latest()) is None
    assert plan_recovery((point("01C", 2, NOON, system="99"),), SHIPPED, Latest()) is None
    bad = tuple(replace(each, outcome=Outcome.FAILED) for each in POINTS)
    assert plan_recovery(bad, SHIPPED, Latest()) is None


def test_an_older_cluster_still_leads_to_its_own_moments() -> None:
    newer = (point("02A", 2, NOON + minutes(200), system="99"),)
    wal = (group(2, Lsn(5 * SIZE), NOON + minutes(230), system="99"),)
    recovery = plan_recovery((*POINTS, *newer), (*SHIPPED, *wal), AtTime(NOON + minutes(20)))
    assert recovery is not None
    assert recovery.system_identifier == "77"
    latest = plan_recovery((*POINTS, *newer), (*SHIPPED, *wal), Latest())
    assert latest is not None
    assert latest.system_identifier == "99"


def test_a_moment_that_is_not_covered_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotCovered, match="covered: 2026-11-22 12:00:00 UTC to 2026-11-22 13:30:00 UTC"):
        plan_recovery(POINTS, SHIPPED, AtTime(NOON + minutes(300)))
