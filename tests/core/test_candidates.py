"""Which standby is promoted, and why others are not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drd.core.candidates import Candidate, candidates, unheard_confirmations, words_of_loss
from drd.core.decision import Guard, Rules, View, decide
from drd.core.health import ClusterView, Recalled
from drd.core.node_verdicts import judge
from drd.core.probing import Beat, DatabaseSeen, Quorum
from drd.core.runbook import RunbookMode
from tests.core.watched import a_node, a_view, good, primary, refused, standby

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def view_of(*seen: DatabaseSeen, was: DatabaseSeen | None = None, priorities: tuple[int, ...] = (0, 0)) -> ClusterView:
    one = a_node("one", good(9, was or primary(1000)), refused(9.5))
    names = ("two", "three")
    others = [
        a_node(name, good(9.8, each), priority=priority)
        for name, each, priority in zip(names, seen, priorities, strict=False)
    ]
    return a_view(one, *others)


def order(view: ClusterView) -> list[str]:
    return [each.node for each in candidates(view) if not each.why_not]


def test_the_one_that_received_most_is_promoted_whatever_it_has_replayed() -> None:
    assert order(view_of(standby(900, replayed=900), standby(950, replayed=100))) == ["three", "two"]


def test_among_equals_priority_decides() -> None:
    assert order(view_of(standby(900), standby(900), priorities=(2, 1))) == ["two", "three"]
    assert order(view_of(standby(900), standby(950), priorities=(2, 1))) == ["three", "two"]


def test_a_standby_whose_promotion_may_wait_for_ever_is_promoted_and_its_risk_is_said() -> None:
    [found] = candidates(view_of(standby(may_hang=True)))

    assert not found.why_not
    assert "no time limit" in found.risk
    assert not candidates(view_of(standby()))[0].risk


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"is_paused": True}, "paused"),
        ({"delay_seconds": 3600.0}, "late on purpose"),
        ({"cluster": "c2"}, "another database cluster"),
        ({"role": primary().role}, "no standby"),
    ],
)
def test_what_makes_a_standby_unfit_is_said(changed: dict[str, Any], why: str) -> None:
    [found] = candidates(view_of(replace(standby(), **changed)))

    assert why in found.why_not


def test_a_standby_on_an_older_timeline_than_the_primary_or_another_node_is_left_out() -> None:
    was = primary(1000, timeline=2, forks=((1, 500),))
    ahead = standby(900, timeline=2, forks=((1, 500),))

    found = {each.node: each.why_not for each in candidates(view_of(standby(900), ahead, was=was))}
    assert "the primary was on 2" in found["two"]
    assert not found["three"]
    found = {each.node: each.why_not for each in candidates(view_of(standby(900), ahead))}
    assert "another node is on timeline 2" in found["two"]


def test_a_standby_whose_timeline_left_the_primarys_before_its_end_is_left_out() -> None:
    forked = standby(1200, timeline=2, forks=((1, 500),))
    follows = standby(1200, timeline=2, forks=((1, 1000),))

    assert "left the primary's" in candidates(view_of(forked))[0].why_not
    assert not candidates(view_of(follows))[0].why_not


def test_what_does_not_answer_is_left_out() -> None:
    late = replace(view_of(standby()), at=100.0)

    assert "has not answered" in candidates(late)[0].why_not
    assert "never answered" in candidates(a_view(a_node("one"), a_node("two")))[0].why_not
    assert "never been seen" in candidates(a_view(a_node("one"), a_node("two", good(9, standby()))))[0].why_not
    assert "never been seen" in candidates(a_view(a_node("two", good(9, standby())), primary=None))[0].why_not


def test_what_would_be_lost_is_told_in_bytes_and_by_the_heartbeat() -> None:
    beats = (Beat("me", 0, 3.0), Beat("me", 0, 30.0))
    [found] = candidates(view_of(standby(900, beats=beats)))

    assert found.lag_bytes == 100
    assert found.lag == timedelta(seconds=9 - (9.8 - 3.0))
    assert words_of_loss(found) == "it lacks 100 B, at most 2.2 s of what the primary was last seen to have"
    assert "100 B of" in words_of_loss(candidates(view_of(standby(900)))[0])
    assert words_of_loss(Candidate("two")) == "how much would be lost is not known"
    demoted = candidates(view_of(standby(900), was=standby(1000)))[0]
    assert demoted.lag_bytes is None


def test_the_forecast_counts_what_is_not_replayed_and_how_long_a_standby_may_sleep() -> None:
    quick, slow, sleepy = (
        candidates(view_of(each))[0].forecast.total_seconds()
        for each in (
            standby(2**30),
            standby(2**30, replayed=0),
            standby(2**30, replayed=None, retry_seconds=5.0),
        )
    )

    assert quick < 1
    assert 10 < slow < 12
    assert 5 < sleepy < 6


def test_of_a_primary_that_died_before_this_daemon_began_the_journal_tells_who_may_follow_it() -> None:
    beats = (Beat("me", 0, 3.0),)
    nodes = (a_node("one", refused(9)), a_node("two", good(9, standby(beats=beats))))
    known = replace(a_view(*nodes), recalled=Recalled("one", "c1", 1))
    [found] = candidates(known)

    assert (found.why_not, found.lag_bytes) == ("", None)
    assert found.lag == timedelta(seconds=4), "all the time since the heartbeat"
    for was, why in (
        (Recalled("one", "c2", 1), "another database cluster"),
        (Recalled("one", "c1", 2), "and the primary was on 2"),
        (Recalled("two", "c1", 1), "has never been seen"),
    ):
        assert why in candidates(replace(known, recalled=was))[0].why_not


@pytest.mark.parametrize(
    ("needed", "names", "is_unheard"),
    [
        (1, ("two", "three"), False),
        (1, ("two",), True),
        (2, ("two",), False),
        (1, ("", "three"), False),
        (1, ("elsewhere", "three"), True),
    ],
)
def test_what_was_acknowledged_is_on_one_of_those_that_answer_only_if_enough_do(
    needed: int, names: tuple[str, ...], is_unheard: bool
) -> None:
    was = primary(1000, quorum=Quorum(needed, ("two", "three")))
    view = view_of(*(replace(standby(900), replicates_as=name) for name in names), was=was)
    assert bool(unheard_confirmations(view)) is is_unheard
    held = decide(View("orders", view, judge(view, {}), Rules(RunbookMode.AUTOMATIC), ()), NOW).blockers
    assert (Guard.QUORUM in {each.guard for each in held}) is is_unheard


@pytest.mark.parametrize(
    ("rule", "names", "have_all"),
    [
        (Quorum(1, ("two", "three")), ("two", "three"), ["three"]),
        (Quorum(2, ("two", "three")), ("two", "elsewhere"), ["three"]),  # who has more has all that the named one has
        (Quorum(1, ("two", "three", "four")), ("two", "three"), []),
        (Quorum(1, ("two", "three")), ("", ""), []),
        (Quorum(1, ("two", "three"), lowered_by=("a role",)), ("two", "three"), []),
        (Quorum(1, ("*",), is_any=True), ("two", "three"), []),
        (Quorum(0, ("two", "three")), ("two", "three"), []),
        (None, ("two", "three"), []),
    ],
)
def test_the_newest_of_enough_that_commits_waited_for_has_all_that_was_acknowledged(
    rule: Quorum | None, names: tuple[str, str], have_all: list[str]
) -> None:
    two, three = standby(900, replicates_as=names[0]), standby(950, replicates_as=names[1])
    found = candidates(view_of(two, three, was=primary(1000, quorum=rule)))

    assert [each.node for each in found if each.has_all] == have_all


def test_of_a_primary_that_was_never_seen_the_journal_tells_what_commits_waited_for() -> None:
    nodes = (a_node("one", refused(9)), a_node("two", good(9, standby(replicates_as="two"))))
    rule = Quorum(1, ("two",))
    for recalled, has_all in (
        (Recalled("one", "c1", 1, rule), True),
        (Recalled("one", "c1", 1), False),
        (Recalled("two", "c1", 1, rule), False),
        (None, False),
    ):
        [found] = candidates(replace(a_view(*nodes), recalled=recalled))
        assert found.has_all is has_all
        assert ("all that was acknowledged" in words_of_loss(found)) is has_all


def test_without_synchronous_replication_or_with_any_standby_nobody_can_tell_and_nothing_is_held() -> None:
    for quorum in (None, Quorum(0, ("two", "three")), Quorum(1, ("*",), is_any=True)):
        assert not unheard_confirmations(view_of(standby(900), was=primary(1000, quorum=quorum)))
    assert not unheard_confirmations(a_view(a_node("two", good(9, standby(900))), primary=None))
    gone = a_node("two", good(5, standby(900)), *(refused(6 + at) for at in range(3)))
    was = primary(1000, quorum=Quorum(1, ("two",)))
    assert unheard_confirmations(a_view(a_node("one", good(5, was), refused(9)), gone)), "it answered once, and not now"


def test_of_a_primary_that_was_lost_before_drd_began_every_standby_has_to_answer() -> None:
    one, two = a_node("one", *(refused(6 + at) for at in range(3))), a_node("two", good(9, standby(900)))
    never_seen = a_node("three", *(refused(6 + at) for at in range(3)))
    assert not unheard_confirmations(a_view(one, two))
    assert not unheard_confirmations(a_view(one, two, a_node("three", good(9, standby(800)))))
    why = unheard_confirmations(a_view(one, two, never_seen))
    assert "three may have more and does not answer" in why
