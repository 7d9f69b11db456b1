"""Which incremental base backup needs which, what has to stay for it, and when only a full will do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.increments import Member, earlier_points, needed_runs, why_full, with_whole_chains
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import ServerFacts
from drd.core.retention import Candidate, decide

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SERVER = ServerFacts("7", 180006, 1, False, True, 2**24, "replica", "off", None, None)
BASE = BaseRecord("7", 180006, 1, Lsn(1), Lsn(2), NOON, 2**24, True, has_checksums=True)


def point(number: int, prior: int | None, *stores: str) -> RecoveryPoint:
    member = Member(f"m{number}", "" if prior is None else f"m{prior}")
    mode = Mode.FULL if prior is None else Mode.INCREMENTAL
    copies = tuple(Copy(store, "main", f"{store}{number}") for store in stores or ("local",))
    moment = NOON + timedelta(hours=number)
    facts = {"main": (*BASE.tags(), *member.tags())}
    return RecoveryPoint("orders", f"r{number}", mode, moment, Outcome.SUCCEEDED, 1, 1, copies, facts=facts)


def runs(points: tuple[RecoveryPoint, ...]) -> list[str]:
    return [each.run for each in points]


@pytest.mark.parametrize("member", [Member("a"), Member("b", "a")])
def test_tags_tell_which_follows_which(member: Member) -> None:
    assert Member.of_tags(("pg-end=0/1", *member.tags(), "policy=orders")) == member


def test_a_point_needs_all_before_it_back_to_the_full_and_none_beside() -> None:
    points = (point(4, 3), point(1, None), point(3, 1), point(2, 1), point(5, None))

    assert runs(earlier_points(points[0], "main", points)) == ["r1", "r3"]
    assert earlier_points(points[4], "main", points) == ()


def test_one_that_lacks_is_told() -> None:
    with pytest.raises(LookupError, match="m1"):
        earlier_points(point(3, 2), "main", (point(3, 2), point(2, 1)))


def test_members_that_name_one_another_end() -> None:
    ring = (point(1, 2), point(2, 1))
    with pytest.raises(LookupError):
        earlier_points(ring[0], "main", ring)
    assert needed_runs(ring[:1], ring) == {"r2"}


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_what_is_kept_can_be_restored_from_what_stays(fulls: list[bool], data: st.DataObject) -> None:
    points = [point(0, None)]
    for number, is_full in enumerate(fulls, start=1):
        points.append(point(number, None if is_full else data.draw(st.integers(0, number - 1))))
    kept = data.draw(st.lists(st.sampled_from(points), max_size=4, unique_by=lambda each: each.run))

    needed = needed_runs(kept, points)
    left = [each for each in points if each.run in needed or each in kept]

    for each in kept:
        assert earlier_points(each, "main", left) == earlier_points(each, "main", points)
    assert all(
        each.run in {k.run for k in kept} or any(each.run in needed_runs([k], points) for k in kept) for each in left
    )


def test_a_copy_counts_only_where_all_that_it_needs_stands_too() -> None:
    points = (point(1, None, "local", "offsite"), point(2, 1, "local"), point(3, 2, "local", "offsite"))

    assert [each.stores for each in with_whole_chains(points)] == [("local", "offsite"), ("local",), ("local",)]
    assert not with_whole_chains(points[1:])[1].is_good


def test_a_copy_counts_not_where_what_it_needs_is_no_good() -> None:
    bad = replace(point(1, None), outcome=Outcome.INCOMPLETE)

    assert with_whole_chains((bad, point(2, 1)))[1].stores == ()


@pytest.mark.parametrize(
    ("server", "tags", "reason"),
    [
        (SERVER, (*BASE.tags(), *Member("a").tags()), ""),
        (replace(SERVER, version=150018), (*BASE.tags(), *Member("a").tags()), "PostgreSQL 15 gives no"),
        (SERVER, (), "there is none in this store"),
        (SERVER, BASE.tags(), "has no manifest"),
        (replace(SERVER, system_identifier="8"), (*BASE.tags(), *Member("a").tags()), "of another cluster"),
        (replace(SERVER, timeline=2), (*BASE.tags(), *Member("a").tags()), "of timeline 1"),
        (replace(SERVER, version=190000), (*BASE.tags(), *Member("a").tags()), "of PostgreSQL 18"),
        (replace(SERVER, has_checksums=False), (*BASE.tags(), *Member("a").tags()), "page checksums were switched"),
    ],
)
def test_a_full_is_needed_when_nothing_can_be_followed(server: ServerFacts, tags: tuple[str, ...], reason: str) -> None:
    said = why_full(tags, server)
    assert said.startswith(reason) or reason in said
    assert bool(said) is bool(reason)


def test_what_a_kept_incremental_follows_is_not_forgotten() -> None:
    points = tuple(point(number, number - 1 if number % 3 else None) for number in range(7))
    candidates = [
        Candidate(f"local{each.run[1:]}", each.moment, ("daily",) if each.run == "r5" else ()) for each in points
    ]

    gone = decide(candidates, points, "local", required_copies=1).forgotten

    assert gone == ("local0", "local1", "local2")


def test_what_an_incremental_follows_that_is_still_to_come_is_not_forgotten() -> None:
    points = (point(0, None, "local", "offsite"), point(1, 0, "local"), point(2, None, "local", "offsite"))
    candidates = [Candidate(f"offsite{number}", points[number].moment, ()) for number in (0, 2)]

    assert decide(candidates, points, "offsite", required_copies=1).forgotten == ()
