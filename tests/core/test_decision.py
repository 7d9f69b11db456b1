"""What is done about a primary, why, and what never is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.decision import (
    Act,
    Decision,
    Guard,
    Rival,
    Rules,
    View,
    decide,
)
from drd.core.fencing import Fence, FenceState, Rung
from drd.core.health import ClusterView, Observer, Recalled
from drd.core.node_verdicts import LOST, Cause, judge
from drd.core.policy import DisasterClass
from drd.core.probing import Beat, Failure, ProbeResult, Quorum, Sign
from drd.core.runbook import RunbookMode
from tests.core.watched import a_node, a_view, bad, good, of_three, primary, refused, standby

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
WELL = (good(0, primary()),)
SILENT = (*WELL, bad(6), bad(7), bad(8))
CRASHED = (good(8.5, primary()), refused(9, Sign.SESSION_CLOSED))
SSH = Fence(Rung.SSH, FenceState.AVAILABLE)
AUTOMATICALLY = Rules(RunbookMode.AUTOMATIC)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def a_situation(cluster: ClusterView, **more: Any) -> View:
    verdicts = judge(cluster, {})
    return View("orders", cluster, verdicts, **{"rules": AUTOMATICALLY, "fences": (SSH,), **more})


def guards(decision: Decision) -> set[Guard]:
    return {blocker.guard for blocker in decision.blockers}


def silent(**more: Any) -> View:
    return a_situation(of_three(SILENT), **more)


def test_while_the_primary_is_well_nothing_is_done_and_it_is_said_what_a_failover_would_cost() -> None:
    found = decide(a_situation(of_three(WELL)), NOW)

    assert found.act is Act.HOLD
    assert found.summary == "one is the primary, and well"
    assert found.candidate is not None
    assert found.candidate.lag_bytes == 0
    assert found.disaster is None
    assert guards(found) == {Guard.PRIMARY_ANSWERS}
    assert found.fence == SSH


def test_a_lost_primary_is_fenced_first_and_only_then_is_a_standby_promoted() -> None:
    first = decide(silent(), NOW)
    then = decide(silent(fences=(replace(SSH, state=FenceState.CONFIRMED),)), NOW)

    assert (first.act, then.act) == (Act.FENCE, Act.PROMOTE)
    assert first.disaster is DisasterClass.HARDWARE
    assert then.candidate is not None
    assert then.summary.endswith(f"{then.candidate.node} is promoted, since one was fenced by ssh")
    assert not first.blockers


def test_with_no_rung_a_person_has_to_approve() -> None:
    failed = (replace(SSH, state=FenceState.FAILED, why="no answer"),)
    alone = decide(silent(fences=()), NOW)
    asked = decide(silent(fences=failed), NOW)

    assert (alone.act, asked.act) == (Act.ASK, Act.ASK)
    assert "no rung is set up" in alone.summary
    assert "ssh: no answer" in asked.summary


@pytest.mark.parametrize("mode", [RunbookMode.APPROVE, RunbookMode.MANUAL])
def test_a_runbook_that_does_not_start_by_itself_asks(mode: RunbookMode) -> None:
    asked = decide(silent(rules=Rules(mode)), NOW)

    assert asked.act is Act.ASK
    assert guards(asked) == {Guard.MODE}


def test_without_a_runbook_nothing_is_done() -> None:
    assert guards(decide(silent(rules=Rules()), NOW)) == {Guard.NO_RUNBOOK}
    assert decide(silent(rules=Rules()), NOW).act is Act.HOLD


@pytest.mark.parametrize(
    ("more", "guard"),
    [
        ({"paused": "kernel updates"}, Guard.PAUSED),
        ({"rivals": (Rival("01OTHER", 3),)}, Guard.RIVAL),
        ({"rivals": (Rival("01OTHER", 0),)}, Guard.RIVAL),
        ({"rules": replace(AUTOMATICALLY, hold_down=hours(1)), "failovers": (NOW - hours(0.5),)}, Guard.HOLD_DOWN),
        ({"rules": replace(AUTOMATICALLY, per_day=1), "failovers": (NOW - hours(20),)}, Guard.PER_DAY),
        # The clock was set back since.
        ({"rules": replace(AUTOMATICALLY, hold_down=hours(1)), "failovers": (NOW + hours(2),)}, Guard.HOLD_DOWN),
        ({"rules": replace(AUTOMATICALLY, per_day=1), "failovers": (NOW + hours(2),)}, Guard.PER_DAY),
    ],
)
def test_a_guard_holds_and_says_why(more: dict[str, Any], guard: Guard) -> None:
    found = decide(silent(**more), NOW)

    assert found.act is Act.HOLD
    assert guards(found) == {guard}
    assert str(found.blockers[0]) in found.summary


def test_other_runs_and_other_policies_hold() -> None:
    for more, guard in (
        ({"busy": "orders-loss, run 1"}, Guard.BUSY),
        ({"tried": "orders-loss, run 1"}, Guard.TRIED),
        ({"shared": "another policy"}, Guard.SHARED),
        ({"rules": replace(AUTOMATICALLY, is_triggered=False)}, Guard.NO_RUNBOOK),
    ):
        found = decide(silent(**more), NOW)
        assert (found.act, found.aim, guards(found)) == (Act.HOLD, Act.FENCE, {guard})
    restarting = a_situation(of_three(CRASHED), rules=replace(AUTOMATICALLY, restart=RunbookMode.AUTOMATIC))
    assert decide(restarting, NOW).act is Act.RESTART
    assert decide(replace(restarting, busy="run 1"), NOW).act is Act.HOLD


def test_what_is_not_known_to_be_lacking_is_too_much_where_something_is_promised() -> None:
    cluster = replace(
        a_view(
            a_node("one", refused(7), refused(8), refused(9)), a_node("two", good(9.5, standby(heard_seconds_ago=9.0)))
        ),
        recalled=Recalled("one", "c1", 1),
    )
    promised = replace(AUTOMATICALLY, max_lag=timedelta(seconds=5))

    assert decide(a_situation(cluster), NOW).act is Act.FENCE
    assert guards(decide(a_situation(cluster, rules=promised), NOW)) == {Guard.LAG}


def behind(primary_at: int, *beats: Beat, **more: Any) -> ClusterView:
    """A silent primary that had got so far, and standbys at 1000."""
    return of_three((good(0, primary(primary_at)), bad(6), bad(7), bad(8)), beats=beats, **more)


LATE, YOUNG = Beat("me", 0, 60.0), Beat("me", 0, 9.9)
BYTES, SECONDS = {"max_lag_bytes": 1000}, {"max_lag": timedelta(seconds=5)}


@pytest.mark.parametrize(
    ("cluster", "limits", "is_held"),
    [
        (behind(10 * 2**30), SECONDS, True),  # no heartbeat, and nothing said about bytes
        (behind(1500), SECONDS, True),
        (behind(1500), {**SECONDS, **BYTES}, False),
        (behind(3000), {**SECONDS, **BYTES}, True),
        (behind(1500, LATE), {**SECONDS, **BYTES}, True),
        (behind(3000, YOUNG), {**SECONDS, **BYTES}, True),
        (behind(3000, YOUNG), SECONDS, False),
        (behind(3000), {}, False),
        # All is received, and replayed late: that costs time, and no data.
        (behind(1000, LATE, replayed=10), {**SECONDS, **BYTES}, False),
        (behind(1000), SECONDS, False),
    ],
)
def test_a_limit_of_what_is_lost_holds_where_it_is_broken_or_nobody_can_tell_by_either(
    cluster: ClusterView, limits: dict[str, Any], is_held: bool
) -> None:
    found = decide(a_situation(cluster, rules=replace(AUTOMATICALLY, **limits)), NOW)

    assert guards(found) == ({Guard.LAG} if is_held else set())


@pytest.mark.parametrize("limits", [BYTES, SECONDS, {**BYTES, **SECONDS}])
def test_what_commits_waited_for_lacks_nothing_that_was_acknowledged_also_when_the_primary_died_before_drd_began(
    limits: dict[str, Any],
) -> None:
    rule = Quorum(1, ("two", "three"))
    dead = a_node("one", refused(7), refused(8), refused(9))
    two, three = (
        a_node(name, good(9.5, standby(offset, replicates_as=name, beats=(LATE,), heard_seconds_ago=9.0)))
        for name, offset in (("two", 900), ("three", 1000))
    )
    rules, never_seen = replace(AUTOMATICALLY, **limits), a_view(dead, two, three)
    waited = replace(never_seen, recalled=Recalled("one", "c1", 1, rule))
    assert decide(a_situation(waited, rules=rules), NOW).act is Act.FENCE
    assert guards(decide(a_situation(replace(waited, recalled=Recalled("one", "c1", 1)), rules=rules), NOW)) == {
        Guard.LAG
    }
    seen = a_node("one", good(0, primary(2**30, quorum=rule)), refused(7), refused(8), refused(9))
    assert decide(a_situation(a_view(seen, two, three), rules=rules), NOW).act is Act.FENCE


def test_guards_of_repetition_let_go_after_their_time() -> None:
    rules = replace(AUTOMATICALLY, hold_down=hours(1), per_day=2)

    assert decide(silent(rules=rules, failovers=(NOW - hours(25), NOW - hours(2))), NOW).act is Act.FENCE
    assert decide(silent(rules=rules), NOW).act is Act.FENCE


def test_what_may_be_lost_at_most_holds_and_names_what_would_be() -> None:
    beats = (Beat("me", 0, 60.0),)
    behind = of_three((good(0, primary(10_000)), bad(6), bad(7), bad(8)), beats=beats)
    rules = Rules(RunbookMode.AUTOMATIC, max_lag_bytes=1000, max_lag=timedelta(seconds=5))

    found = decide(a_situation(behind, rules=rules), NOW)
    assert [each.guard for each in found.blockers] == [Guard.LAG, Guard.LAG]
    assert "lacks 8.79 KiB" in found.summary
    assert (
        decide(a_situation(behind, rules=replace(rules, max_lag_bytes=10_000, max_lag=hours(1))), NOW).act is Act.FENCE
    )


def test_an_unknown_loss_is_more_than_is_allowed() -> None:
    once = good(0, standby(2000))
    lost = a_situation(of_three((once, bad(6), bad(7), bad(8))), rules=Rules(RunbookMode.AUTOMATIC, max_lag_bytes=1))

    assert "an unknown amount" in decide(lost, NOW).summary


def test_a_standby_that_cannot_be_promoted_holds() -> None:
    paused = a_situation(of_three(SILENT, is_paused=True))

    assert decide(paused, NOW).act is Act.HOLD
    assert "its replay is paused" in decide(paused, NOW).summary
    alone = a_situation(a_view(a_node("one", *SILENT)))
    assert "names no other node" in decide(alone, NOW).summary


def test_a_primary_that_is_not_lost_is_never_replaced() -> None:
    unreachable = decide(a_situation(of_three(SILENT, heard_seconds_ago=0.1)), NOW)

    assert unreachable.act is Act.HOLD
    assert unreachable.cause is Cause.UNREACHABLE_FROM_HERE
    assert guards(unreachable) == {Guard.VIEW}


def test_another_node_that_takes_writes_holds() -> None:
    # It says that it is a primary on an old timeline, so the lost one stays the one of the newest.
    old = a_node("two", good(9.8, primary(900, timeline=1)))
    lost = (good(0, primary(timeline=2)), bad(6), bad(7), bad(8))
    cluster = a_view(a_node("one", *lost), old, a_node("three", good(9.8, standby(timeline=2, heard_seconds_ago=9.0))))
    view = a_situation(cluster)

    assert decide(view, NOW).act is Act.HOLD
    assert Guard.TWO_PRIMARIES in guards(decide(view, NOW))


def test_a_primary_in_a_crash_loop_is_left_alone_while_it_answers() -> None:
    starts = tuple(good(5 + at, replace(primary(), started=f"{at}")) for at in range(4))
    answering = decide(a_situation(of_three(starts)), NOW)
    gone = decide(a_situation(of_three((*starts, refused(9.5)))), NOW)

    assert (answering.cause, answering.act, guards(answering)) == (Cause.CRASH_LOOP, Act.HOLD, {Guard.PRIMARY_ANSWERS})
    assert (gone.cause, gone.act, gone.disaster) == (Cause.CRASH_LOOP, Act.FENCE, DisasterClass.PROCESS)


def test_a_primary_that_recovers_for_too_long_is_fenced_and_not_started_again() -> None:
    recovering = [bad(at, Failure.WRONG_ANSWER, Sign.RESTARTING, latency=0.01) for at in (1, 2, 3)]
    cluster = of_three((*WELL, *recovering))
    impatient = replace(cluster, rules=replace(cluster.rules, recovering_seconds=5.0))
    rules = replace(AUTOMATICALLY, restart=RunbookMode.AUTOMATIC)
    found = decide(a_situation(impatient, rules=rules), NOW)

    assert (found.cause, found.act, found.disaster) == (Cause.RESTARTS_TOO_LONG, Act.FENCE, DisasterClass.PROCESS)
    assert decide(a_situation(cluster, rules=rules), NOW).act is Act.HOLD


def test_a_suspect_observer_holds() -> None:
    late = replace(of_three(SILENT), observer=Observer(late_seconds=1.0))
    found = decide(replace(a_situation(of_three(SILENT)), cluster=late), NOW)

    assert found.act is Act.HOLD
    assert Guard.OBSERVER in guards(found)


def test_lateness_of_drd_s_own_does_not_hold_where_a_session_was_closed_and_the_port_is_refused() -> None:
    late = replace(of_three(CRASHED), observer=Observer(late_seconds=1.0))

    assert decide(a_situation(late), NOW).act is Act.FENCE
    for doubtful in (Observer(late_seconds=1.0, stepped_seconds=60.0), Observer(unrelated=2, unrelated_failing=2)):
        assert decide(a_situation(replace(late, observer=doubtful)), NOW).act is Act.HOLD


def test_without_a_primary_ever_seen_nothing_is_done() -> None:
    found = decide(a_situation(a_view(a_node("two", good(9, standby())), primary=None)), NOW)

    assert (found.act, found.summary) == (Act.HOLD, "no primary is known")
    assert Guard.VIEW in guards(found)


def test_a_dead_process_is_started_again_first_where_there_is_a_runbook_for_that() -> None:
    rules = Rules(RunbookMode.APPROVE, restart=RunbookMode.AUTOMATIC)
    found = decide(a_situation(of_three(CRASHED), rules=rules, fences=()), NOW)

    assert found.act is Act.RESTART
    assert found.disaster is DisasterClass.PROCESS
    assert decide(a_situation(of_three(CRASHED), rules=rules, restart_is_over=True), NOW).act is Act.ASK
    assert decide(silent(rules=rules), NOW).act is Act.ASK


def test_a_restart_is_held_back_by_a_pause_and_asks_where_its_runbook_does() -> None:
    rules = Rules(RunbookMode.AUTOMATIC, restart=RunbookMode.MANUAL)

    assert decide(a_situation(of_three(CRASHED), rules=rules), NOW).act is Act.ASK
    assert decide(a_situation(of_three(CRASHED), rules=rules, paused="moving house"), NOW).act is Act.HOLD


# --- whatever happens -------------------------------------------------------------------------------------------------

servers = st.builds(
    lambda role, offset, timeline, heard, receiving, paused: replace(
        primary(offset, timeline) if role else standby(offset, timeline),
        heard_seconds_ago=heard,
        is_receiving=receiving,
        is_paused=paused,
    ),
    st.booleans(),
    st.integers(0, 2000),
    st.integers(1, 2),
    st.none() | st.floats(0, 10),
    st.sampled_from([True, False, None]),
    st.booleans(),
)
looks = st.lists(
    st.one_of(
        st.builds(good, st.floats(0, 9.9), servers, st.sampled_from([0.001, 0.01, 3.0])),
        st.builds(
            bad, st.floats(0, 9.9), st.sampled_from(list(Failure)), st.sampled_from(list(Sign)), latency=st.just(0.05)
        ),
    ),
    max_size=8,
)
fences = st.lists(st.builds(Fence, st.sampled_from(list(Rung)), st.sampled_from(list(FenceState))), max_size=4)
rules = st.builds(
    Rules,
    st.none() | st.sampled_from(list(RunbookMode)),
    st.none() | st.just(hours(1)),
    st.none() | st.just(1),
    st.none() | st.just(100),
    st.none() | st.just(timedelta(seconds=5)),
    st.none() | st.sampled_from(list(RunbookMode)),
)
observers = st.sampled_from(
    [Observer(), Observer(), Observer(late_seconds=1.0), Observer(unrelated=2, unrelated_failing=2)]
)


@st.composite
def situations(draw: st.DrawFn) -> View:
    nodes = tuple(
        a_node(name, *sorted(draw(looks), key=lambda result: result.began)) for name in ("one", "two", "three")
    )
    cluster = a_view(*nodes, observer=draw(observers), primary=draw(st.sampled_from(["one", "one", "one", None])))
    return View(
        "orders",
        cluster,
        judge(cluster, {}),
        draw(rules),
        tuple(draw(fences)),
        draw(st.sampled_from([(), (NOW - hours(0.5),), (NOW - hours(20),)])),
        draw(st.sampled_from(["", "", "kernel updates"])),
        draw(st.sampled_from([(), (), (Rival("01OTHER", 1),)])),
        draw(st.booleans()),
    )


@given(situations())
def test_nothing_is_promoted_without_a_confirmed_fence_and_nothing_else_that_must_never_be(view: View) -> None:
    found = decide(view, NOW)
    confirmed = [fence for fence in view.fences if fence.state is FenceState.CONFIRMED]
    blocked = guards(found)

    if found.act is Act.PROMOTE:
        assert confirmed
        assert found.candidate is not None
        assert not found.candidate.why_not
        assert view.rules.mode is RunbookMode.AUTOMATIC
    if found.act is Act.FENCE:
        assert found.fence is not None
        assert found.fence.state is not FenceState.IMPOSSIBLE
    if found.act in (Act.PROMOTE, Act.FENCE, Act.RESTART):
        assert found.cause in LOST
        assert not blocked & {Guard.PRIMARY_ANSWERS, Guard.TWO_PRIMARIES}
        assert not view.cluster.doubt_of(found.primary)
        assert not view.paused
        assert not view.rivals
    if found.act in (Act.PROMOTE, Act.FENCE):
        assert not found.blockers
    if found.act is Act.HOLD and found.primary is not None and found.cause in LOST:
        assert found.blockers, "who holds says why"


@given(looks, st.floats(0.001, 60))
def test_slow_is_never_dead(before: list[ProbeResult], latency: float) -> None:
    """Whatever came before: when the newest answers came, however late, the primary is not lost."""
    answers = [good(10 + at, primary(), latency) for at in range(3 * 8)]
    node = a_node("one", *sorted(before, key=lambda result: result.began), *answers)
    cluster = a_view(node, a_node("two", good(9, standby())), at=100.0)
    found = judge(cluster, {})["one"]

    assert found.cause in (Cause.WELL, Cause.OVERLOADED, Cause.CRASH_LOOP)
    assert decide(a_situation(cluster), NOW).act in (Act.HOLD, Act.RESTART) or found.cause is Cause.CRASH_LOOP
