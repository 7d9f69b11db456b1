"""When it is certain that an old primary acknowledges no write any more."""

from dataclasses import replace
from typing import Any

import pytest

from drd.core.fencing import Clients, FenceState, Rung, left_cut_off, proxy, revocation, why_silence_is_not_served
from drd.core.health import ClusterView, NodeView
from drd.core.probing import DatabaseSeen, Peer, Quorum, Sign
from tests.core.watched import PEERS, QUORUM, a_node, a_view, good, of_three, primary, refused, standby

GONE: dict[str, Any] = {"is_receiving": False, "heard_seconds_ago": None}


def crashed(seen: DatabaseSeen | None = None, **changes: Any) -> ClusterView:
    """A synchronous primary that has just crashed, and what its two standbys say."""
    last = primary(quorum=QUORUM, peers=PEERS) if seen is None else seen
    return of_three((good(9, last), refused(9.5, Sign.SESSION_CLOSED)), **changes)


def test_one_of_two_named_standbys_confirms_so_both_have_to_be_cut_off() -> None:
    assert revocation(crashed()).state is FenceState.AVAILABLE
    assert revocation(crashed(**GONE), ["two"]).state is FenceState.AVAILABLE
    assert revocation(crashed(**GONE), ["two", "three"]).state is FenceState.CONFIRMED


def test_two_of_two_confirm_so_one_is_enough() -> None:
    strict = primary(
        quorum=replace(QUORUM, needed=2), peers=tuple(replace(peer, is_synchronous=True) for peer in PEERS)
    )

    assert revocation(crashed(strict, **GONE), ["three"]).state is FenceState.CONFIRMED


def test_a_standby_that_was_told_to_stop_and_still_receives_is_not_cut_off() -> None:
    assert revocation(crashed(), ["two", "three"]).state is FenceState.AVAILABLE
    assert revocation(crashed(is_receiving=None), ["two", "three"]).state is FenceState.AVAILABLE


def test_a_standby_that_is_not_named_does_not_count() -> None:
    other = primary(quorum=Quorum(1, ("two", "four")), peers=PEERS)

    assert revocation(crashed(other, **GONE), ["two", "three"]).state is FenceState.IMPOSSIBLE


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (primary(), "wait for no standby"),
        (primary(quorum=replace(QUORUM, needed=0), peers=PEERS), "wait for no standby"),
        (primary(quorum=replace(QUORUM, is_any=True), peers=PEERS), "whatever name"),
        (primary(quorum=replace(QUORUM, lowered_by=("role batch",)), peers=PEERS), "role batch"),
        (primary(quorum=QUORUM), "in force"),
        (primary(quorum=QUORUM, peers=(Peer("two", is_synchronous=False),)), "in force"),
        (primary(quorum=QUORUM, peers=(*PEERS, Peer("TWO", is_synchronous=False))), "replicates as two"),
    ],
)
def test_it_counts_only_where_every_commit_waits(seen: DatabaseSeen, why: str) -> None:
    found = revocation(crashed(seen, **GONE), ["two", "three"])

    assert found.state is FenceState.IMPOSSIBLE
    assert why in found.why


def test_a_name_that_confirms_nothing_may_be_anybodys() -> None:
    others = (*PEERS, Peer("walreceiver", is_synchronous=False), Peer("walreceiver", is_synchronous=False))

    assert revocation(crashed(primary(quorum=QUORUM, peers=others))).state is FenceState.AVAILABLE


def test_it_counts_only_after_a_young_look_at_the_primary() -> None:
    view = replace(crashed(**GONE), at=100.0)

    assert "old" in revocation(view, ["two", "three"]).why
    assert "never" in revocation(a_view(a_node("one"))).why
    assert "never" in revocation(a_view(primary=None)).why


def test_a_standby_that_does_not_answer_or_is_a_primary_itself_is_not_reached() -> None:
    view = crashed()
    promoted = a_node("two", good(9.8, replace(primary(), replicates_as="two")))

    assert revocation(a_view(view.node("one"), promoted)).state is FenceState.IMPOSSIBLE
    assert "reaches 0" in revocation(a_view(view.node("one"), a_node("two"))).why


def test_a_runbook_that_starts_by_itself_needs_a_rung_that_works_on_a_silent_host() -> None:
    assert why_silence_is_not_served([Rung.SSH, Rung.REVOKE], ["one"]) == ""
    assert why_silence_is_not_served([Rung.POWER], []) == ""
    assert "add `power`" in why_silence_is_not_served([Rung.SSH], [])
    assert "give one, two a `power:`" in why_silence_is_not_served([Rung.SSH, Rung.POWER], ["two", "one"])


def test_cutting_the_proxy_fences_only_where_all_clients_came_through_it() -> None:
    def by(found: frozenset[str] | None, clients: Clients = Clients.PROXY, at: str = "10.0.0.9") -> str:
        view = of_three((good(9, replace(primary(), clients=found)),))
        fence = proxy(view, clients, frozenset({at} if at else ()))
        return fence.state if fence.state is FenceState.AVAILABLE else fence.why

    assert by(frozenset({"10.0.0.9"})) is FenceState.AVAILABLE
    assert "without a proxy" in by(frozenset({"10.0.0.9"}), Clients.LIBPQ)
    assert "10.0.0.7" in by(frozenset({"10.0.0.9", "10.0.0.7"}))
    assert "is not known" in by(None)
    assert "own address" in by(frozenset(), at="")
    assert "not known" in proxy(a_view(a_node("one")), Clients.PROXY, frozenset({"10.0.0.9"})).why
    assert "not known" in proxy(a_view(primary=None), Clients.PROXY, frozenset({"10.0.0.9"})).why
    old = of_three((good(9, replace(primary(), clients=frozenset({"10.0.0.9"}))),))
    assert "s old" in proxy(replace(old, at=old.at + 60), Clients.PROXY, frozenset({"10.0.0.9"})).why
    assert standby().clients is None


CUT: dict[str, Any] = {"is_cut_off": True, "is_receiving": False, "heard_seconds_ago": None}


def test_standbys_that_were_left_cut_off_from_a_primary_that_answers_are_named() -> None:
    assert left_cut_off(of_three((good(9.5, primary()),), **CUT)) == ("two", "three")
    assert left_cut_off(of_three((good(9.5, primary()),))) == ()


@pytest.mark.parametrize(
    "view",
    [
        of_three((good(9, primary()), refused(9.5, Sign.SESSION_CLOSED)), **CUT),
        of_three((good(9.5, standby()),), **CUT),
        of_three((good(9.5, primary(timeline=2)),), **CUT),
        of_three((good(9.5, primary()),), **CUT, replayed=900),
        of_three((good(9.5, primary()),), **CUT, cluster="another"),
        a_view(a_node("one", good(9.5, primary())), a_node("two", good(1, standby(**CUT))), a_node("three")),
        a_view(a_node("one"), primary="one"),
        a_view(a_node("one"), primary=None),
        replace(a_view(a_node("one", good(9.5, primary()))), nodes=(NodeView("one", seen=primary(), seen_at=9.5),)),
    ],
    ids=["away", "no primary", "newer", "may be promoted", "another", "not seen now", "never", "unknown", "no probe"],
)
def test_no_standby_is_given_back_to_a_primary_that_is_away_or_while_it_may_be_promoted(view: ClusterView) -> None:
    assert left_cut_off(view) == ()
