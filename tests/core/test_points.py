"""Which copies of a recovery point count, and what is told of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drd.core.catalogue import Anchored, Damage, StoreRecord, damaged_stores
from drd.core.points import Copy, RecoveryPoint, Standing, counted_newest, newest_good
from drd.core.policy import Mode, Outcome

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STORE = StoreRecord("local", "id", None, None, check_sound=True, last_pruned=None, last_reconciled=None, hold=None)


def a_point(*copies: Copy) -> RecoveryPoint:
    return RecoveryPoint("orders", "01RUN", Mode.FULL, NOON, Outcome.SUCCEEDED, 1, 1, copies)


def test_of_two_copies_of_a_part_in_one_store_the_proven_one_is_taken() -> None:
    claimed, proven = Copy("local", "main", "a"), Copy("local", "main", "b", Standing.PROVEN)
    for copies in ((claimed, proven), (proven, claimed), (proven, claimed, replace(proven, snapshot_id="c"))):
        assert a_point(*copies).copies_in("local") == (proven,)


def test_no_copy_in_a_damaged_store_counts_and_what_counts_elsewhere_stays_as_it_is() -> None:
    here, both = a_point(Copy("local", "main", "a")), a_point(Copy("local", "main", "a"), Copy("nas", "main", "b"))
    newest = {("orders", "local"): both, ("orders", "nas"): both, ("web", "local"): here, ("web", "nas"): here}
    found = counted_newest(newest, frozenset({"nas"}))
    assert found.keys() == {("orders", "local"), ("web", "local")}
    assert found["orders", "local"].stores == ("local",)
    assert found["web", "local"] is here
    records = {"local": STORE, "nas": replace(STORE, check_sound=False), "new": replace(STORE, check_sound=None)}
    assert damaged_stores(records) == {"nas"}


def test_of_two_points_of_one_second_the_later_run_is_the_newest() -> None:
    first = a_point(Copy("local", "main", "a"))
    second = replace(first, run="02RUN")
    assert newest_good((second, first)) is newest_good((first, second), at=NOON) is second


def test_what_damage_took_of_a_point_is_told_by_the_points_name() -> None:
    point = a_point()
    assert point.label == "orders, point of 2026-03-02 12:00:00 UTC"
    damage = Damage(NOON, ("1/1",), (), "", lost=(f"{point.label}: /etc/hosts", f"web{point.label}: /etc/motd"))
    assert damage.lost_of(point) == ("/etc/hosts",)


@pytest.mark.parametrize(
    ("read", "through"),
    [((), None), ((NOON, None), None), ((NOON, NOON - timedelta(days=1)), NOON - timedelta(days=1))],
)
def test_data_was_read_through_when_every_part_of_it_was(
    read: tuple[datetime | None, ...], through: datetime | None
) -> None:
    assert replace(STORE, parts_read=read).read_through == through


def test_the_last_anchor_tells_when_a_store_was_anchored() -> None:
    assert STORE.last_anchored is None
    anchors = (Anchored("a", NOON), Anchored("b", NOON + timedelta(days=7)))
    assert replace(STORE, anchors=anchors).last_anchored == NOON + timedelta(days=7)
