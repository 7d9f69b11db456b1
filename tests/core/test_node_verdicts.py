"""Named causes from several signals: what is the matter with a node."""

from dataclasses import replace
from typing import Any

import pytest

from drd.core.health import Hysteresis, Observer
from drd.core.node_verdicts import LOST, Cause, NodeVerdict, judge
from drd.core.probing import Failure, Sign
from drd.core.runbook import NodeState
from tests.core.watched import RULES, a_node, a_view, bad, good, of_three, primary, refused, standby, verdict

WELL = (good(0, primary()),)
SILENT = (*WELL, bad(6), bad(7), bad(8))
CRASHED = (*WELL, refused(9, Sign.SESSION_CLOSED))


def test_a_node_that_answers_is_well_and_one_that_was_not_looked_at_is_not_known() -> None:
    assert verdict(a_view(a_node("one", *WELL))).cause is Cause.WELL
    assert verdict(a_view(a_node("one", good(0)))).cause is Cause.WELL
    assert verdict(a_view(a_node("one"))).cause is Cause.UNKNOWN
    assert verdict(a_view(a_node("one", bad(1)))).cause is Cause.UNKNOWN


def test_a_refusal_and_a_closed_session_are_a_dead_process_at_once() -> None:
    found = verdict(of_three(CRASHED))

    assert found.cause is Cause.PROCESS_DEAD
    assert found.state is NodeState.DOWN
    assert found.is_lost


def test_time_outs_in_a_row_are_a_silent_host_when_no_standby_hears_from_it() -> None:
    assert verdict(of_three(SILENT)).cause is Cause.HOST_SILENT


def test_before_enough_time_outs_the_verdict_stays_what_it_was() -> None:
    before = NodeVerdict("one", Cause.WELL, 1.0)

    assert verdict(of_three(SILENT[:-1]), before=before) == before


def test_a_silent_primary_that_a_standby_still_hears_from_is_unreachable_only_from_here() -> None:
    found = verdict(of_three(SILENT, heard_seconds_ago=0.1))

    assert found.cause is Cause.UNREACHABLE_FROM_HERE
    assert found.state is NodeState.UNKNOWN
    assert not found.is_lost
    assert "two still receives" in found.why


def test_a_standby_that_is_connected_and_has_heard_nothing_lately_is_no_sign_of_life() -> None:
    assert verdict(of_three(SILENT, heard_seconds_ago=8.0, is_receiving=True)).cause is Cause.HOST_SILENT


def test_standbys_that_hear_from_the_primary_say_nothing_about_another_standby() -> None:
    hearing = a_node("three", good(9.8, standby(heard_seconds_ago=0.01)))
    view = a_view(a_node("one", *WELL, good(9.9, primary())), a_node("two", *SILENT), hearing)

    assert verdict(view, "two").cause is Cause.HOST_SILENT


def test_a_port_that_accepts_and_a_server_that_does_not_answer_are_told_apart() -> None:
    frozen = [bad(at, Failure.TIMEOUT, Sign.ACCEPTS_TCP) for at in (6, 7, 8)]

    assert verdict(of_three((*WELL, *frozen), heard_seconds_ago=8.0)).cause is Cause.ACCEPTS_TCP_NOT_SQL


def test_where_packets_are_lost_on_drd_s_own_way_a_standby_knows_that_the_primary_serves() -> None:
    lossy = [bad(at, Failure.TIMEOUT, Sign.ACCEPTS_TCP) for at in (6, 7, 8)]

    assert verdict(of_three((*WELL, *lossy), heard_seconds_ago=0.1)).cause is Cause.UNREACHABLE_FROM_HERE
    nobody = a_view(a_node("one", *WELL, *lossy), a_node("two", good(5, standby()), *SILENT))
    assert verdict(nobody).cause is Cause.OBSERVER_SUSPECT


def test_before_a_standby_was_asked_since_then_nothing_is_said() -> None:
    before = NodeVerdict("one", Cause.WELL, 1.0)
    view = a_view(a_node("one", *CRASHED), a_node("two", good(8, standby())))

    assert verdict(view, before=before) == before


def test_of_a_silent_primary_a_standby_is_a_witness_only_when_it_was_asked_after_the_last_time_out() -> None:
    before = NodeVerdict("one", Cause.WELL, 1.0)
    early = a_node("two", good(7.5, standby(heard_seconds_ago=1.2)))
    late = a_node("two", good(8.6, standby(heard_seconds_ago=1.2)))

    assert verdict(a_view(a_node("one", *SILENT), early), before=before) == before
    assert verdict(a_view(a_node("one", *SILENT), late), before=before).cause is Cause.UNREACHABLE_FROM_HERE


def test_a_link_that_flaps_makes_no_single_failure_count_before_it_is_well_again() -> None:
    before = NodeVerdict("one", Cause.UNREACHABLE_FROM_HERE, 1.0)
    flapping = (*SILENT, good(8.6, primary()), bad(9))  # its standbys hear nothing just now

    assert verdict(of_three(flapping), before=before) == before
    again = (*flapping, bad(9.5), bad(10))
    assert verdict(of_three(again, at=11.0), before=before).cause is Cause.HOST_SILENT


def test_a_verdict_on_what_does_not_answer_becomes_only_firmer_until_it_answers() -> None:
    frozen = NodeVerdict("one", Cause.ACCEPTS_TCP_NOT_SQL, 5.0, "it accepts and says nothing")

    assert verdict(of_three(SILENT), before=frozen) == frozen
    assert verdict(of_three(CRASHED), before=frozen).cause is Cause.PROCESS_DEAD
    answered = (*SILENT, good(9, primary()), bad(10), bad(11), bad(12))
    assert verdict(of_three(answered, at=13.0), before=frozen).cause is Cause.HOST_SILENT


def test_a_machine_that_answers_again_keeps_its_verdict_until_that_counts() -> None:
    silent = [bad(at, probe="tcp") for at in (1, 2, 3)]
    before = NodeVerdict("one", Cause.HOST_SILENT, 1.0)

    assert verdict(a_view(a_node("one", *silent)), before=before).cause is Cause.HOST_SILENT
    assert verdict(a_view(a_node("one", *silent, good(4, probe="tcp"))), before=before) == before
    risen = [good(at, probe="tcp") for at in (4, 5, 6)]
    assert verdict(a_view(a_node("one", *silent, *risen)), before=before).cause is Cause.WELL


def test_where_nobody_writes_a_standby_is_waited_for_until_it_has_asked_its_primary_itself() -> None:
    before = NodeVerdict("one", Cause.WELL, 1.0)
    quiet = {"is_receiving": True, "asks_after_seconds": 2.0}

    assert verdict(of_three(SILENT, heard_seconds_ago=2.4, at=9.0, **quiet), before=before) == before
    assert verdict(of_three(SILENT, heard_seconds_ago=3.1, at=9.0, **quiet)).cause is Cause.HOST_SILENT
    late = {**quiet, "asks_after_seconds": 30.0}  # who asks so late is not waited for
    assert verdict(of_three(SILENT, heard_seconds_ago=2.4, at=9.0, **late)).cause is Cause.HOST_SILENT
    heard_nothing = {**quiet, "heard_seconds_ago": None}
    assert verdict(of_three(SILENT, at=9.0, **heard_nothing)).cause is Cause.HOST_SILENT
    assert verdict(of_three(CRASHED, heard_seconds_ago=1.0, at=9.5, **quiet)).cause is Cause.PROCESS_DEAD


def test_where_no_node_answers_drd_may_be_cut_off_itself() -> None:
    two = a_node("two", good(0, standby()), bad(6), bad(7), bad(8))

    assert verdict(a_view(a_node("one", *SILENT), two)).cause is Cause.OBSERVER_SUSPECT
    assert verdict(a_view(a_node("one", *CRASHED), two)).cause is Cause.PROCESS_DEAD
    assert verdict(a_view(a_node("one", *SILENT))).cause is Cause.HOST_SILENT


@pytest.mark.parametrize(
    ("signs", "looks", "cause"),
    [
        ((Sign.NO_CONNECTION_LEFT,), 3, Cause.CONNECTIONS_EXHAUSTED),
        ((Sign.NO_CONNECTION_LEFT,), 2, Cause.WELL),
        ((Sign.RESTARTING,), 1, Cause.RESTARTING),
        ((Sign.NOT_LET_IN,), 1, Cause.NOT_LET_IN),
        ((), 3, Cause.ANSWERS_WRONGLY),
    ],
)
def test_a_server_that_answers_with_an_error_is_not_dead(signs: tuple[Sign, ...], looks: int, cause: Cause) -> None:
    wrong = [bad(5 + at, Failure.WRONG_ANSWER, *signs, latency=0.01) for at in range(looks)]
    found = verdict(of_three((*WELL, *wrong)), before=NodeVerdict("one", Cause.WELL, 0.0))

    assert found.cause is cause


def test_a_primary_that_recovers_is_waited_for_and_not_for_ever() -> None:
    def recovering(seconds: int, begin: int = 1) -> tuple[Any, ...]:
        looks = [bad(at, Failure.WRONG_ANSWER, Sign.RESTARTING, latency=0.01) for at in range(begin, begin + seconds)]
        return (*WELL, *looks)

    def after(*results: Any, at: float, primary: str = "one") -> NodeVerdict:
        rules = replace(RULES, recovering_seconds=30.0)
        return verdict(replace(of_three(results, at=at), rules=rules, primary=primary))

    assert after(*recovering(30), at=31.0).cause is Cause.RESTARTING
    found = after(*recovering(32), at=33.0)
    assert (found.cause, found.state, found.is_lost) == (Cause.RESTARTS_TOO_LONG, NodeState.DOWN, True)
    assert "for 32 s, and 30 s are waited for" in found.why
    assert after(*recovering(32), at=33.0, primary="two").cause is Cause.RESTARTING, "a standby takes its time"
    # What counts is since when it recovers, and not for how long it was gone before.
    silent = [bad(at) for at in range(1, 100)]
    assert after(*WELL, *silent, *recovering(20, begin=100)[1:], at=121.0).cause is Cause.RESTARTING
    # Nobody remembers any more when a very long one began; that it failed all the time is known.
    assert after(*recovering(700), at=701.0).cause is Cause.RESTARTS_TOO_LONG


def test_restarts_again_and_again_are_a_crash_loop_whether_it_answers_or_not() -> None:
    names = [good(at, replace(primary(), started=f"{at}")) for at in range(4)]

    assert verdict(of_three(tuple(names))).cause is Cause.CRASH_LOOP
    assert verdict(of_three((*names, refused(5)))).cause is Cause.CRASH_LOOP
    assert verdict(of_three(tuple(names[:3]))).cause is Cause.WELL
    slow_once = verdict(of_three((*names, bad(5))), before=NodeVerdict("one", Cause.WELL, 1.0))
    assert slow_once.cause is Cause.WELL, "one look that took too long is no crash"


def test_slow_is_overloaded_and_never_dead() -> None:
    slow = (*(good(at, primary()) for at in range(5)), *(good(5 + at, primary(), latency=0.9) for at in range(3)))

    assert verdict(of_three(slow)).cause is Cause.OVERLOADED
    assert verdict(of_three(slow)).state is NodeState.UP


def test_what_cannot_be_written_is_said_when_it_failed_often_enough() -> None:
    full = replace(primary(), write_failed="the disk is full")

    assert verdict(of_three((good(7, full), good(8, full)))).cause is Cause.WELL
    assert verdict(of_three((good(7, full), good(8, full), good(9, full)))).cause is Cause.READS_NOT_WRITES


def test_a_commit_that_waits_for_standbys_is_blocked_replication() -> None:
    waiting = replace(primary(), longest_wait_seconds=5.0)

    assert verdict(of_three((good(9, waiting),))).cause is Cause.SYNC_BLOCKED


def test_two_that_take_writes_are_two_primaries_unless_one_was_seen_long_ago_or_is_of_another_cluster() -> None:
    def against(at: float, **more: Any) -> Cause:
        rival = a_node("two", good(at, replace(primary(timeline=2), **more)))
        return verdict(a_view(a_node("one", good(9, primary())), rival)).cause

    assert against(9) is Cause.TWO_PRIMARIES
    assert against(1) is Cause.WELL
    assert against(9, cluster="c2") is Cause.WELL


@pytest.mark.parametrize(
    ("there", "cause"),
    [
        (standby(900), Cause.WELL),
        (standby(1200), Cause.DIVERGED),
        (standby(1000), Cause.WELL),
        (standby(1300, timeline=3, forks=((1, 1000), (2, 1200))), Cause.DIVERGED),
    ],
)
def test_a_standby_beyond_the_fork_of_its_primary_has_diverged(there: Any, cause: Cause) -> None:
    promoted = a_node("one", good(9, primary(1500, timeline=2, forks=((1, 1000),))))

    assert verdict(a_view(promoted, a_node("two", good(9, there))), "two").cause is cause


def test_whether_it_has_diverged_is_not_said_without_the_past_of_the_timelines() -> None:
    promoted = a_node("one", good(9, primary(1500, timeline=2)))
    two = a_node("two", good(9, standby(1200)))

    assert verdict(a_view(promoted, two), "two").cause is Cause.WELL
    assert verdict(a_view(promoted, two, primary=None), "two").cause is Cause.WELL
    assert verdict(a_view(a_node("one", good(9, standby())), two), "two").cause is Cause.WELL
    elsewhere = a_node("one", good(9, replace(primary(timeline=2, forks=((1, 1000),)), cluster="c2")))
    assert verdict(a_view(elsewhere, two), "two").cause is Cause.WELL


def test_a_suspect_observer_calls_nothing_dead_and_leaves_alone_what_answers() -> None:
    late = Observer(late_seconds=1.0)
    view = replace(of_three(SILENT), observer=late)

    assert verdict(view).cause is Cause.OBSERVER_SUSPECT
    assert verdict(view, "two").cause is Cause.WELL
    before = NodeVerdict("one", Cause.WELL, 1.0)
    assert verdict(replace(of_three(SILENT[:2]), observer=late), before=before) == before


def test_a_closed_session_and_a_refusal_are_judged_however_late_drd_is_but_not_by_a_clock_that_was_set() -> None:
    late = Observer(late_seconds=1.0)
    assert verdict(replace(of_three(CRASHED), observer=late)).cause is Cause.PROCESS_DEAD
    refused_only = (*WELL, refused(9), refused(9.1), refused(9.2))
    assert verdict(replace(of_three(refused_only), observer=late)).cause is Cause.OBSERVER_SUSPECT
    for doubtful in (replace(late, stepped_seconds=60.0), replace(late, unrelated=2, unrelated_failing=2)):
        assert verdict(replace(of_three(CRASHED), observer=doubtful)).cause is Cause.OBSERVER_SUSPECT


def test_a_database_that_comes_back_is_well_when_it_has_answered_often_enough() -> None:
    before = NodeVerdict("one", Cause.HOST_SILENT, 8.0)

    assert verdict(of_three((*SILENT, good(9, primary()))), before=before) == before
    back = of_three((*SILENT, good(9, primary()), good(9.1, primary()), good(9.2, primary())))
    assert verdict(back, before=before).cause is Cause.WELL


def test_a_verdict_keeps_the_moment_at_which_it_began() -> None:
    first = verdict(of_three(SILENT, at=10.0))
    later = verdict(of_three((*SILENT, bad(9)), at=11.0), before=first)

    assert (later.cause, later.since) == (Cause.HOST_SILENT, 10.0)


@pytest.mark.parametrize(
    ("failure", "signs", "cause"),
    [
        (Failure.REFUSED, (), Cause.PROCESS_DEAD),
        (Failure.TIMEOUT, (), Cause.HOST_SILENT),
        (Failure.TIMEOUT, (Sign.ACCEPTS_TCP,), Cause.ACCEPTS_TCP_NOT_SQL),
        (Failure.WRONG_ANSWER, (), Cause.ANSWERS_WRONGLY),
    ],
)
def test_a_node_without_a_database_is_judged_by_its_other_probes(
    failure: Failure, signs: tuple[Sign, ...], cause: Cause
) -> None:
    looks = [bad(at, failure, *signs, probe="http") for at in range(3)]

    assert verdict(a_view(a_node("one", *looks))).cause is cause
    assert verdict(a_view(a_node("one", *looks[:2]))).cause is Cause.UNKNOWN


def test_a_node_without_a_database_keeps_its_verdict_through_a_single_failure() -> None:
    once = a_node("one", good(0, probe="tcp"), bad(1, probe="tcp"))
    before = NodeVerdict("one", Cause.WELL, 0.0)

    assert verdict(a_view(once), before=before) == before
    assert verdict(a_view(a_node("one", good(0, probe="tcp")))).cause is Cause.WELL


def test_a_database_that_answers_on_a_host_short_of_room_is_overloaded() -> None:
    short = [bad(at, Failure.WRONG_ANSWER, probe="host") for at in (7, 8, 9)]

    assert verdict(a_view(a_node("one", good(9, primary()), *short))).cause is Cause.OVERLOADED


def test_all_nodes_are_judged() -> None:
    assert set(judge(of_three(SILENT), {})) == {"one", "two", "three"}
    assert Cause.OVERLOADED not in LOST
    assert Hysteresis() != RULES


def test_a_former_primary_that_does_not_answer_any_more_is_no_second_one() -> None:
    one, two = a_node("one", good(8, primary()), refused(9)), a_node("two", good(9.5, primary(2000, timeline=2)))
    view = a_view(one, two, primary="two")

    assert verdict(view, "two").cause is Cause.WELL
    assert verdict(a_view(a_node("one", good(9, primary())), two, primary="two"), "two").cause is Cause.TWO_PRIMARIES


def test_a_primary_that_answers_as_a_standby_leads_no_more_unless_another_one_does() -> None:
    back = a_node("one", good(8, primary()), *(good(9 + at / 10, standby(is_receiving=False)) for at in range(3)))

    assert verdict(a_view(back, a_node("two", good(9, standby())))).cause is Cause.LEADS_NO_MORE
    assert verdict(a_view(back, a_node("two", good(9, primary(timeline=2))), primary="two")).cause is Cause.WELL
