"""Moments to go back to, as people type them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.errors import UsageError
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.target import BY_NAME, AtLsn, AtName, AtTime, Latest, Target, in_utc, parse_target

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
MOMENT = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("latest", Latest()),
        (" Latest ", Latest()),
        ("16/B374D848", AtLsn(Lsn.parse("16/B374D848"))),
        ("2026-11-22 10:15:00+08:00", AtTime(MOMENT)),
        ("2026-11-22T10:15:00+0800", AtTime(MOMENT)),
        ("2026-11-22 10:15+08", AtTime(MOMENT)),
        ("2026-11-22 10:15", AtTime(MOMENT)),
        ("2026-11-22 02:15:00 UTC", AtTime(MOMENT)),
        ("2026-11-22T02:15:00.000001Z", AtTime(MOMENT.replace(microsecond=1))),
        ("before the release", AtName("before the release")),
        ("发布之前", AtName("发布之前")),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert parse_target(text, SHANGHAI) == target


@pytest.mark.parametrize(
    "text",
    ["", "   ", "2026-11-22", "2026-11-31 10:00", "2026-11-22 25:00", "2026-1-2 10:00", "1234567890/0", "x" * 64],
)
def test_what_is_none_is_refused_with_all_that_can_be_written(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text, SHANGHAI)
    assert "latest" in caught.value.hint


def test_a_time_that_the_clock_shows_twice_is_refused_with_both_readings() -> None:
    with pytest.raises(UsageError, match="showed 2026-10-25 02:30 twice") as caught:
        parse_target("2026-10-25 02:30", BERLIN)
    for reading in ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"):
        assert reading in caught.value.hint
        assert isinstance(parse_target(reading, BERLIN), AtTime)


def test_a_time_that_the_clock_never_showed_is_refused_with_the_first_one_after() -> None:
    with pytest.raises(UsageError, match="there was no such time") as caught:
        parse_target("2026-03-29 02:30", BERLIN)
    assert "2026-03-29T03:00:00+02:00" in caught.value.hint


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_reads_as_it_is_shown(moment: datetime) -> None:
    assert parse_target(in_utc(moment), SHANGHAI) == AtTime(moment)


@given(
    st.one_of(
        st.builds(AtTime, st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
        st.builds(AtLsn, st.builds(Lsn, st.integers(0, 2**64 - 1))),
        st.builds(AtName, st.from_regex(r"[a-z][a-z-]{0,20}x", fullmatch=True)),
        st.just(Latest()),
    )
)
def test_any_target_is_typed_as_it_is_read_and_shown_in_words(target: Target) -> None:
    assert parse_target(target.typed, SHANGHAI) == target
    assert target.typed.removeprefix(BY_NAME) in str(target)
