"""Up to which moment a store by itself leads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.reached import reached, rolled_forward
from drd.core.postgres.timeline import Switch
from drd.core.postgres.wal import Segment

SIZE = 2**20
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RECORD = BaseRecord("7", 150018, 1, Lsn(2 * SIZE), Lsn(2 * SIZE + 500), NOON, SIZE, holds_wal=False)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def a_point(*parts: str, record: BaseRecord | None = RECORD) -> RecoveryPoint:
    copies = tuple(Copy("local", part, part, proven_at=NOON) for part in parts or ("main",))
    facts = {} if record is None else {"main": record.tags()}
    return RecoveryPoint("orders", "01RUN", Mode.FULL, NOON, Outcome.SUCCEEDED, 1, 1, copies, facts=facts)


def wal(
    first: int, through: float, *marks: tuple[float, float], timeline: int = 1, system: str = "7", left_at: float = 0
) -> ShippedGroup:
    """A group from a segment up to a position, with marks as (minute, position), positions counted in segments."""
    switches = (Switch(1, Lsn(int(left_at * SIZE))),) if left_at else ()
    group = Group(system, Segment(timeline, first, SIZE), Lsn(int(through * SIZE)), None, switches)
    told = tuple(Mark(at(minute), timeline, Lsn(int(place * SIZE))) for minute, place in marks)
    return ShippedGroup("orders", "local.wal", group, "s", (), told)


def test_wal_beside_a_base_backup_leads_to_the_newest_moment_that_it_tells_of() -> None:
    assert reached(a_point(), [wal(2, 5, (1, 3), (2, 4.5)), wal(5, 6.5, (3, 6.2), (4, 9))]) == at(3)


def test_nothing_leads_on_from_a_point_that_is_no_base_backup_or_has_no_wal_of_its_own_cluster() -> None:
    led_on = wal(2, 5, (2, 4))
    assert reached(a_point(record=None), [led_on]) == NOON
    assert reached(a_point(), []) == NOON
    assert reached(a_point(), [replace(led_on, group=replace(led_on.group, system_identifier="8"))]) == NOON


def test_wal_that_does_not_reach_the_end_of_the_base_backup_leads_nowhere() -> None:
    assert reached(a_point(), [wal(3, 5, (2, 4))]) == NOON


def test_after_a_promotion_the_new_timeline_leads_on_where_it_left_the_old_one_behind_the_base() -> None:
    old = wal(2, 4.5, (1, 3))
    assert reached(a_point(), [old, wal(4, 6, (9, 5.5), timeline=2, left_at=4.5)]) == at(9)
    assert reached(a_point(), [old, wal(2, 6, (9, 5.5), timeline=2, left_at=2.0001)]) == at(1), "it left before its end"


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(2, 9)), max_size=8), st.floats(2, 9), st.floats(0, 3))
def test_more_wal_never_leads_less_far(marks: list[tuple[float, float]], through: float, more: float) -> None:
    shorter, longer = wal(2, through, *marks), wal(2, through + more, *marks)
    assert NOON <= reached(a_point(), [shorter]) <= reached(a_point(), [longer])


def test_that_a_restore_has_read_the_base_backup_proves_nothing_of_what_wal_adds() -> None:
    shipped = [wal(2, 5, (2, 4))]
    found = rolled_forward(a_point(), shipped)
    assert (found.moment, [copy.proven_at for copy in found.copies]) == (at(2), [None])
    assert rolled_forward(a_point(), []) == a_point()


def test_wal_leads_no_other_part_of_a_point_anywhere() -> None:
    whole = a_point("main", "files")
    assert rolled_forward(whole, [wal(2, 5, (2, 4))]) is whole
