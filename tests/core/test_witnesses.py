"""Whether witnesses say that a node is gone."""

from dataclasses import replace

import pytest

from drd.core.health import ClusterView, Observer
from drd.core.node_verdicts import judge
from drd.core.probing import Sign
from drd.core.witnesses import NotLost, confirmed_lost, is_well_primary
from tests.core.watched import a_node, a_view, good, of_three, primary, refused, standby

DEAD = (good(8, primary()), refused(9), refused(9.1), refused(9.2))


def said(view: ClusterView, *, by_probes: bool = True, by_standbys: bool = True) -> str:
    return confirmed_lost(view, judge(view, {}), "one", by_probes=by_probes, by_standbys=by_standbys)


def test_drd_and_the_standbys_say_that_it_is_gone() -> None:
    view = of_three(DEAD, heard_seconds_ago=None, is_receiving=False)

    assert said(view) == "one: process dead; two receives nothing from it; three receives nothing from it"
    assert said(view, by_probes=False).startswith("two receives nothing")
    assert said(view, by_standbys=False) == "one: process dead"
    assert said(of_three(DEAD), by_probes=False).startswith("two receives"), "what it heard before does not count"


def test_a_closed_session_and_a_refusal_are_confirmed_however_late_drd_is() -> None:
    gone = of_three((good(8, primary()), refused(9, Sign.SESSION_CLOSED)), heard_seconds_ago=None, is_receiving=False)

    assert said(replace(gone, observer=Observer(late_seconds=3.0))).startswith("one: process dead")
    with pytest.raises(NotLost, match="stepped"):
        said(replace(gone, observer=Observer(late_seconds=3.0, stepped_seconds=60.0)))


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (of_three((good(9, primary()),)), "one is not seen to be lost: well"),
        (a_view(a_node("one")), "one is not seen to be lost: not known yet"),
        (a_view(a_node("one", *DEAD), observer=Observer(late_seconds=3.0)), "came round 3.0 s late"),
    ],
)
def test_what_is_not_seen_to_be_gone_is_not_confirmed(view: ClusterView, why: str) -> None:
    with pytest.raises(NotLost, match=why):
        said(view)


@pytest.mark.parametrize(
    ("view", "why"),
    [
        (of_three((good(9, primary()),)), "one answers drd"),
        (a_view(a_node("one")), "one answers drd"),
        (a_view(a_node("one", *DEAD), a_node("two", good(8, standby()))), "no standby has answered since"),
        (a_view(a_node("one", *DEAD), a_node("two", good(9.5, standby()))), "two still receives from one"),
    ],
)
def test_a_standby_that_still_hears_it_or_was_not_asked_is_no_witness(view: ClusterView, why: str) -> None:
    with pytest.raises(NotLost, match=why):
        said(view, by_probes=False)


def test_a_primary_is_well_only_where_it_is_seen_to_lead_and_nothing_makes_anybody_doubt_it() -> None:
    late = Observer(late_seconds=3.0)
    for view, is_well in (
        (of_three((good(9, primary()),)), True),
        (of_three((good(9, standby()),)), False),
        (of_three((good(8, primary()), refused(9))), False),
        (of_three(DEAD), False),
        (replace(of_three((good(9, primary()),)), observer=late), False),
    ):
        assert is_well_primary(view, judge(view, {}), "one") is is_well
    assert not is_well_primary(a_view(a_node("one")), {}, "one")


def test_a_node_without_a_verdict_is_not_known_yet() -> None:
    with pytest.raises(NotLost, match="not known yet") as found:
        confirmed_lost(a_view(a_node("one")), {}, "one", by_probes=True, by_standbys=False)
    assert found.value.is_open


def test_what_nobody_can_tell_yet_is_another_thing_than_what_speaks_against_it() -> None:
    for view, is_open in (
        (of_three((good(9, primary()),)), False),
        (a_view(a_node("one", *DEAD), observer=Observer(late_seconds=3.0)), True),
    ):
        with pytest.raises(NotLost) as found:
            said(view)
        assert found.value.is_open is is_open
    with pytest.raises(NotLost) as found:
        said(a_view(a_node("one", *DEAD), a_node("two", good(8, standby()))), by_probes=False)
    assert found.value.is_open
