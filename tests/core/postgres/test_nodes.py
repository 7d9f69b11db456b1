"""Which server of a cluster is asked."""

from dataclasses import replace

import pytest

from drd.core.errors import SourceRefused
from drd.core.postgres.errors import ServerAway
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.nodes import NodeRole, Seen, choose
from tests.core.postgres.test_verdicts import SOUND

PRIMARY, STANDBY = (NodeRole.PRIMARY,), (NodeRole.STANDBY,)
EITHER = (NodeRole.STANDBY, NodeRole.PRIMARY)


def primary(name: str, timeline: int = 1) -> Seen:
    return Seen(name, replace(SOUND, timeline=timeline), Lsn(100))


def standby(name: str, timeline: int = 1, newest: int = 100, priority: int = 0) -> Seen:
    return Seen(name, replace(SOUND, timeline=timeline, is_in_recovery=True), Lsn(newest), priority)


AWAY = Seen("three", why_not="does not answer")


def test_a_role_is_what_counts_and_not_the_order() -> None:
    assert choose([standby("one"), primary("two"), AWAY], PRIMARY).node.name == "two"
    assert choose([primary("two"), standby("one"), AWAY], STANDBY).node.name == "one"


def test_of_two_primaries_the_one_that_was_left_behind_is_not_asked() -> None:
    assert choose([primary("old", 1), primary("new", 2)], PRIMARY).node.name == "new"


def test_two_primaries_of_one_timeline_are_refused() -> None:
    with pytest.raises(SourceRefused, match="one and two are both primary on timeline 1"):
        choose([primary("one"), primary("two")], PRIMARY)


def test_a_standby_of_an_older_timeline_does_not_follow_and_is_not_asked() -> None:
    with pytest.raises(SourceRefused, match="one is a standby on timeline 1"):
        choose([standby("one", 1), primary("two", 2)], STANDBY)
    assert choose([standby("one", 1), primary("two", 2), standby("four", 2)], STANDBY).node.name == "four"


def test_of_standbys_the_preferred_one_is_asked_then_the_one_that_has_most() -> None:
    assert choose([standby("one", newest=5), standby("two", newest=9)], STANDBY).node.name == "two"
    assert choose([standby("one", newest=5, priority=1), standby("two", newest=9)], STANDBY).node.name == "one"


def test_the_fallback_is_taken_and_says_why() -> None:
    choice = choose([primary("one"), AWAY], EITHER)
    assert choice.node.name == "one"
    assert choice.note == "no standby could be used: three: does not answer"
    assert choose([primary("one")], EITHER).note == "no standby could be used: there is no other node"


def test_who_is_away_may_be_what_is_wanted() -> None:
    with pytest.raises(
        ServerAway, match="no standby was found: one is a primary on timeline 1; three: does not answer"
    ):
        choose([primary("one"), AWAY], STANDBY)
    with pytest.raises(SourceRefused) as caught:
        choose([primary("one")], STANDBY)
    assert caught.value.hint == "add fallback: primary to the source"


def test_nodes_of_two_clusters_are_refused() -> None:
    other = Seen("two", replace(SOUND, system_identifier="7"), Lsn(1))
    with pytest.raises(SourceRefused, match="different clusters: one is of 7000000000000000001 and two is of 7"):
        choose([primary("one"), other], PRIMARY)


def test_who_did_not_answer_has_no_role() -> None:
    assert (primary("one").role, standby("two").role, AWAY.role) == (NodeRole.PRIMARY, NodeRole.STANDBY, None)
