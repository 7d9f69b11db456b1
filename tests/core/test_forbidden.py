"""Forbidden times are local, may cross midnight, and end when their clock says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from drd.core.forbidden import ForbiddenTime, ForbiddenTimeError, free_from, is_always_forbidden, longest_stretch

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def spans(*texts: str) -> tuple[ForbiddenTime, ...]:
    return tuple(ForbiddenTime.parse(text) for text in texts)


def freed(texts: list[str], moment: str, zone: ZoneInfo = UTC_ZONE) -> str:
    found = free_from(spans(*texts), datetime.fromisoformat(moment).astimezone(UTC), zone)
    return found.astimezone(zone).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("texts", "moment", "expected"),
    [
        ([], "2026-06-03T10:00+00:00", "2026-06-03T10:00+00:00"),
        (["09:00-11:00"], "2026-06-03T08:59+00:00", "2026-06-03T08:59+00:00"),
        (["09:00-11:00"], "2026-06-03T09:00+00:00", "2026-06-03T11:00+00:00"),
        (["09:00-11:00"], "2026-06-03T11:00+00:00", "2026-06-03T11:00+00:00"),
        (["9:00 - 11:00", "10:30-12:00"], "2026-06-03T09:30+00:00", "2026-06-03T12:00+00:00"),
        (["22:00-06:00"], "2026-06-03T23:00+00:00", "2026-06-04T06:00+00:00"),
        (["22:00-06:00"], "2026-06-03T05:00+00:00", "2026-06-03T06:00+00:00"),
        (["Wed 22:00-06:00"], "2026-06-04T05:00+00:00", "2026-06-04T06:00+00:00"),
        (["Wed 22:00-06:00"], "2026-06-03T05:00+00:00", "2026-06-03T05:00+00:00"),
        (["Mon-Fri 00:00-24:00"], "2026-06-03T05:00+00:00", "2026-06-06T00:00+00:00"),
        (["fri-mon,WED 00:00-24:00"], "2026-06-05T05:00+00:00", "2026-06-09T00:00+00:00"),
        (["Sun 03:00-04:00"], "2026-06-07T03:30+00:00", "2026-06-07T04:00+00:00"),
        (["Sun 03:00-04:00"], "2026-06-08T03:30+00:00", "2026-06-08T03:30+00:00"),
    ],
)
def test_a_run_in_a_forbidden_time_waits_for_its_end(texts: list[str], moment: str, expected: str) -> None:
    assert freed(texts, moment) == expected


@pytest.mark.parametrize(
    ("texts", "moment", "expected"),
    [
        (["01:00-02:30"], "2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"),  # it ends in the gap
        (["01:00-02:30"], "2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00"),  # it ends twice
        (["01:00-02:30"], "2026-10-25T02:10+01:00", "2026-10-25T02:30+01:00"),
        (["01:00-03:00"], "2026-10-25T01:30+02:00", "2026-10-25T03:00+01:00"),
    ],
)
def test_a_forbidden_time_follows_the_clock_through_daylight_saving(
    texts: list[str], moment: str, expected: str
) -> None:
    assert freed(texts, moment, BERLIN) == expected


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", 0, "nothing is not a range"),
        ("9-11", 0, "write 09:00-11:00"),
        ("09:00", 0, "write 09:00-11:00"),
        ("25:00-26:00", 0, "25:00 is no time of day"),
        ("  09:00-10:60", 8, "10:60 is no time of day"),
        ("24:00-06:00", 0, "24:00 can only end a range"),
        ("09:00-09:00", 6, "write 00:00-24:00"),
        (" Sonntag 09:00-10:00", 1, "Sonntag is no day of the week"),
        ("Mon-Wed-Fri 09:00-10:00", 0, "write Mon-Fri"),
        ("Mon, 09:00-10:00", 0, "nothing is no day of the week"),
    ],
)
def test_a_range_that_cannot_be_read_says_what_to_write(text: str, offset: int, words: str) -> None:
    with pytest.raises(ForbiddenTimeError, match="write") as refused:
        ForbiddenTime.parse(text)
    assert words in str(refused.value)
    assert refused.value.offset == offset


def test_the_longest_stretch_joins_ranges_across_midnight_and_the_week() -> None:
    assert longest_stretch(()) == timedelta()
    assert longest_stretch(spans("09:00-11:00")) == timedelta(hours=2)
    assert longest_stretch(spans("22:00-24:00", "00:00-06:00")) == timedelta(hours=8)
    assert longest_stretch(spans("Sun 20:00-24:00", "Mon 00:00-01:00")) == timedelta(hours=5)
    assert longest_stretch(spans("00:00-12:00", "12:00-00:00")) == timedelta(days=7)


def test_only_ranges_that_cover_the_whole_week_forbid_everything() -> None:
    assert is_always_forbidden(spans("00:00-24:00"))
    assert is_always_forbidden(spans("06:00-22:00", "22:00-06:00"))
    assert not is_always_forbidden(spans("Mon-Sat 00:00-24:00", "00:00-23:59"))
    assert str(spans(" Sun 03:00-04:00 ")[0]) == "Sun 03:00-04:00"
