"""Rise, fall and damping of what probes find."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.health import (
    FLAP_SECONDS,
    LEAST_RECOVERING_SECONDS,
    MOST_DAMPING,
    RECOVERING_SECONDS,
    SILENT_TOGETHER_SECONDS,
    NodeView,
    Observer,
    Recalled,
    Streak,
    fall_seconds,
    known_primary,
    recovering_seconds,
    slow_from,
    together_seconds,
)
from drd.core.probing import Failure, Sign
from tests.core.watched import RULES, a_node, a_view, bad, good, primary, refused, standby


def streak(*results: object) -> Streak:
    found = Streak()
    for result in results:
        found = found.after(result, RULES)  # type: ignore[arg-type]
    return found


def test_the_first_success_is_good_enough() -> None:
    assert streak(good(0)).is_good is True


def test_failures_count_when_there_were_enough_of_them_in_a_row() -> None:
    assert streak(good(0), bad(1), bad(2)).is_good is True
    assert streak(good(0), bad(1), bad(2), good(3), bad(4), bad(5)).is_good is True
    assert streak(good(0), bad(1), bad(2), bad(3)).is_good is False


def test_what_has_never_answered_is_unknown_until_it_has_failed_often_enough() -> None:
    assert streak(bad(0), bad(1)).is_good is None
    assert streak(bad(0), bad(1), bad(2)).is_good is False


def test_what_was_bad_has_to_be_good_for_long_enough() -> None:
    down = (good(0), bad(1), bad(2), bad(3))
    assert streak(*down, good(4), good(5)).is_good is False
    assert streak(*down, good(4), good(5), good(6)).is_good is True


def test_a_refusal_after_a_closed_session_needs_one_look() -> None:
    assert streak(good(0), refused(1, Sign.SESSION_CLOSED)).is_good is False
    assert streak(good(0), refused(1)).is_good is True


def test_a_closed_session_before_a_time_out_needs_as_many_looks_as_any() -> None:
    assert streak(good(0), bad(1, Failure.TIMEOUT, Sign.SESSION_CLOSED)).is_good is True


def test_what_flaps_has_to_last_longer_each_time_up_to_a_limit() -> None:
    found, at = streak(good(0)), 1.0
    dampings = []
    for _ in range(6):
        while found.is_good:
            found, at = found.after(bad(at), RULES), at + 1
        while not found.is_good:
            found, at = found.after(good(at), RULES), at + 1
        dampings.append(found.damping(at))

    assert dampings == sorted(dampings)
    assert dampings[0] == 1
    assert dampings[-1] == MOST_DAMPING


def test_damping_wears_off() -> None:
    flapped = replace(streak(good(0)), changes=(1.0, 2.0, 3.0, 4.0))

    assert flapped.damping(5.0) == 4
    assert flapped.damping(5.0 + FLAP_SECONDS) == 1
    assert flapped.after(good(6.0 + FLAP_SECONDS), RULES).changes == ()


def test_slowness_is_counted_and_does_not_become_usual_at_once() -> None:
    usual = streak(*(good(at, latency=0.02) for at in range(20)))
    slow = usual
    for at in range(20, 23):
        slow = slow.after(good(at, latency=2.0), RULES)

    assert slow.is_good is True
    assert slow.slow == 3
    assert slow.usual_seconds is not None
    assert slow.usual_seconds < slow_from(0.02)
    assert slow.after(good(30), RULES).slow == 0


@given(st.lists(st.sampled_from(["good", "slow", "timeout", "refused"]), max_size=60))
def test_success_and_failure_never_count_at_once(kinds: list[str]) -> None:
    found = Streak()
    for at, kind in enumerate(kinds):
        result = (
            good(at, latency=5.0 if kind == "slow" else 0.01)
            if kind in ("good", "slow")
            else (refused(at) if kind == "refused" else bad(at))
        )
        before = found
        found = found.after(result, RULES)
        assert not (found.good and found.bad)
        assert (found.failing_since is None) == (found.bad == 0)
        if before.is_good and found.is_good is False:
            assert found.bad >= RULES.fall, "a slow or single failure is no fall"
        if kind == "slow" and before.is_good:
            assert found.is_good, "slow is never dead"


def test_a_node_remembers_what_its_database_told_last() -> None:
    node = a_node("one", good(0, primary(10)), good(1, primary(20)), bad(2))

    assert node.seen == primary(20)
    assert node.seen_at == 1
    assert node.is_fresh(3, 2)
    assert not node.is_fresh(4, 2)
    assert not NodeView("one").is_fresh(0, 100)


def test_another_process_is_a_restart_and_a_server_that_recovers_too() -> None:
    assert len(a_node("one", good(0, primary()), good(1, replace(primary(), started="z"))).restarts) == 1
    recovering = bad(1, Failure.WRONG_ANSWER, Sign.RESTARTING, latency=0.01)
    node = a_node("one", good(0, primary()), recovering, replace(recovering, began=2.0), good(3, primary()))

    assert len(node.restarts) == 1
    assert node.after(good(10_000, primary()), RULES).restarts == ()
    # A failover and the way back start servers anew, which is no crash.
    assert node.after(good(3, replace(standby(), started="later")), RULES).restarts == ()


def test_probes_that_ask_no_database_have_streaks_of_their_own() -> None:
    node = a_node("one", good(0, primary()), bad(1, probe="tcp"), bad(2, probe="tcp"), bad(3, probe="tcp"))

    assert node.database is not None
    assert node.database.is_good
    assert node.streaks["tcp"].is_good is False
    assert a_node("one").database is None


def test_failed_writes_are_counted_in_a_row() -> None:
    failing = replace(primary(), write_failed="the disk is full")
    node = a_node("one", good(0, failing), good(1, failing))

    assert node.write_failures == 2
    assert node.after(good(2, primary()), RULES).write_failures == 0


def test_a_late_loop_a_clock_that_stepped_and_slow_strangers_make_the_observer_suspect() -> None:
    assert not Observer().suspicion
    assert "late" in Observer(late_seconds=0.5).suspicion
    assert "stepped" in Observer(stepped_seconds=-3600).suspicion
    assert "2 of 4" in Observer(unrelated=4, unrelated_failing=2).suspicion
    assert "2 of 2" in Observer(unrelated=2, unrelated_failing=2).suspicion
    assert not Observer(unrelated=1, unrelated_failing=1).suspicion
    assert not Observer(unrelated=2, unrelated_failing=1).suspicion
    assert not Observer(unrelated=5, unrelated_failing=2).suspicion


def test_a_recovery_is_waited_for_until_half_of_the_rto_is_over() -> None:
    assert recovering_seconds(timedelta(seconds=30)) == 15
    assert recovering_seconds(timedelta(seconds=2)) == LEAST_RECOVERING_SECONDS
    assert recovering_seconds(None) == RECOVERING_SECONDS


def test_what_is_silent_together_is_counted_for_longer_where_time_outs_take_longer_to_count() -> None:
    assert together_seconds(RULES) == SILENT_TOGETHER_SECONDS
    slow = replace(RULES, every_seconds=10.0)
    assert together_seconds(slow) == 2 * fall_seconds(slow)


def test_the_primary_is_the_one_of_the_newest_timeline() -> None:
    old, new = a_node("one", good(0, primary())), a_node("two", good(0, primary(timeline=2)))

    assert known_primary((old, new), "one") == "two"
    assert known_primary((old,), None) == "one"
    assert known_primary((a_node("two", good(0, standby())),), "one") == "one"
    assert known_primary((), None) is None


def test_an_old_primary_that_comes_back_is_none_to_a_daemon_to_which_the_new_one_has_not_answered_yet() -> None:
    recalled = Recalled("two", "c1", 2)
    back, silent = a_node("one", good(5, primary())), a_node("two", bad(5))
    assert known_primary((back, silent), "two", recalled) == "two"
    newer = a_node("three", good(5, primary(timeline=2)))
    assert known_primary((back, silent, newer), "two", recalled) == "three"
    anew = a_node("one", good(5, replace(primary(), cluster="c2")))
    assert known_primary((anew, silent), "two", recalled) == "one"
    follows = a_node("two", good(5, standby()))
    assert known_primary((back, follows), "two", recalled) == "one"


def test_of_two_on_one_timeline_the_one_that_was_the_primary_stays_it() -> None:
    nodes = a_node("one", good(0, primary())), a_node("two", good(5, primary()))

    assert known_primary(nodes, "one") == "one"
    assert known_primary(nodes, None) == "two"


def test_a_view_finds_its_nodes() -> None:
    view = a_view(a_node("one"), a_node("two"))

    assert view.node("two").name == "two"
    assert [node.name for node in view.others("two")] == ["one"]
    assert view.fresh_seconds == fall_seconds(RULES)
