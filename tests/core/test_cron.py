"""Cron lines mean what crontab(5) says, in every time zone, and their moments are those of a minute-by-minute walk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drd.core.cron import Cron, CronError, last_at_or_before, next_after

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SHANGHAI = ZoneInfo("Asia/Shanghai")
SANTIAGO = ZoneInfo("America/Santiago")
UTC_ZONE = ZoneInfo("UTC")
ZONES = [BERLIN, NEW_YORK, LORD_HOWE, SHANGHAI, SANTIAGO, UTC_ZONE]
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def moments(line: str, zone: ZoneInfo, after: str, count: int) -> list[str]:
    """The next `count` moments after a local time, as local times with their offset."""
    cron = Cron.parse(line)
    moment = utc(after)
    found = []
    for _ in range(count):
        moment = next_after(cron, moment, zone)
        found.append(moment.astimezone(zone).isoformat(timespec="minutes"))
    return found


def parsed(line: str) -> Cron | CronError:
    try:
        return Cron.parse(line)
    except CronError as refused:
        return refused


# --- what a line says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 2 * * *", ["2026-06-03T02:00", "2026-06-04T02:00"]),
        ("*/15 * * * *", ["2026-06-02T12:15", "2026-06-02T12:30"]),
        ("5,10-12 13 * * *", ["2026-06-02T13:05", "2026-06-02T13:10"]),
        ("0-30/15 14 * * *", ["2026-06-02T14:00", "2026-06-02T14:15"]),
        ("0 8-18/5 * * *", ["2026-06-02T13:00", "2026-06-02T18:00"]),
        ("0 0 1 * *", ["2026-07-01T00:00", "2026-08-01T00:00"]),
        ("0 0 31 * *", ["2026-07-31T00:00", "2026-08-31T00:00"]),
        ("0 0 29 feb *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 * * 0", ["2026-06-07T00:00", "2026-06-14T00:00"]),
        ("0 0 * * 7", ["2026-06-07T00:00", "2026-06-14T00:00"]),
        ("0 0 * * SUN", ["2026-06-07T00:00", "2026-06-14T00:00"]),
        ("0 0 * * 5-7", ["2026-06-05T00:00", "2026-06-06T00:00"]),
        ("0 0 * * fri-sun", ["2026-06-05T00:00", "2026-06-06T00:00"]),
        ("0 0 * * sun-mon", ["2026-06-07T00:00", "2026-06-08T00:00"]),
        ("0 0 * JAN,mar-Apr mon", ["2027-01-04T00:00", "2027-01-11T00:00"]),
        ("0 0 13 * fri", ["2026-06-05T00:00", "2026-06-12T00:00"]),
        ("0 0 */2 * mon", ["2026-06-15T00:00", "2026-06-29T00:00"]),
        ("0 0 13 * */5", ["2026-09-13T00:00", "2026-11-13T00:00"]),
        ("0 0 31 2 1", ["2027-02-01T00:00", "2027-02-08T00:00"]),
        ("  0\t2  * * *  ", ["2026-06-03T02:00", "2026-06-04T02:00"]),
        ("007 02 * * *", ["2026-06-03T02:07", "2026-06-04T02:07"]),
        ("@hourly", ["2026-06-02T13:00", "2026-06-02T14:00"]),
        ("@daily", ["2026-06-03T00:00", "2026-06-04T00:00"]),
        ("@midnight", ["2026-06-03T00:00", "2026-06-04T00:00"]),
        ("@Weekly", ["2026-06-07T00:00", "2026-06-14T00:00"]),
        ("@monthly", ["2026-07-01T00:00", "2026-08-01T00:00"]),
        ("@yearly", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        (" @annually ", ["2027-01-01T00:00", "2028-01-01T00:00"]),
    ],
)
def test_a_line_names_the_moments_that_crontab_5_gives_it(line: str, expected: list[str]) -> None:
    found = moments(line, UTC_ZONE, "2026-06-02T12:00+00:00", 2)  # a Tuesday
    assert found == [moment + "+00:00" for moment in expected]


@pytest.mark.parametrize(
    ("line", "offset", "field", "words"),
    [
        ("", 0, "", "0 fields; write five"),
        ("daily", 0, "", "one field; write five"),
        ("0 2 * *", 0, "", "4 fields; write five"),
        ("0 0 2 * * *", 10, "", "neither seconds nor years"),
        ("0 0 2 * * * *", 10, "", "7 fields"),
        ("60 2 * * *", 0, "minute", "60 is out of range; write 0-59"),
        ("0 24 * * *", 2, "hour", "write 0-23"),
        ("0  24 * * *", 3, "hour", "write 0-23"),
        ("0 2 0 * *", 4, "day of month", "write 1-31"),
        ("0 2 * 13 *", 6, "month", "write 1-12 or jan-dec"),
        ("0 2 * * 8", 8, "day of week", "write 0-7 or sun-sat"),
        ("0 2 * * 1,8", 10, "day of week", "write 0-7"),
        ("0 1-99999 * * *", 4, "hour", "out of range"),
        ("0 2 * * monday", 8, "day of week", "monday is not crontab(5)"),
        ("0 two * * *", 2, "hour", "two is not crontab(5)"),
        ("mon 2 * * *", 0, "minute", "mon is not crontab(5)"),
        ("-5 2 * * *", 0, "minute", "not crontab(5)"),
        ("*-5 2 * * *", 0, "minute", "not crontab(5)"),
        ("1, 2 * * *", 2, "minute", "an item of the list is empty"),
        ("0 22-2 * * *", 2, "hour", "runs backwards; write 22-23,0-2"),
        ("0 2 * * fri-mon", 8, "day of week", "runs backwards; write 5-6,0-1"),
        ("5/15 2 * * *", 0, "minute", "write 5-59/15"),
        ("*/0 2 * * *", 2, "minute", "write a whole number from 1"),
        ("*/x 2 * * *", 2, "minute", "write a whole number from 1"),
        ("*/90 * * * *", 2, "minute", "write every: 90m"),
        ("0 */36 * * *", 4, "hour", "write every: 36h"),
        ("0 0 * * */9999", 10, "day of week", "longer than its range; write *"),
        ("0 2 ? * *", 4, "day of month", "? is not crontab(5); write *"),
        ("0 2 L * *", 4, "day of month", "L is not crontab(5)"),
        ("0 2 * * 5#2", 8, "day of week", "5#2 is not crontab(5)"),
        ("H 2 * * *", 0, "minute", "write a fixed value, and spread"),
        ("0~59 2 * * *", 0, "minute", "write a fixed value, and spread"),
        ("٣ 2 * * *", 0, "minute", "is not crontab(5)"),
        ("0 0 31 2 *", 4, "day of month", "31 never comes in the months 2"),
        ("0 0 30,31 feb *", 4, "day of month", "never comes"),
        ("0 0 31 4,6,9,11 *", 4, "day of month", "never comes"),
        ("@reboot", 0, "", "@reboot names no time"),
        ("  @dayly", 2, "", "@dayly is not known; write one of @yearly"),
        ("0 2 * * *" + " " * 300, 300, "", "at most 300"),
    ],
)
def test_a_line_that_means_nothing_is_refused_where_it_is_wrong(line: str, offset: int, field: str, words: str) -> None:
    with pytest.raises(CronError) as refused:
        Cron.parse(line)
    assert (refused.value.offset, refused.value.field) == (offset, field)
    assert words in str(refused.value)
    assert not field or str(refused.value).startswith(field)


@given(st.text(alphabet="0123456789*/-,@ \tajlmnpsuJ?#L~x", max_size=30))
def test_any_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    read = parsed(text)
    if isinstance(read, CronError):
        assert 0 <= read.offset <= len(text)
        assert "write" in str(read)
    else:
        assert str(read) == " ".join(text.split())


def test_every_minute_goes_on_through_the_gap_and_both_passes_of_the_doubled_hour() -> None:
    cron = Cron.parse("* * * * *")
    for begin in (utc("2026-03-28T23:00+00:00"), utc("2026-10-24T23:00+00:00")):
        for minute in range(240):
            moment = begin + minute * MINUTE
            assert next_after(cron, moment, BERLIN) == moment + MINUTE
            assert last_at_or_before(cron, moment, BERLIN) == moment
            assert last_at_or_before(cron, moment - timedelta(microseconds=1), BERLIN) == moment - MINUTE


def test_just_after_the_clock_was_set_back_labels_ahead_of_it_have_been() -> None:
    moment = utc("2026-10-25T02:30+01:00")
    assert last_at_or_before(Cron.parse("50 * * * *"), moment, BERLIN) == utc("2026-10-25T02:50+02:00")
    assert last_at_or_before(Cron.parse("50 2 * * *"), moment, BERLIN) == utc("2026-10-25T02:50+02:00")
    assert next_after(Cron.parse("50 2 * * *"), moment, BERLIN) == utc("2026-10-26T02:50+01:00")
    assert str(Cron.parse(" @Daily")) == "@Daily"


def test_a_label_that_the_clock_never_showed_has_not_been() -> None:
    just_after = utc("2026-03-29T03:00+02:00")
    assert last_at_or_before(Cron.parse("30 * * * *"), just_after, BERLIN) == utc("2026-03-29T01:30+01:00")


def test_of_labels_that_the_clock_showed_twice_the_later_pass_is_the_last_one() -> None:
    after_both = utc("2026-10-25T03:00+01:00")
    assert last_at_or_before(Cron.parse("0 */2 * * *"), after_both, BERLIN) == utc("2026-10-25T02:00+01:00")


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        next_after(Cron.parse("@daily"), datetime(2026, 1, 1), UTC_ZONE)  # noqa: DTZ001
    with pytest.raises(ValueError, match="has no time zone"):
        last_at_or_before(Cron.parse("@daily"), datetime(2026, 1, 1), UTC_ZONE)  # noqa: DTZ001


# --- daylight saving -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "after", "line", "expected"),
    [
        # Berlin skips 02:00 to 03:00 on 29 March 2026
        (BERLIN, "2026-03-28T12:00+01:00", "30 2 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        (BERLIN, "2026-03-28T12:00+01:00", "0,30 2 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        (BERLIN, "2026-03-28T12:00+01:00", "30 2,3 * * *", ["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]),
        (BERLIN, "2026-03-28T12:00+01:00", "0 2,3 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        (BERLIN, "2026-03-29T00:30+01:00", "0 * * * *", ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"]),
        (BERLIN, "2026-03-29T01:40+01:00", "*/15 * * * *", ["2026-03-29T01:45+01:00", "2026-03-29T03:00+02:00"]),
        (BERLIN, "2026-03-29T00:00+01:00", "0 */2 * * *", ["2026-03-29T04:00+02:00", "2026-03-29T06:00+02:00"]),
        # and shows 02:00 to 03:00 twice on 25 October 2026
        (BERLIN, "2026-10-24T12:00+02:00", "30 2 * * *", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (BERLIN, "2026-10-25T02:30+01:00", "45 2 * * *", ["2026-10-26T02:45+01:00"]),
        (BERLIN, "2026-10-25T01:30+02:00", "30 * * * *", ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"]),
        (BERLIN, "2026-10-25T02:40+02:00", "*/20 * * * *", ["2026-10-25T02:00+01:00", "2026-10-25T02:20+01:00"]),
        (BERLIN, "2026-10-25T02:40+01:00", "50 */2 * * *", ["2026-10-25T02:50+01:00", "2026-10-25T04:50+01:00"]),
        # New York: 8 March and 1 November 2026
        (NEW_YORK, "2026-03-07T12:00-05:00", "15 2 * * *", ["2026-03-08T03:00-04:00", "2026-03-09T02:15-04:00"]),
        (NEW_YORK, "2026-10-31T12:00-04:00", "15 1 * * *", ["2026-11-01T01:15-04:00", "2026-11-02T01:15-05:00"]),
        (NEW_YORK, "2026-11-01T00:30-04:00", "0 * * * *", ["2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00"]),
        # Lord Howe moves by half an hour: back at 02:00 on 5 April, forward at 02:00 on 4 October 2026
        (LORD_HOWE, "2026-04-04T12:00+11:00", "45 1 * * *", ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"]),
        (LORD_HOWE, "2026-04-05T01:40+11:00", "45 * * * *", ["2026-04-05T01:45+11:00", "2026-04-05T01:45+10:30"]),
        (LORD_HOWE, "2026-10-03T12:00+10:30", "15 2 * * *", ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]),
        (LORD_HOWE, "2026-10-04T01:30+10:30", "0 * * * *", ["2026-10-04T03:00+11:00", "2026-10-04T04:00+11:00"]),
        # Santiago changes at midnight: forward on 6 September, back on 5 April 2026
        (SANTIAGO, "2026-09-05T12:00-04:00", "@daily", ["2026-09-06T01:00-03:00", "2026-09-07T00:00-03:00"]),
        (SANTIAGO, "2026-04-04T12:00-03:00", "30 23 * * *", ["2026-04-04T23:30-03:00", "2026-04-05T23:30-04:00"]),
        # no daylight saving
        (SHANGHAI, "2026-03-28T12:00+08:00", "30 2 * * *", ["2026-03-29T02:30+08:00", "2026-03-30T02:30+08:00"]),
        (UTC_ZONE, "2026-10-24T12:00+00:00", "30 2 * * *", ["2026-10-25T02:30+00:00", "2026-10-26T02:30+00:00"]),
    ],
)
def test_daylight_saving_neither_loses_nor_doubles_a_moment(
    zone: ZoneInfo, after: str, line: str, expected: list[str]
) -> None:
    assert moments(line, zone, after, len(expected)) == expected


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("line", ["0 0 * * *", "30 1 * * *", "30 2 * * *", "59 23 * * *"])
def test_a_fixed_hour_comes_once_on_each_local_day_of_a_year(zone: ZoneInfo, line: str) -> None:
    cron = Cron.parse(line)
    moment = datetime(2026, 1, 1, tzinfo=zone).astimezone(UTC) - MINUTE
    days = []
    for _ in range(365):
        moment = next_after(cron, moment, zone)
        days.append(moment.astimezone(zone).date())
    assert days == [days[0] + timedelta(days=day) for day in range(365)]


# --- against a walk --------------------------------------------------------------------------------------------------


def walk(cron: Cron, begin: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The moments in (begin, end], found as cron(8) would: by looking at the clock each minute."""
    found = []
    reached: datetime | None = None  # the farthest label that the clock has shown so far
    moment = begin - timedelta(days=2)
    while moment <= end:
        label = moment.astimezone(zone).replace(tzinfo=None)
        if cron.is_real_time:
            is_hit = names(cron, label)
        else:
            skipped = max(reached + MINUTE, label - timedelta(hours=2)) if reached else label
            is_hit = False
            while skipped <= label:
                is_hit = is_hit or names(cron, skipped)
                skipped += MINUTE
        reached = max(reached or label, label)
        if is_hit and moment > begin:
            found.append(moment)
        moment += MINUTE
    return found


def names(cron: Cron, label: datetime) -> bool:
    is_time = label.minute in cron.minutes and label.hour in cron.hours and label.month in cron.months
    is_day, is_weekday = label.day in cron.days, label.isoweekday() % 7 in cron.weekdays
    return is_time and ((is_day or is_weekday) if cron.is_either_day else (is_day and is_weekday))


MINUTES = st.sampled_from(["0", "30", "15,45", "*", "*/7", "*/20", "10-50/13", "59", "1-3"])
HOURS = st.sampled_from(["*", "*/2", "*/5", "0", "1", "2", "3", "1-3", "0,23", "0-6/3", "23"])
DAYS = st.sampled_from(["*", "*", "*", "1", "5", "*/2", "25-29", "8,31"])
WEEKDAYS = st.sampled_from(["*", "*", "*", "0", "7", "sun", "mon-fri", "*/3", "6,0"])
LINES = st.builds("{} {} {} * {}".format, MINUTES, HOURS, DAYS, WEEKDAYS)
CHANGES = st.sampled_from(
    [
        (BERLIN, utc("2026-03-29T01:00+00:00")),
        (BERLIN, utc("2026-10-25T01:00+00:00")),
        (NEW_YORK, utc("2026-03-08T07:00+00:00")),
        (NEW_YORK, utc("2026-11-01T06:00+00:00")),
        (LORD_HOWE, utc("2026-04-04T15:00+00:00")),
        (LORD_HOWE, utc("2026-10-03T15:30+00:00")),
        (SANTIAGO, utc("2026-04-05T03:00+00:00")),
        (SANTIAGO, utc("2026-09-06T04:00+00:00")),
        (SHANGHAI, utc("2026-03-29T01:00+00:00")),
        (UTC_ZONE, utc("2026-12-31T23:59+00:00")),
    ]
)


@settings(deadline=None, max_examples=150)
@given(LINES, CHANGES, st.integers(-600, 300), st.integers(0, 59))
def test_moments_are_those_of_a_walk_around_a_change_of_the_clock(
    line: str, change: tuple[ZoneInfo, datetime], minutes: int, seconds: int
) -> None:
    zone, centre = change
    cron = Cron.parse(line)
    begin = centre + minutes * MINUTE
    end = begin + timedelta(hours=30)
    found = walk(cron, begin, end, zone)
    moment = begin
    for expected in found:
        moment = next_after(cron, moment, zone)
        assert moment == expected
        assert last_at_or_before(cron, moment, zone) == moment
        assert last_at_or_before(cron, next_after(cron, moment, zone) - timedelta(seconds=1), zone) == moment
    assert next_after(cron, moment, zone) > end
    if found:
        between = begin + timedelta(seconds=seconds)
        assert next_after(cron, between, zone) == next(hit for hit in [*found, end] if hit > between or hit is end)


@settings(deadline=None, max_examples=300)
@given(
    st.builds("{} {} {} {} {}".format, MINUTES, HOURS, DAYS, st.sampled_from(["*", "2", "1,7", "12"]), WEEKDAYS),
    st.integers(0, 20 * 365 * 86400).map(lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    st.sampled_from(ZONES),
)
def test_next_and_last_are_each_others_inverse_anywhere(line: str, moment: datetime, zone: ZoneInfo) -> None:
    cron = parsed(line)
    assume(isinstance(cron, Cron))  # it may name 31 February
    assert isinstance(cron, Cron)
    following, last = next_after(cron, moment, zone), last_at_or_before(cron, moment, zone)
    assert last <= moment < following
    assert next_after(cron, last, zone) == following
    assert last_at_or_before(cron, following, zone) == following
    assert last_at_or_before(cron, following - timedelta(microseconds=1), zone) == last
