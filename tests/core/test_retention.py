"""What retention may really remove."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.catalogue import Anchored, StoreRecord
from drd.core.points import Copy, RecoveryPoint, Standing, newest_good
from drd.core.policy import Mode, Outcome
from drd.core.retention import (
    ANCHORED_MONTHS_KEPT,
    ANCHORS_KEPT,
    Candidate,
    Retention,
    decide,
    superfluous_anchors,
)

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
KEPT = ("daily snapshot",)


def a_point(
    hour: int,
    *stores: str,
    outcome: Outcome = Outcome.SUCCEEDED,
    standing: Standing = Standing.CLAIMED,
    parts: tuple[str, ...] = ("main",),
    arrived: int | None = None,
) -> RecoveryPoint:
    came = None if arrived is None else START + timedelta(hours=arrived)
    copies = tuple(
        Copy(store, part, f"{hour:02}{store[0]}{part}", standing, arrived=came)
        for store in stores or ("local",)
        for part in parts
    )
    return RecoveryPoint("orders", f"{hour:02}RUN", Mode.FULL, START + timedelta(hours=hour), outcome, 1, 1, copies)


def judged(points: list[RecoveryPoint], kept: set[int] = frozenset(), **more: object) -> Retention:  # type: ignore[assignment]
    """restic keeps the points of these hours and removes the others."""
    candidates = [
        Candidate(copy.snapshot_id, point.moment, KEPT if int(point.run[:2]) in kept else ())
        for point in points
        for copy in point.copies
        if copy.store == "local"
    ]
    required = int(more.pop("required", 1))  # type: ignore[call-overload]
    return decide(candidates, tuple(points), "local", required, **more)  # type: ignore[arg-type]


def guards(retention: Retention) -> dict[str, str]:
    return {v.snapshot_id[:2]: v.reasons[0] for v in retention.verdicts if v.is_guarded}


def test_what_promised_moments_are_reached_from_stays_and_says_why() -> None:
    points = [a_point(1), a_point(2), a_point(3)]
    found = judged(points, kept={2}, leading=frozenset({"01RUN"}))
    assert guards(found)["01"] == "leads to moments that any_moment promises"
    assert "01" not in gone(found)


def gone(retention: Retention) -> set[str]:
    return {each[:2] for each in retention.forgotten}


def test_what_restic_lets_go_goes() -> None:
    retention = judged([a_point(1), a_point(2), a_point(3)], kept={3})
    assert gone(retention) == {"01", "02"}
    assert guards(retention) == {}


def test_the_newest_good_point_is_kept() -> None:
    retention = judged([a_point(1), a_point(2), a_point(3, outcome=Outcome.INCOMPLETE)])
    assert gone(retention) == {"01", "03"}
    assert guards(retention) == {"02": "newest good recovery point"}


def test_the_newest_proven_point_is_kept() -> None:
    retention = judged([a_point(1), a_point(2, standing=Standing.PROVEN), a_point(3), a_point(4)], kept={4})
    assert gone(retention) == {"01", "03"}
    assert guards(retention) == {"02": "newest proven recovery point"}


def test_the_newest_point_of_which_all_data_was_read_again_is_kept() -> None:
    points = [a_point(1, arrived=1), a_point(2, arrived=5), a_point(3, arrived=3), a_point(4, arrived=9), a_point(6)]
    retention = judged(points, kept={6}, read_through=START + timedelta(hours=4))
    assert gone(retention) == {"01", "02", "04"}
    assert guards(retention) == {"03": "newest recovery point of which all data was read again"}


def test_a_damaged_copy_is_no_good_point() -> None:
    retention = judged([a_point(1), a_point(2, standing=Standing.DAMAGED)])
    assert guards(retention) == {"01": "newest good recovery point"}


def test_a_good_point_stands_in_for_a_newer_one_that_restic_kept_in_its_place() -> None:
    points = [a_point(1), a_point(2), a_point(3, outcome=Outcome.INCOMPLETE), a_point(4), a_point(5)]
    retention = judged(points, kept={3, 5})
    assert gone(retention) == {"01", "04"}
    assert guards(retention) == {"02": "stands in for a newer one that is not good"}


def test_all_parts_of_a_point_that_stands_in_are_kept() -> None:
    parts = ("files", "database")
    points = [a_point(2, parts=parts), a_point(3, outcome=Outcome.INCOMPLETE, parts=parts), a_point(5, parts=parts)]
    assert gone(judged(points, kept={3, 5})) == set()


def test_a_part_is_not_forgotten_while_another_of_its_point_is_kept() -> None:
    points = [a_point(1, parts=("files", "database")), a_point(2, parts=("files", "database"))]
    candidates = [
        Candidate("01lfiles", points[0].moment, KEPT),
        Candidate("01ldatabase", points[0].moment, ()),
        Candidate("02lfiles", points[1].moment, KEPT),
        Candidate("02ldatabase", points[1].moment, KEPT),
    ]
    retention = decide(candidates, tuple(points), "local", 1)
    assert retention.forgotten == ()
    assert guards(retention) == {"01": "another part of the same recovery point is kept"}


def test_nothing_goes_below_the_required_copies() -> None:
    points = [a_point(1, "local", "offsite"), a_point(2), a_point(3)]
    retention = judged(points, kept={3}, required=2)
    assert gone(retention) == set()
    assert guards(retention)["02"] == "no newer recovery point has 2 copies"
    points.append(a_point(4, "local", "offsite"))
    assert gone(judged(points, kept={4}, required=2)) == {"01", "02", "03"}


def test_a_copy_in_a_damaged_store_is_none_of_those_that_are_required() -> None:
    points = [a_point(1, "local", "offsite"), a_point(2, "local", "offsite"), a_point(3, "local", "offsite")]
    assert gone(judged(points, kept={3}, required=2)) == {"01", "02"}
    assert gone(judged(points, kept={3}, required=2, damaged=frozenset({"offsite"}))) == set()


def test_the_newest_point_of_a_damaged_store_that_a_person_released_still_stays_there() -> None:
    points = [a_point(1, "local", "offsite"), a_point(2, "local", "offsite")]
    assert guards(judged(points, damaged=frozenset({"local"}))) == {"02": "newest good recovery point"}


def test_a_snapshot_that_the_journal_does_not_know_is_kept() -> None:
    retention = decide([Candidate("ff", START, ())], (a_point(1),), "local", 1)
    assert guards(retention) == {"ff": "the journal does not know it yet"}


def test_more_than_half_at_once_needs_a_person() -> None:
    points = [a_point(hour) for hour in range(10)]
    held = judged(points, kept={7, 8, 9})
    assert held.held == "it would remove 7 of 10 snapshots at once"
    assert held.forgotten == ()
    assert len(judged(points, kept={7, 8, 9}, by_a_person=True).forgotten) == 7
    assert len(judged(points, kept={5, 6, 7, 8, 9}).forgotten) == 5


def test_of_a_few_the_share_is_not_looked_at() -> None:
    assert len(judged([a_point(hour) for hour in range(7)], kept={6}).forgotten) == 6


def test_a_hold_stops_also_a_person_and_says_why() -> None:
    retention = judged([a_point(1), a_point(2)], kept={2}, hold="damage was found", by_a_person=True)
    assert (retention.held, retention.forgotten) == ("damage was found", ())


def test_a_hold_where_nothing_would_go_is_not_told() -> None:
    assert judged([a_point(1)], kept={1}, hold="damage was found").held == ""


some_points = st.lists(
    st.builds(
        a_point,
        st.integers(0, 30),
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.INCOMPLETE, Outcome.FAILED, Outcome.CANCELLED]),
        standing=st.sampled_from(list(Standing)),
        parts=st.sampled_from([("main",), ("files", "database")]),
    ),
    unique_by=lambda point: point.run,
    max_size=14,
)


@given(points=some_points, kept=st.sets(st.integers(0, 30)), person=st.booleans(), required=st.integers(1, 3))
def test_whatever_restic_proposes_the_newest_good_and_the_newest_proven_point_stay_whole(
    points: list[RecoveryPoint], kept: set[int], person: bool, required: int
) -> None:
    retention = judged(points, kept, by_a_person=person, required=required)
    forgotten = set(retention.forgotten)
    proven = tuple(p for p in points if any(c.standing is Standing.PROVEN for c in p.copies))
    for point in (newest_good(tuple(points), store="local"), newest_good(proven, store="local")):
        assert point is None or not forgotten & {copy.snapshot_id for copy in point.copies}
    restic_keeps = {c.snapshot_id for p in points if int(p.run[:2]) in kept for c in p.copies}
    assert not forgotten & restic_keeps
    assert len(retention.verdicts) == sum(len(p.copies) for p in points)


@given(points=some_points, kept=st.sets(st.integers(0, 30)))
def test_no_point_is_forgotten_in_part(points: list[RecoveryPoint], kept: set[int]) -> None:
    forgotten = set(judged(points, kept, by_a_person=True).forgotten)
    for point in points:
        ids = {copy.snapshot_id for copy in point.copies}
        assert not forgotten & ids or ids <= forgotten


def anchored(*days: int, forgotten: tuple[str, ...] = ()) -> StoreRecord:
    """A store with an anchor on each of these days."""
    anchors = tuple(Anchored(f"day {day}", START + timedelta(days=day)) for day in days)
    return StoreRecord("local", "id", None, None, None, None, None, None, anchors=anchors, forgotten_anchors=forgotten)


def left_after_years(years: int) -> StoreRecord:
    """A store that got an anchor each week and was looked at each time."""
    record = anchored()
    for day in range(0, 365 * years, 7):
        record = anchored(*(int(each.snapshot_id.split()[1]) for each in record.anchors), day)
        gone = superfluous_anchors(record, None)
        record = replace(record, anchors=tuple(each for each in record.anchors if each.snapshot_id not in gone))
    return record


def test_of_the_anchors_the_newest_stay_and_the_last_one_of_each_month() -> None:
    record = left_after_years(2)
    months = [(each.at.year, each.at.month) for each in record.anchors]
    assert set(months) == {(2026, month) for month in range(3, 13)} | {(2027, m) for m in range(1, 13)} | {
        (2028, 1),
        (2028, 2),
    }
    last_of_march = record.anchors[0].at
    assert (last_of_march.month, last_of_march.day) == (3, 30)
    assert (record.anchors[-1].at - record.anchors[-ANCHORS_KEPT].at).days == 7 * (ANCHORS_KEPT - 1)


def test_a_store_never_holds_more_than_a_bounded_number_of_anchors() -> None:
    assert len(left_after_years(20).anchors) <= ANCHORS_KEPT + ANCHORED_MONTHS_KEPT


def test_few_anchors_all_stay() -> None:
    assert superfluous_anchors(anchored(*range(ANCHORS_KEPT)), None) == ()


def test_a_mirror_lets_go_the_anchors_that_its_origin_has_let_go() -> None:
    origin = anchored(*range(20), forgotten=("old", "older"))
    assert superfluous_anchors(anchored(*range(20), forgotten=("older",)), origin) == ("old",)
