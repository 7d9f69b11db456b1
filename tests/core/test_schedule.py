"""What is due follows from the runs that succeeded and from the time, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drd.core.cadence import longest_gap
from drd.core.catalogue import PolicyRecord, RunRecord
from drd.core.cron import Cron
from drd.core.forbidden import ForbiddenTime
from drd.core.plan import History, ModeHistory, Plan, Recurrence, Start
from drd.core.policy import Cause, Mode, Outcome, Policy, Timing
from drd.core.schedule import Due, Reason, consider, offset_in

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
FULL, INCREMENTAL = Mode.FULL, Mode.INCREMENTAL


def due(policies: Iterable[tuple[Plan, History]], now: datetime) -> list[Due]:
    """Everything to submit at one moment, the longest owed first."""
    found = [verdict.due for plan, history in policies if (verdict := consider(plan, history, now)).due]
    return sorted(found, key=lambda item: (item.start_at, item.policy))


def next_wake(plan: Plan, history: History, now: datetime) -> datetime | None:
    """When it may next become due; None while only an event can change that."""
    verdict = consider(plan, history, now)
    return now if verdict.due else verdict.wake


def at(text: str) -> datetime:
    """A moment of June 2026, as `3 02:00` or `3 02:00:30`."""
    day, time = text.split()
    return datetime.fromisoformat(f"2026-06-{int(day):02}T{time}+00:00")


def cron(line: str, spread: timedelta = timedelta()) -> Recurrence:
    return Recurrence(cron=Cron.parse(line), spread=spread)


def every(interval: timedelta, spread: timedelta = timedelta()) -> Recurrence:
    return Recurrence(every=interval, spread=spread)


def plan(full: Recurrence | None = None, incremental: Recurrence | None = None, **more: object) -> Plan:
    forbidden = more.pop("forbidden", ())
    assert isinstance(forbidden, tuple)
    spans = tuple(ForbiddenTime.parse(text) for text in forbidden)
    return Plan("orders", UTC_ZONE, at("1 12:00"), full, incremental, forbidden=spans, **more)  # type: ignore[arg-type]


def ran(full: str | None = None, incremental: str | None = None) -> History:
    """A history of good runs."""
    return History(
        ModeHistory(Start(at(full)) if full else None), ModeHistory(Start(at(incremental)) if incremental else None)
    )


def verdict(one: Plan, history: History, now: str) -> tuple[str, ...]:
    """What is due as `mode slot cause`, or what is waited for and until when."""
    found = consider(one, history, at(now))
    if found.due is None:
        wake = f"{found.wake:%-d %H:%M:%S}" if found.wake else "never"
        return ("wait", found.reason.name, wake)
    return (found.due.mode.value, f"{found.due.slot:%-d %H:%M}", found.due.cause.value)


DAILY = cron("0 2 * * *")


# --- first runs and ordinary ones ------------------------------------------------------------------------------------


def test_a_policy_that_never_ran_is_due_at_once_with_a_full() -> None:
    for one in (plan(DAILY), plan(None, DAILY), plan(DAILY, every(HOUR)), plan(DAILY, catch_up=False)):
        assert verdict(one, History(), "1 12:00") == ("full", "1 12:00", "schedule")
        assert verdict(one, History(), "5 01:59") == ("full", "1 12:00", "schedule")


def test_a_creation_that_lies_ahead_does_not_delay_the_first_run() -> None:
    assert verdict(plan(every(HOUR, spread=HOUR)), History(), "1 11:00") == ("full", "1 11:00", "schedule")


def test_an_interval_with_a_spread_staggers_only_its_first_run() -> None:
    one = plan(every(HOUR, spread=HOUR))
    stagger = offset_in(HOUR, "orders", one.created)
    assert timedelta() < stagger < HOUR
    assert next_wake(one, History(), one.created) == one.created + stagger
    assert consider(one, History(), one.created).reason is Reason.SPREAD
    assert due([(one, History())], one.created + stagger)[0].start_at == one.created + stagger
    assert verdict(one, ran("3 02:00"), "3 02:10") == ("wait", "SLOT", "3 03:00:00")


def test_a_policy_without_a_schedule_waits_for_a_person() -> None:
    assert verdict(plan(), History(), "1 12:00") == ("wait", "UNSCHEDULED", "never")
    assert next_wake(plan(), History(), at("1 12:00")) is None


def test_a_good_run_at_or_after_the_slot_satisfies_it() -> None:
    assert verdict(plan(DAILY), ran("3 02:00"), "3 02:30") == ("wait", "SLOT", "4 02:00:00")
    assert verdict(plan(DAILY), ran("2 14:00"), "3 01:59:59") == ("wait", "SLOT", "3 02:00:00")
    assert verdict(plan(DAILY), ran("3 01:59:59"), "3 02:00") == ("full", "3 02:00", "schedule")
    assert verdict(plan(every(HOUR)), ran("3 02:10"), "3 03:09:59") == ("wait", "SLOT", "3 03:10:00")
    assert verdict(plan(every(HOUR)), ran("3 02:10"), "3 03:10") == ("full", "3 03:10", "schedule")


def test_a_full_satisfies_an_incremental_and_goes_before_it() -> None:
    both = plan(DAILY, every(15 * MINUTE))
    assert verdict(both, ran("2 02:00", "3 01:45"), "3 02:00") == ("full", "3 02:00", "schedule")
    assert verdict(both, ran("3 02:00", "3 01:45"), "3 02:14") == ("wait", "SLOT", "3 02:15:00")
    assert verdict(both, ran("3 02:00", "3 01:45"), "3 02:15") == ("incremental", "3 02:15", "schedule")
    assert verdict(plan(None, DAILY), ran("3 02:00"), "3 03:00") == ("wait", "SLOT", "4 02:00:00")
    assert verdict(plan(None, DAILY), ran("2 02:00"), "3 02:00") == ("incremental", "3 02:00", "schedule")


def test_an_incremental_is_left_to_a_full_of_its_slot_that_waits_for_its_spread() -> None:
    spread = 50 * MINUTE
    both = plan(cron("0 2 * * *", spread), cron("0 * * * *"))
    start = at("3 02:00") + offset_in(spread, "orders", at("3 02:00"))
    before = ran("2 02:30", "3 01:00")
    assert consider(both, before, at("3 02:00")) == consider(both, before, start - SECOND)
    assert verdict(both, before, "3 02:00") == ("wait", "SPREAD", f"{start:%-d %H:%M:%S}")
    assert due([(both, before)], start) == [Due("orders", FULL, at("3 02:00"), Cause.SCHEDULE, start)]
    tight = plan(cron("0 2 * * *", spread), cron("0 * * * *"), rpo=HOUR)
    assert verdict(tight, before, "3 02:00") == ("incremental", "3 02:00", "schedule")


def test_one_run_at_a_time_and_none_in_a_pause() -> None:
    running = ran("2 02:00").started(FULL, at("3 02:00"))
    assert verdict(plan(DAILY), running, "3 02:00") == ("wait", "RUNNING", "never")
    paused = History(ran("2 02:00").full, not_before=at("3 08:00"))
    assert verdict(plan(DAILY), paused, "3 02:00") == ("wait", "PAUSED", "3 08:00:00")
    assert verdict(plan(DAILY), paused, "3 08:00") == ("full", "3 02:00", "catch-up")


def test_what_is_due_comes_with_the_longest_owed_first() -> None:
    late = Plan("late", UTC_ZONE, at("1 12:00"), full=DAILY)
    later = Plan("later", UTC_ZONE, at("1 12:00"), full=cron("0 3 * * *"))
    idle = Plan("idle", UTC_ZONE, at("1 12:00"), full=cron("0 4 * * *"))
    found = due([(idle, ran("3 04:00")), (later, ran("2 03:00")), (late, ran("2 02:00"))], at("3 05:00"))
    assert [(item.policy, item.slot) for item in found] == [("late", at("3 02:00")), ("later", at("3 03:00"))]


# --- missed runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full", "last", "now", "expected"),
    [
        (DAILY, "2 02:00", "3 02:05", ("full", "3 02:00", "schedule")),
        (DAILY, "2 02:00", "3 02:06", ("full", "3 02:00", "catch-up")),
        (DAILY, "1 02:00", "9 14:00", ("full", "9 02:00", "catch-up")),
        (DAILY, "1 02:00", "9 01:29", ("full", "8 02:00", "catch-up")),
        (DAILY, "1 02:00", "9 01:30", ("wait", "NEAR", "9 02:00:00")),
        (every(HOUR), "3 02:00", "3 09:07", ("full", "3 09:00", "catch-up")),
        (every(HOUR), "3 02:00", "3 09:53", ("full", "3 09:00", "catch-up")),
        (every(HOUR), "3 02:00", "3 09:54", ("wait", "NEAR", "3 10:00:00")),
        (every(4 * MINUTE), "3 02:00", "3 03:02", ("full", "3 03:00", "schedule")),
        (every(4 * MINUTE), "3 02:00", "3 03:03", ("full", "3 03:00", "catch-up")),
    ],
)
def test_a_missed_run_is_made_up_once_unless_the_next_is_near(
    full: Recurrence, last: str, now: str, expected: tuple[str, ...]
) -> None:
    assert verdict(plan(full), ran(last), now) == expected
    made_up = ran(last).started(FULL, at(now)).finished(Outcome.SUCCEEDED, at(now) + MINUTE)
    assert verdict(plan(full), made_up, now)[:2] == ("wait", "SLOT")


def test_a_missed_run_is_not_made_up_without_catch_up() -> None:
    assert verdict(plan(DAILY, catch_up=False), ran("2 02:00"), "3 02:05") == ("full", "3 02:00", "schedule")
    assert verdict(plan(DAILY, catch_up=False), ran("2 02:00"), "3 02:06") == ("wait", "NOT_CAUGHT_UP", "4 02:00:00")


# --- failures --------------------------------------------------------------------------------------------------------


def failed(history: History, mode: Mode, times: int, ended: str, outcome: Outcome = Outcome.FAILED) -> History:
    for _ in range(times):
        history = history.started(mode, at(ended) - MINUTE).finished(outcome, at(ended))
    return history


@pytest.mark.parametrize(
    ("full", "times", "wait"),
    [
        (DAILY, 1, 1 * MINUTE),
        (DAILY, 2, 2 * MINUTE),
        (DAILY, 3, 4 * MINUTE),
        (DAILY, 5, 16 * MINUTE),
        (DAILY, 6, 30 * MINUTE),
        (DAILY, 5000, 30 * MINUTE),
        (cron("*/30 * * * *"), 6, 15 * MINUTE),
        (every(16 * MINUTE), 6, 8 * MINUTE),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCOMPLETE, Outcome.CANCELLED, Outcome.SKIPPED])
def test_a_run_that_did_not_succeed_is_tried_again_ever_later(
    full: Recurrence, times: int, wait: timedelta, outcome: Outcome
) -> None:
    history = failed(ran("3 01:46"), FULL, times, "3 02:02", outcome)
    again = at("3 02:02") + wait
    assert verdict(plan(full), history, "3 02:02")[:2] == ("wait", "RETRY")
    assert next_wake(plan(full), history, at("3 02:02")) == again
    found = consider(plan(full), history, again).due
    assert found is not None
    assert (found.cause, found.start_at) == (Cause.SCHEDULE, again)


def test_the_next_slot_replaces_a_retry() -> None:
    history = failed(ran("3 01:00"), FULL, 9, "3 02:50")
    assert verdict(plan(cron("0 * * * *")), history, "3 02:50") == ("wait", "RETRY", "3 03:00:00")
    assert verdict(plan(cron("0 * * * *")), history, "3 03:00") == ("full", "3 03:00", "schedule")


def test_a_failure_that_ends_after_the_next_slot_began_delays_that_too() -> None:
    history = failed(ran("3 01:00"), FULL, 3, "3 03:10")
    assert verdict(plan(cron("0 * * * *"), catch_up=False), history, "3 03:10") == ("wait", "RETRY", "3 03:14:00")


def test_a_failing_full_does_not_hold_up_incrementals() -> None:
    history = failed(ran("2 02:00", "3 01:45"), FULL, 5, "3 02:04")
    assert verdict(plan(DAILY, every(15 * MINUTE)), history, "3 02:04") == ("incremental", "3 02:00", "schedule")


def test_the_first_run_is_tried_again_too() -> None:
    history = failed(History(), FULL, 2, "1 12:05")
    assert verdict(plan(None, DAILY), history, "1 12:05") == ("wait", "RETRY", "1 12:07:00")
    assert verdict(plan(None, DAILY), history, "1 12:07") == ("full", "1 12:00", "schedule")


def test_a_success_forgets_the_failures_of_its_mode() -> None:
    history = failed(ran("2 02:00"), FULL, 3, "3 02:01").started(FULL, at("3 02:10"))
    history = history.finished(Outcome.SUCCEEDED, at("3 02:20"))
    assert history.full == ModeHistory(Start(at("3 02:10")))


# --- forbidden times -------------------------------------------------------------------------------------------------


def test_a_run_in_a_forbidden_time_waits_for_its_end() -> None:
    one = plan(cron("0 10 * * *"), forbidden=("09:00-11:00",))
    assert verdict(one, ran("2 11:00"), "3 08:00") == ("wait", "SLOT", "3 11:00:00")
    assert verdict(one, ran("2 11:00"), "3 10:00") == ("wait", "WINDOW", "3 11:00:00")
    assert verdict(one, ran("2 11:00"), "3 11:00") == ("full", "3 10:00", "schedule")


def test_a_missed_run_waits_for_the_end_of_a_forbidden_time_too() -> None:
    one = plan(DAILY, forbidden=("09:00-11:00",))
    assert verdict(one, ran("2 02:00"), "3 10:00") == ("wait", "WINDOW", "3 11:00:00")
    assert verdict(one, ran("2 02:00"), "3 11:00") == ("full", "3 02:00", "catch-up")


def test_a_run_does_not_wait_where_the_rpo_would_break() -> None:
    hourly = plan(every(7 * DAY), every(HOUR), forbidden=("09:00-11:00",), rpo=3 * HOUR)
    assert verdict(hourly, ran("1 12:00", "3 08:30"), "3 09:30") == ("wait", "WINDOW", "3 11:00:00")
    assert verdict(hourly, ran("1 12:00", "3 07:30"), "3 09:30") == ("incremental", "3 09:30", "schedule")
    first = plan(DAILY, forbidden=("12:00-14:00",), rpo=HOUR)
    assert verdict(first, History(), "1 12:00") == ("full", "1 12:00", "schedule")
    patient = plan(DAILY, forbidden=("12:00-14:00",), rpo=2 * HOUR)
    assert verdict(patient, History(), "1 12:00") == ("wait", "WINDOW", "1 14:00:00")


# --- clocks that are set ---------------------------------------------------------------------------------------------


def test_a_fixed_hour_does_not_run_again_when_the_clock_is_set_back_an_hour() -> None:
    for history in (ran("3 02:00"), ran("3 02:00").after_step(-HOUR)):  # unseen, and seen
        for now in ("3 01:05", "3 02:00", "3 02:30"):
            assert verdict(plan(DAILY), history, now)[:2] == ("wait", "SLOT"), now
        assert verdict(plan(DAILY), history, "4 02:00") == ("full", "4 02:00", "schedule")


def test_an_interval_does_not_stall_when_the_clock_is_set_back_an_hour() -> None:
    hourly, quarterly = plan(every(HOUR)), plan(every(15 * MINUTE))
    seen = ran("3 02:00").after_step(-HOUR)  # at 02:05
    assert verdict(hourly, seen, "3 01:05") == ("wait", "SLOT", "3 02:00:00")
    assert verdict(quarterly, seen, "3 01:05") == ("wait", "SLOT", "3 01:15:00")
    assert verdict(hourly, ran("3 02:00"), "3 01:05") == ("full", "3 01:05", "schedule")


def test_a_star_hour_runs_on_real_time_when_the_clock_is_set_back() -> None:
    hourly = plan(cron("0 * * * *"))
    seen = ran("3 02:00").after_step(-HOUR)
    assert verdict(hourly, seen, "3 01:05") == ("wait", "SLOT", "3 02:00:00")
    assert verdict(hourly, seen, "3 02:00") == ("full", "3 02:00", "schedule")
    assert verdict(hourly, ran("3 02:00"), "3 01:05") == ("full", "3 01:00", "schedule")
    little = ran("3 02:00").after_step(-10 * SECOND)  # at 02:00:05
    assert verdict(hourly, little, "3 01:59:55") == ("wait", "SLOT", "3 02:00:00")
    assert verdict(hourly, little, "3 02:00") == ("wait", "SLOT", "3 03:00:00")


def test_a_clock_that_was_days_ahead_does_not_silence_a_policy_for_days() -> None:
    seen = ran("9 02:00").after_step(-6 * DAY)
    assert verdict(plan(DAILY), seen, "3 02:05") == ("wait", "SLOT", "4 02:00:00")
    assert verdict(plan(DAILY), seen, "4 02:00") == ("full", "4 02:00", "schedule")
    unseen = ran("9 02:00")
    assert verdict(plan(DAILY), unseen, "3 02:05") == ("full", "3 02:00", "schedule")
    assert verdict(plan(DAILY, catch_up=False), unseen, "3 22:00") == ("full", "3 02:00", "schedule")
    assert verdict(plan(DAILY), failed(unseen, FULL, 1, "3 02:10"), "3 02:10") == ("wait", "RETRY", "3 02:11:00")
    again = unseen.started(FULL, at("3 02:05")).finished(Outcome.SUCCEEDED, at("3 02:10"))
    assert verdict(plan(DAILY), again, "3 02:10") == ("wait", "SLOT", "4 02:00:00")


def test_what_ran_before_a_good_run_cannot_lie_after_it() -> None:
    history = ran("9 02:00", "3 01:00").started(INCREMENTAL, at("3 02:00")).finished(Outcome.SUCCEEDED, at("3 02:01"))
    assert history.full.last_success == Start(at("9 02:00"), stepped=-6 * DAY)
    assert verdict(plan(None, every(HOUR)), history, "3 02:02") == ("wait", "SLOT", "3 03:00:00")


def test_a_failure_in_the_future_is_not_waited_for() -> None:
    history = failed(ran("2 02:00"), FULL, 3, "3 05:00")
    assert verdict(plan(DAILY), history, "3 02:03") == ("full", "3 02:00", "schedule")
    stepped = failed(ran("2 02:00"), FULL, 3, "3 02:05").after_step(-HOUR)
    assert stepped.full.failed_at == at("3 01:05")


def test_a_clock_that_goes_forward_and_back_again_changes_nothing() -> None:
    history = ran("3 02:00", "3 04:00").started(FULL, at("3 05:00"))
    assert history.after_step(40 * HOUR).after_step(-40 * HOUR) == history
    ahead = ran("3 02:00").after_step(3 * HOUR)  # at 02:05
    assert verdict(plan(every(HOUR)), ahead, "3 05:05") == ("wait", "SLOT", "3 06:00:00")
    assert verdict(plan(DAILY), ran("2 02:00").after_step(3 * HOUR), "3 04:30") == ("full", "3 02:00", "catch-up")


# --- spread and wake-ups ---------------------------------------------------------------------------------------------


@given(st.text(), st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_spread_stays_the_same_and_within_its_bounds(policy: str, seconds: int, spread: int) -> None:
    slot = datetime(2026, 1, 1, tzinfo=UTC) + seconds * SECOND
    offset = offset_in(spread * SECOND, policy, slot)
    assert offset == offset_in(spread * SECOND, policy, slot.astimezone(BERLIN))
    assert timedelta() <= offset < max(spread, 1) * SECOND


def test_the_spread_is_even_over_policies() -> None:
    offsets = [offset_in(HOUR, f"policy-{number}", at("3 02:00")) for number in range(1000)]
    for quarter in range(4):
        share = sum(quarter * 15 * MINUTE <= offset < (quarter + 1) * 15 * MINUTE for offset in offsets)
        assert 200 < share < 300


def test_a_spread_longer_than_the_interval_does_not_mix_up_the_slots() -> None:
    one = plan(cron("0 * * * *", spread=5 * HOUR))
    for hour in range(20):
        slot = at(f"3 {hour:02}:00")
        wake = next_wake(one, ran(f"3 {hour:02}:00"), slot)
        assert wake is not None
        assert slot + HOUR <= wake < slot + 2 * HOUR


RECURRENCES = st.one_of(
    st.builds(
        lambda line, spread: cron(line, spread * MINUTE),
        st.sampled_from(["0 2 * * *", "0 * * * *", "*/10 * * * *", "0 3 * * sun", "30 1-5 * * *", "0 */6 * * *"]),
        st.sampled_from([0, 0, 10, 90]),
    ),
    st.builds(lambda minutes, spread: every(minutes * MINUTE, spread * MINUTE), st.integers(1, 3000), st.just(7)),
)
MOMENTS = st.integers(0, 10 * 1440 * 60).map(lambda seconds: datetime(2026, 10, 20, tzinfo=UTC) + seconds * SECOND)
MODES = st.builds(
    lambda success, stepped, failures, failed_at: ModeHistory(
        Start(success, stepped * MINUTE) if success else None, failures, failed_at if failures else None
    ),
    st.none() | MOMENTS,
    st.sampled_from([0, 0, -1, -60, -2400, 60]),
    st.integers(0, 7),
    MOMENTS,
)


@settings(max_examples=400, deadline=None)
@example(  # the clock was set back by an hour: an incremental run is made at once, at the minute of a full's slot
    cron("0 * * * *", 10 * MINUTE),
    every(MINUTE, 7 * MINUTE),
    ModeHistory(Start(datetime(2026, 10, 20, tzinfo=UTC), 60 * MINUTE)),
    ModeHistory(),
    False,
    (),
    None,
    datetime(2026, 10, 20, tzinfo=UTC),
    [0.5],
)
@given(
    st.none() | RECURRENCES,
    RECURRENCES,
    MODES,
    MODES,
    st.booleans(),
    st.sampled_from([(), ("01:00-02:30",), ("Sun 00:00-04:00", "22:00-01:00")]),
    st.none() | st.integers(1, 100),
    MOMENTS,
    st.lists(st.floats(0, 1), min_size=20, max_size=20),
)
def test_nothing_becomes_due_before_its_wake_up(
    full: Recurrence | None,
    incremental: Recurrence,
    fulls: ModeHistory,
    incrementals: ModeHistory,
    catch_up: bool,
    forbidden: tuple[str, ...],
    rpo: int | None,
    now: datetime,
    shares: list[float],
) -> None:
    spans = tuple(ForbiddenTime.parse(text) for text in forbidden)
    created = datetime(2026, 10, 21, tzinfo=UTC)
    one = Plan("orders", BERLIN, created, full, incremental, catch_up, spans, rpo and rpo * HOUR)
    history = History(fulls, incrementals)
    wake = next_wake(one, history, now)
    assert wake is not None
    if due([(one, history)], now):
        assert wake == now
        return
    assert wake > now
    for share in shares:
        between = now + (wake - now) * share
        assert between == wake or not due([(one, history)], between), between


def test_a_thousand_policies_are_considered_in_a_fraction_of_a_second() -> None:
    policies = [
        (
            Plan(f"policy-{number}", BERLIN, at("1 12:00"), cron("0 2 * * *", 15 * MINUTE), every(15 * MINUTE)),
            ran("3 02:10", "3 11:50"),
        )
        for number in range(1000)
    ]
    begin = process_time()
    due(policies, at("3 12:00"))
    assert process_time() - begin < 1.0  # 0.05 s; of this process alone, however busy the machine is


# --- values ----------------------------------------------------------------------------------------------------------


def test_a_recurrence_is_a_cron_line_or_an_interval() -> None:
    assert every(HOUR).when == HOUR
    assert DAILY.when == Cron.parse("0 2 * * *")
    for timing in (Timing(), Timing(cron="@daily", every="1h")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="either cron or every"):
            Recurrence.of(timing)
    with pytest.raises(ValueError, match="longer than nothing"):
        Recurrence(every=timedelta())
    with pytest.raises(ValueError, match="not negative"):
        Recurrence(every=HOUR, spread=-HOUR)


def test_a_plan_that_may_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="leave no minute of the week"):
        plan(DAILY, forbidden=("00:00-24:00",))


def test_a_run_cannot_end_that_never_started() -> None:
    with pytest.raises(ValueError, match="never started"):
        History().finished(Outcome.SUCCEEDED, at("3 02:00"))


def test_a_plan_is_made_from_a_policy_as_it_was_read() -> None:
    policy = Policy.model_validate(
        {
            "policy": "orders",
            "objectives": {"rpo": "30m"},
            "backup": {
                "full": {"cron": "0 2 * * *", "spread": "15m"},
                "incremental": {"every": "15m"},
                "catch_up": False,
                "to": ["local"],
                "keep": {"daily": 7},
                "window": {"not": ["09:00-11:00"]},
            },
        }
    )
    made = Plan.of(policy, BERLIN, at("1 12:00"))
    assert made == Plan(
        policy="orders",
        zone=BERLIN,
        created=at("1 12:00"),
        full=cron("0 2 * * *", 15 * MINUTE),
        incremental=every(15 * MINUTE),
        catch_up=False,
        forbidden=(ForbiddenTime.parse("09:00-11:00"),),
        rpo=30 * MINUTE,
    )
    assert made.of_mode(FULL) == made.full
    assert Plan.of(policy, BERLIN, at("1 12:00"), keeps_rpo=False).rpo is None


def test_a_history_is_made_from_the_journals_record() -> None:
    def record(last_run: RunRecord | None, failures: int) -> PolicyRecord:
        return PolicyRecord(
            policy="orders",
            created=at("1 12:00"),
            last_start={FULL: at("3 02:00"), INCREMENTAL: at("3 03:00")},
            last_success_start={FULL: at("3 02:00")},
            last_run=last_run,
            failures_in_a_row=failures,
            runs=2,
            failures={},
            last_total_bytes=None,
        )

    def run(outcome: Outcome | None, mode: Mode = INCREMENTAL, started: str = "3 03:00") -> RunRecord:
        ended = at(started) + 5 * MINUTE if outcome else None
        return RunRecord("r1", "orders", mode, Cause.SCHEDULE, at(started), ended, outcome)

    good = ModeHistory(Start(at("3 02:00")))
    assert History.of(record(None, 0)) == History(good)
    lost = ModeHistory(failures=2, failed_at=at("3 03:05"))
    assert History.of(record(run(Outcome.FAILED), 2)) == History(good, lost)
    killed = ModeHistory(failures=2, failed_at=at("3 03:00"))
    assert History.of(record(run(None), 2)) == History(good, killed)
    running = History.of(record(run(None), 2), is_running=True, not_before=at("4 00:00"))
    assert running.running == (INCREMENTAL, Start(at("3 03:00")))
    assert running.not_before == at("4 00:00")
    stepped = History.of(record(run(Outcome.SUCCEEDED, started="3 01:00"), 0))
    assert stepped.full == ModeHistory(Start(at("3 02:00"), stepped=-HOUR))


# --- the longest gap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (plan(), None),
        (plan(DAILY), DAY),
        (plan(cron("0 2 * * *", spread=15 * MINUTE)), DAY + 15 * MINUTE),
        (plan(DAILY, every(15 * MINUTE)), 15 * MINUTE),
        (plan(cron("0 8-18 * * *")), 14 * HOUR),
        (plan(cron("0 8-18 * * mon-fri")), 62 * HOUR),
        (plan(cron("0 2 * * sun")), 7 * DAY),
        (plan(cron("0 2 1 * *")), 31 * DAY),
        (plan(cron("0 2 1,15 * mon")), 7 * DAY),
        (plan(cron("0 2 29 2 *")), 2921 * DAY),
        (plan(every(15 * MINUTE), forbidden=("09:00-11:00",)), 135 * MINUTE),
        (plan(every(15 * MINUTE), forbidden=("09:00-11:00",), rpo=HOUR), HOUR),
        (plan(every(2 * HOUR), forbidden=("09:00-11:00",), rpo=HOUR), 2 * HOUR),
        (plan(DAILY, forbidden=("09:00-11:00",)), DAY),
        (plan(cron("0 10 * * *"), forbidden=("09:00-11:00",)), DAY + 2 * HOUR),
        (plan(cron("30 8 * * *", spread=HOUR), forbidden=("09:00-11:00",)), DAY + 3 * HOUR),
        (plan(cron("0 10 * * mon"), forbidden=("Tue 09:00-11:00",)), 7 * DAY),
        (plan(cron("0 10 1 * mon"), forbidden=("Tue 09:00-11:00",)), 7 * DAY + 2 * HOUR),
    ],
)
def test_the_longest_gap_counts_slots_spread_and_forbidden_times(one: Plan, expected: timedelta | None) -> None:
    assert longest_gap(one) == expected


@pytest.mark.parametrize(
    ("recurrence", "forbidden", "expected"),
    [
        (DAILY, (), 25 * HOUR),
        (cron("0 */2 * * *"), (), 3 * HOUR),
        (cron("0 * * * *"), (), HOUR),
        (cron("0,30 2 * * *"), (), 24 * HOUR + 30 * MINUTE),
        (every(HOUR), ("01:00-04:00",), 5 * HOUR),
        (every(HOUR), ("09:00-12:00",), 4 * HOUR),
    ],
)
def test_the_longest_gap_counts_daylight_saving(
    recurrence: Recurrence, forbidden: tuple[str, ...], expected: timedelta
) -> None:
    spans = tuple(ForbiddenTime.parse(text) for text in forbidden)
    assert longest_gap(Plan("orders", BERLIN, at("1 12:00"), recurrence, forbidden=spans)) == expected


def test_a_full_that_is_wanted_is_due_at_once_with_a_cause_of_its_own_and_only_once() -> None:
    daily = plan(cron("0 2 * * *"), every(HOUR))
    history = ran("3 02:00", "3 06:30").wanting_full(at("3 07:20"))
    due = consider(daily, history, at("3 07:20")).due
    assert due is not None
    assert (due.mode, due.cause, due.slot) == (FULL, Cause.NEW_BASE, at("3 07:20"))
    assert consider(daily, history.started(FULL, at("3 07:20")), at("3 07:21")).due is None
    done = history.started(FULL, at("3 07:20")).finished(Outcome.SUCCEEDED, at("3 07:30"))
    assert done.full_wanted is None
    assert consider(daily, done, at("3 07:31")).due is None


def test_a_wanted_full_that_fails_is_tried_again_later_and_later_while_the_schedule_goes_on() -> None:
    daily = plan(cron("0 2 * * *"), every(HOUR))
    history, now, tries = ran("3 02:00", "3 06:30").wanting_full(at("3 07:20")), at("3 07:20"), []
    incrementals = 0
    for _ in range(600):
        if (due := consider(daily, history, now).due) is not None:
            history = history.started(due.mode, now)
            if due.mode is FULL:
                tries.append(now)
                assert due.cause is Cause.NEW_BASE
                history = history.finished(Outcome.FAILED, now)
            else:
                incrementals += 1
                history = history.finished(Outcome.SUCCEEDED, now)
        now += MINUTE
    assert [later - earlier for earlier, later in pairwise(tries)][:6] == [
        MINUTE * minutes for minutes in (1, 2, 4, 8, 16, 30)
    ]
    assert 8 <= incrementals <= 10


def test_an_incremental_does_not_end_the_wish_for_a_full() -> None:
    daily = plan(cron("0 2 * * *"), every(HOUR))
    history = (
        ran("3 02:00", "3 06:30")
        .wanting_full(at("3 07:20"))
        .started(INCREMENTAL, at("3 07:21"))
        .finished(Outcome.SUCCEEDED, at("3 07:22"))
    )
    assert history.full_wanted == at("3 07:20")
    assert consider(daily, history, at("3 07:23")).due is not None


def test_a_wanted_full_waits_for_a_pause_and_for_forbidden_time_and_is_due_without_a_schedule() -> None:
    daily = plan(forbidden=("07:00-09:00",))
    history = ran("3 02:00", "3 06:30").wanting_full(at("3 08:20"))
    verdict = consider(daily, history, at("3 08:20"))
    assert verdict.due is None
    assert verdict.wake == at("3 09:00")
    assert consider(daily, history, at("3 09:00")).due is not None
    assert consider(daily, replace(history, not_before=at("4 12:00")), at("3 09:00")).wake == at("4 12:00")
