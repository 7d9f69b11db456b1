"""What is required of the copies, clause by clause, against where they really are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.policy import Policy, Require
from drd.core.requirements import SHIPPED_WITHIN, Clause, Place, hold_against, rpo_in

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
RPO = timedelta(hours=1)
NEW = timedelta(minutes=10)


def a_place(store: str = "local", age: timedelta | None = NEW, **more: Any) -> Place:
    return Place(**{"store": store, "newest": None if age is None else NOW - age, "rpo": RPO, **more})


def offsite(age: timedelta | None = NEW, kilometres: float = 1148, **more: Any) -> Place:
    return a_place("offsite", age, is_offsite=True, distance_metres=kilometres * 1000, **more)


def held(*places: Place, **require: Any) -> dict[str, Clause]:
    return {each.name: each for each in hold_against(Require.model_validate(require), places, NOW)}


def test_a_policy_has_only_the_clauses_that_it_names_and_always_one_copy() -> None:
    assert list(held(a_place())) == ["copies"]
    named = {"offsite": 1, "distance": "500 km", "immutable": 1, "media": 2, "verified_within": "30d"}
    assert list(held(a_place(), copies=2, **named, read_within="14d")) == ["copies", *named, "read_within"]


def test_copies_that_are_there_are_named() -> None:
    clause = held(a_place(), offsite(), copies=2)["copies"]
    assert (clause.is_met, clause.reason) == (True, "2, 2 required: local, offsite")


def test_a_store_that_has_been_away_for_weeks_keeps_no_promise() -> None:
    clauses = held(a_place(), offsite(timedelta(days=20, hours=20)), copies=2, offsite=1)
    old = "store offsite has one that is 20d 20h old, not within the RPO of 1h"
    assert str(clauses["copies"]) == f"copies: 1 of 2: {old}"
    assert str(clauses["offsite"]) == f"offsite: 0 of 1: {old}"
    assert all(clause.is_late for clause in clauses.values())


def test_without_an_rpo_a_copy_counts_however_old_it_is() -> None:
    assert held(offsite(timedelta(days=900), rpo=None), offsite=1)["offsite"].is_met


def test_a_copy_at_this_site_is_not_offsite_however_new_it_is() -> None:
    clause = held(a_place(), a_place("nas"), offsite=1)["offsite"]
    assert (clause.is_met, clause.is_late) == (False, False)
    assert clause.reason == "0 of 1: no store of the policy can meet it"


def test_the_distance_is_that_of_the_farthest_store_whose_copy_is_current() -> None:
    near = a_place("nearby", is_offsite=True, distance_metres=12_000)
    clause = held(a_place(), near, offsite(timedelta(hours=2)), distance="500 km")["distance"]
    assert not clause.is_met
    assert clause.is_late
    assert clause.reason == (
        "the farthest current copy, in nearby, is 12 km away, 500 km required; "
        "0 of 1: store offsite has one that is 2h old, not within the RPO of 1h"
    )
    met = held(a_place(), near, offsite(), distance="500 km")["distance"]
    assert str(met) == "distance: the farthest current copy, in offsite, is 1 148 km away, 500 km required"


def test_as_many_copies_have_to_be_far_away_as_have_to_be_offsite() -> None:
    near = a_place("nearby", is_offsite=True, distance_metres=12_000)
    clauses = held(near, offsite(), offsite=2, distance="500 km")
    assert [clause.is_met for clause in clauses.values()] == [True, True, False]


def test_without_any_current_copy_no_distance_is_told() -> None:
    assert held(offsite(None), distance="500 km")["distance"].reason.startswith("no store has a current copy, 500 km")


def test_a_store_that_does_not_lock_as_declared_is_not_immutable() -> None:
    broken = "is declared immutable for 30 days, but the bucket has no object lock by default"
    clause = held(a_place(), offsite(is_immutable=True, broken_promise=broken), immutable=1)["immutable"]
    assert (clause.is_met, clause.is_late, clause.reason) == (False, False, f"0 of 1: store offsite {broken}")
    assert held(offsite(is_immutable=True), immutable=1)["immutable"].is_met


def test_an_immutable_store_without_a_current_copy_protects_nothing() -> None:
    clause = held(a_place(), offsite(None, is_immutable=True), immutable=1)["immutable"]
    assert (clause.is_met, clause.is_late, clause.reason) == (False, True, "0 of 1: store offsite has none")


def test_a_damaged_store_counts_for_nothing_and_waiting_does_not_mend_it() -> None:
    clause = held(a_place(), offsite(doubt="is damaged: its last check found it"), copies=2)["copies"]
    assert (clause.is_met, clause.is_late) == (False, False)
    assert "store offsite is damaged" in clause.reason


def test_no_store_has_to_keep_an_rpo_that_only_received_wal_can_keep() -> None:
    policy = Policy.model_validate(
        {"policy": "orders", "objectives": {"rpo": "5s"}, "backup": {"to": ("local",), "keep": {"last": 1}}}
    )
    assert rpo_in(policy, is_offsite=False, ships_wal=True) == SHIPPED_WITHIN
    assert rpo_in(policy, is_offsite=False) == timedelta(seconds=5)


@pytest.mark.parametrize(("is_offsite", "rpo"), [(False, "15m"), (True, "1d")])
def test_offsite_the_rpo_is_what_is_promised_for_the_loss_of_a_site(is_offsite: bool, rpo: str) -> None:
    policy = Policy.model_validate(
        {
            "policy": "orders",
            "objectives": {"rpo": "15m"},
            "backup": {"to": ("local", "offsite"), "keep": {"last": 1}},
            "disasters": {"site": {"runbook": "site-loss", "rpo": "1d"}},
        }
    )
    assert rpo_in(policy, is_offsite=is_offsite) == {"15m": timedelta(minutes=15), "1d": timedelta(days=1)}[rpo]


PLACES = st.lists(
    st.builds(
        Place,
        store=st.sampled_from(["a", "b", "c", "d"]),
        newest=st.none() | st.timedeltas(timedelta(), timedelta(days=2)).map(lambda age: NOW - age),
        rpo=st.none() | st.just(RPO),
        is_offsite=st.booleans(),
        distance_metres=st.floats(0, 2e7),
        is_immutable=st.booleans(),
        broken_promise=st.sampled_from(["", "does not lock"]),
        doubt=st.sampled_from(["", "is damaged"]),
    ),
    unique_by=lambda place: place.store,
)


@given(PLACES, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_further_copy_never_breaks_a_clause_and_every_clause_has_a_reason(
    places: list[Place], copies: int, away: int, immutable: int
) -> None:
    require = Require(copies=copies, offsite=away, immutable=immutable, distance="500 km")  # type: ignore[arg-type]
    before = hold_against(require, places, NOW)
    after = hold_against(require, [*places, Place("e", NOW, is_offsite=True, distance_metres=1e6)], NOW)
    assert all(clause.reason and not (clause.is_met and clause.is_late) for clause in before)
    assert all(later.is_met for clause, later in zip(before, after, strict=True) if clause.is_met)


def test_media_are_the_kinds_of_the_stores_that_have_a_current_copy() -> None:
    disk, bucket = a_place("local", medium="local"), offsite(medium="s3")
    assert held(disk, bucket, media=2)["media"].reason == "2, 2 required: local, s3"
    two_disks = held(disk, a_place("nas", medium="local"), media=2)["media"]
    assert (two_disks.is_met, two_disks.is_late) == (False, False)
    assert two_disks.reason == "1 of 2: the policy has no store of another kind"
    late = held(disk, offsite(timedelta(days=9), medium="s3"), media=2)["media"]
    assert (late.is_met, late.is_late) == (False, True)
    assert late.reason == ("1 of 2: store offsite (s3) has one that is 9d old, not within the RPO of 1h")


def test_a_policy_is_verified_by_the_newest_whole_restore_from_any_of_its_stores() -> None:
    day = timedelta(days=1)
    places = (a_place(known_since=NOW - 90 * day), offsite(verified=NOW - 6 * day, known_since=NOW - 90 * day))
    clause = held(*places, verified_within="7d")["verified_within"]
    assert (clause.is_met, clause.reason) == (True, "a restore read all of a point from offsite 6d ago, 7d allowed")
    assert not held(*places, verified_within="5d")["verified_within"].is_met


def test_a_new_policy_has_the_same_time_for_its_first_restore() -> None:
    day = timedelta(days=1)
    new, old = a_place(known_since=NOW - day), a_place(known_since=NOW - 8 * day)
    assert held(new, verified_within="7d")["verified_within"].is_met
    clause = held(old, verified_within="7d")["verified_within"]
    assert not clause.is_met
    assert clause.reason == "no restore has read a whole point yet, in the 8d since its stores are used, 7d allowed"
    assert held(a_place(), verified_within="7d")["verified_within"].is_met


def test_data_that_nobody_has_read_for_too_long_is_told_with_its_store() -> None:
    day = timedelta(days=1)
    places = (a_place(unread_since=NOW - 3 * day), offsite(unread_since=NOW - 15 * day))
    clause = held(*places, read_within="14d")["read_within"]
    assert (clause.is_met, clause.is_late) == (False, False)
    assert clause.reason == "some data of offsite was not read for 15d, 14d allowed"
    assert held(*places, read_within="16d")["read_within"].is_met
    assert held(a_place(), read_within="14d")["read_within"].is_met
