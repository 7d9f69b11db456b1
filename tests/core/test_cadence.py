"""The longest time between two runs, where the runs of both modes count."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drd.core.cadence import longest_gap
from drd.core.cron import Cron, next_after
from drd.core.forbidden import ForbiddenTime
from drd.core.plan import Plan, Recurrence

NONE = timedelta()
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
CREATED = datetime(2026, 6, 1, 12, tzinfo=UTC)


def cron(line: str, spread: timedelta = NONE) -> Recurrence:
    return Recurrence(cron=Cron.parse(line), spread=spread)


def every(interval: timedelta) -> Recurrence:
    return Recurrence(every=interval)


def gap(
    full: Recurrence,
    incremental: Recurrence,
    *forbidden: str,
    zone: ZoneInfo = UTC_ZONE,
    rpo: timedelta | None = None,
) -> timedelta | None:
    spans = tuple(ForbiddenTime.parse(text) for text in forbidden)
    return longest_gap(Plan("orders", zone, CREATED, full, incremental, forbidden=spans, rpo=rpo))


@pytest.mark.parametrize(
    ("full", "incremental", "expected"),
    [
        (cron("0 2 * * *"), cron("0 14 * * *"), 12 * HOUR),
        (cron("0 2 * * *"), cron("0 6 * * *"), 20 * HOUR),
        (cron("0 2 * * sun"), cron("0 2 * * mon-sat"), DAY),
        (cron("0 2 * * sun"), cron("0 2 * * *"), DAY),
        (cron("0 2 * * sun"), cron("0 14 * * wed"), 84 * HOUR),
        (cron("0 3 1 * *"), cron("0 2 * * *"), DAY),
        (cron("0 2 1 * *"), cron("0 2 16 * *"), 16 * DAY),
        (cron("0 2 29 2 *"), cron("0 2 1 3 *"), 365 * DAY),
        (cron("0 2 * * *"), every(18 * HOUR), 18 * HOUR),
        (cron("0 2 * * *"), every(36 * HOUR), DAY),
        (every(30 * HOUR), cron("0 2 * * *"), DAY),
        (every(DAY), every(HOUR), HOUR),
    ],
)
def test_a_run_of_either_mode_ends_the_wait(full: Recurrence, incremental: Recurrence, expected: timedelta) -> None:
    assert gap(full, incremental) == expected


@pytest.mark.parametrize(
    ("full", "incremental", "expected"),
    [
        (cron("0 2 * * *", HOUR), cron("0 14 * * *", HOUR), 13 * HOUR),
        (cron("0 2 * * *", 3 * HOUR), cron("0 14 * * *"), 15 * HOUR),
        (cron("0 2 * * *", 3 * HOUR), cron("0 14 * * *", HOUR), 15 * HOUR),
        # By 03:00 the incremental has started for certain, while the full may take until 05:00.
        (cron("0 2 * * *", 3 * HOUR), cron("0 3,14 * * *"), 13 * HOUR),
        # What both name is left to the full, and what the incremental names alone ends the wait for it.
        (cron("0 2 * * *", 3 * HOUR), cron("0 2,14 * * *"), 15 * HOUR),
        (cron("0 2 * * *", 3 * HOUR), cron("0 * * * *"), 2 * HOUR),
        (cron("0 2 * * *"), cron("0 2,14 * * *", 3 * HOUR), 15 * HOUR),
        # A line that comes every minute starts within its minute, whatever spread it has.
        (cron("0 2 * * *"), cron("* * * * *", HOUR), 2 * MINUTE),
    ],
)
def test_each_slot_starts_in_the_spread_of_its_mode(
    full: Recurrence, incremental: Recurrence, expected: timedelta
) -> None:
    assert gap(full, incremental) == expected


def test_an_incremental_is_left_to_the_full_only_as_long_as_the_rpo_allows() -> None:
    full, incremental = cron("0 2 * * *", 6 * HOUR), cron("0 2,14 * * *")
    assert gap(full, incremental) == 18 * HOUR
    assert gap(full, incremental, rpo=13 * HOUR) == 13 * HOUR
    assert gap(full, incremental, rpo=6 * HOUR) == 12 * HOUR


def test_the_end_of_a_forbidden_time_is_waited_for_if_a_slot_of_either_mode_can_fall_into_it() -> None:
    full, incremental = cron("0 2 * * *"), cron("0 14 * * *")
    assert gap(full, incremental, "09:00-11:00") == 12 * HOUR
    assert gap(full, incremental, "13:00-15:00") == 14 * HOUR
    assert gap(full, incremental, "13:00-15:00", rpo=13 * HOUR) == 13 * HOUR


@pytest.mark.parametrize(
    ("full", "incremental", "expected"),
    [
        (cron("0 0 * * *"), cron("0 12 * * *"), 13 * HOUR),
        (cron("0 3 * * *"), cron("0 */6 * * *"), 6 * HOUR),
        (cron("30 1 * * *"), cron("30 3 * * *"), 22 * HOUR),
        (cron("0 1 * * *"), cron("0 3,5,7,9,11,13,15,17,19,21,23 * * *"), 3 * HOUR),
        # The full may start as late as 06:00, so the hour that comes twice is waited through.
        (cron("0 0 * * *", 6 * HOUR), cron("0 4 * * *"), 25 * HOUR),
    ],
)
def test_the_night_in_which_the_clock_is_set_back_is_longer(
    full: Recurrence, incremental: Recurrence, expected: timedelta
) -> None:
    assert gap(full, incremental, zone=BERLIN) == expected


def test_lines_with_many_slots_are_measured_exactly() -> None:
    # The clocks go back on a Sunday that can be the 31st.
    assert gap(cron("0 2 29 2 *"), cron("* * 1-30 * *"), zone=BERLIN) == 25 * HOUR + MINUTE
    assert gap(cron("0 2 13 * fri", 6 * HOUR), cron("*/5 * 1,15 * *", HOUR), zone=BERLIN) == 7 * 24 * HOUR + 7 * HOUR


WEEKDAYS = st.sampled_from(["*", "mon-fri", "sun", "mon,thu", "sat,sun"])
LINES = st.builds(
    lambda minutes, hours, weekdays: f"{minutes} {hours} * * {weekdays}",
    st.sampled_from(["0", "30", "15,45", "7"]),
    st.sampled_from(["2", "3", "2,14", "*/6", "0,12", "1,2,3", "22", "8-11", "23"]),
    WEEKDAYS,
)
SPREADS = st.sampled_from([NONE, 10 * MINUTE, HOUR, 5 * HOUR])


def test_a_slot_that_both_modes_name_is_as_late_as_the_full_may_be() -> None:
    assert gap(cron("0 2 * * *", 45 * MINUTE), cron("0 * * * *"), zone=BERLIN) == 105 * MINUTE


def _slots(cron: Cron, zone: ZoneInfo) -> list[datetime]:
    moments = [next_after(cron, datetime(2026, 1, 1, tzinfo=UTC), zone)]
    while moments[-1] < datetime(2028, 1, 15, tzinfo=UTC):
        moments.append(next_after(cron, moments[-1], zone))
    return moments


@given(LINES, SPREADS, LINES, SPREADS, st.sampled_from([UTC_ZONE, BERLIN]))
@settings(max_examples=40, deadline=None)
def test_it_is_the_longest_of_all_waits_of_two_years(
    full: str, full_spread: timedelta, incremental: str, incremental_spread: timedelta, zone: ZoneInfo
) -> None:
    fulls, incrementals = _slots(Cron.parse(full), zone), _slots(Cron.parse(incremental), zone)
    longest = {
        spread_of: max(later - earlier for earlier, later in pairwise(found))
        for spread_of, found in (("full", fulls), ("incremental", incrementals))
    }
    latest = {slot: slot + min(incremental_spread, longest["incremental"]) for slot in incrementals}
    latest |= {slot: slot + min(full_spread, longest["full"]) for slot in fulls}  # what both name is left to the full
    both = sorted(latest)
    waits = []
    soonest = datetime.max.replace(tzinfo=UTC)
    for slot in reversed(both):
        if slot < datetime(2028, 1, 1, tzinfo=UTC):
            waits.append(soonest - slot)
        soonest = min(soonest, latest[slot])
    found = gap(cron(full, full_spread), cron(incremental, incremental_spread), zone=zone)
    assert found is not None
    assert found == max(waits)
