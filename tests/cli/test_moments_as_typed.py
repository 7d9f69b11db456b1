"""Moments that people type after --at."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.cli.moments import parse_moment
from drd.core.errors import UsageError

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02 16:30:17.000001", utc(2026, 3, 2, 8, 30, 17, 1)),
        ("2026-03-02 16:30:17", utc(2026, 3, 2, 8, 30, 17, 999_999)),
        ("2026-03-02 16:30", utc(2026, 3, 2, 8, 30, 59, 999_999)),
        ("2026-03-02T16:30", utc(2026, 3, 2, 8, 30, 59, 999_999)),
        ("2026-03-02T16:30:17Z", utc(2026, 3, 2, 16, 30, 17, 999_999)),
        ("2026-03-02T16:30:17+01:00", utc(2026, 3, 2, 15, 30, 17, 999_999)),
        ("2026-03-02 16:30:17 +0100", utc(2026, 3, 2, 15, 30, 17, 999_999)),
        (" 2026-03-02 16:30 ", utc(2026, 3, 2, 8, 30, 59, 999_999)),
    ],
)
def test_a_time_is_read_in_the_configured_zone_and_means_its_end(text: str, moment: datetime) -> None:
    assert parse_moment(text, SHANGHAI, NOW) == moment


def test_latest_is_no_moment() -> None:
    assert parse_moment("latest", SHANGHAI, NOW) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-03-02", "has no time of day"),
        ("16:30", "is no time"),
        ("yesterday", "is no time"),
        ("2026-02-30 12:00", "is no time"),
        ("2026-03-02 25:00", "is no time"),
        ("", "is no time"),
        ("1767225600", "is no time"),
        ("2026-11-23 12:00", "still to come"),
    ],
)
def test_what_is_no_past_moment_is_refused_with_how_to_write_one(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_moment(text, SHANGHAI, NOW)
    assert caught.value.hint


def test_a_time_that_the_clock_showed_twice_is_refused_with_both() -> None:
    with pytest.raises(UsageError, match="twice") as caught:
        parse_moment("2026-10-25 02:30", BERLIN, NOW)
    assert caught.value.hint == "write which one: 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"
    assert parse_moment("2026-10-25T02:30:00+02:00", BERLIN, NOW) == utc(2026, 10, 25, 0, 30, 0, 999_999)
    assert parse_moment("2026-10-25T02:30:00+01:00", BERLIN, NOW) == utc(2026, 10, 25, 1, 30, 0, 999_999)


def test_a_time_that_the_clock_never_showed_is_refused() -> None:
    with pytest.raises(UsageError, match="no such time"):
        parse_moment("2026-03-29 02:30", BERLIN, NOW)


@given(st.integers(946_684_800_000_000, 1_767_225_600_000_000).map(lambda each: EPOCH + timedelta(microseconds=each)))
def test_every_moment_can_be_typed_with_its_offset(moment: datetime) -> None:
    typed = moment.astimezone(BERLIN).isoformat(timespec="microseconds")
    assert parse_moment(typed, BERLIN, NOW) == moment
    to_the_second = parse_moment(moment.astimezone(BERLIN).isoformat(timespec="seconds"), BERLIN, NOW)
    assert to_the_second is not None
    assert timedelta() <= to_the_second - moment < timedelta(seconds=1)
