"""Whether a standby may take over, by what all answer just before it is told to."""

from dataclasses import replace

import pytest

from drd.core.health import NodeView, Recalled
from drd.core.probing import Quorum
from drd.core.succession import Answering, cluster_of, lacking, promoted_meanwhile, unconfirmed, unfit
from tests.core.watched import a_node, a_view, good, primary, refused, standby

LOST = a_node("one", good(9, primary(1000)), refused(9.5))
BEST = Answering("two", "TWO", (1, 900))
RULE = Quorum(1, ("two", "three"), is_ranked=False)


def test_what_drd_has_judged_unfit_stays_so_however_long_ago_it_was_seen() -> None:
    paused = a_node("two", good(2, standby(is_paused=True)))
    view = a_view(LOST, paused, a_node("three", good(2, standby())), NodeView("four"), at=60.0)
    assert unfit(view) == {"two": "its replay is paused"}


def test_a_daemon_that_has_only_just_started_judges_nobody_unless_the_journal_tells_of_the_primary() -> None:
    view = a_view(NodeView("one"), a_node("two", good(9, standby(is_paused=True))))
    assert unfit(view) == {}
    assert unfit(replace(view, recalled=Recalled("one", "c1", 1))) == {"two": "its replay is paused"}


def test_the_database_is_the_one_that_the_lost_primary_held() -> None:
    assert cluster_of(a_view(LOST)) == "c1"
    unknown = a_view(NodeView("one"))
    assert cluster_of(replace(unknown, recalled=Recalled("one", "c9", 1))) == "c9"
    assert cluster_of(unknown) == ""
    assert cluster_of(None) == ""


def test_nobody_takes_over_in_the_place_of_the_chosen_one_that_lacks_what_that_was_seen_to_have() -> None:
    view = a_view(LOST, a_node("two", good(9, standby(900))), a_node("three", good(9, standby(950))))
    assert "lacks log that three was seen to have" in lacking(view, "three", BEST, {"two"})
    assert lacking(view, "three", replace(BEST, position=(1, 950)), {"two"}) == ""
    later = a_view(LOST, NodeView("three"))
    assert "may lack log that three has" in lacking(later, "three", BEST, {"two"})
    assert lacking(later, "three", BEST, {"two", "three"}) == ""


@pytest.mark.parametrize(
    ("rule", "others", "missing"),
    [
        (RULE, [], "three"),
        (RULE, [Answering("three", "three", (1, 900))], ""),
        (RULE, [Answering("three", "three", (1, 901))], "three"),
        (RULE, [Answering("four", "four", (1, 900))], "three"),
        (RULE, [Answering("clone", "Two", (1, 900))], "three"),
        (replace(RULE, needed=2), [], ""),
        (Quorum(2, ("two", "three", "four", "five")), [Answering("three", "three", (1, 1))], "four or five"),
        (None, [], ""),
        (replace(RULE, needed=0), [], ""),
        (replace(RULE, is_any=True), [], ""),
    ],
)
def test_so_many_of_those_that_confirm_have_to_have_no_more_that_every_commit_is_on_the_best_one(
    rule: Quorum | None, others: list[Answering], missing: str
) -> None:
    why = unconfirmed(rule, BEST, [BEST, *others])
    assert bool(why) is bool(missing)
    assert missing in why


def test_only_who_led_after_the_lost_one_may_lead_still() -> None:
    def by(timeline: int, lost: str | None = "one") -> str:
        return promoted_meanwhile(a_view(LOST, a_node("two", good(9, primary(timeline=timeline)))), lost, {"two"})

    assert (by(2), by(1), by(2, None), by(2, "nobody")) == ("two", "", "", "")
    assert promoted_meanwhile(None, "one", {"two"}) == ""
    assert promoted_meanwhile(a_view(LOST, a_node("two", good(9, standby(timeline=2)))), "one", {"two"}) == ""
