"""Quantities carry a unit, and a sentence says which."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drd.core.units import (
    PositiveDuration,
    format_duration,
    format_size,
    parse_distance,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("1h 30m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        (" 14 d ", timedelta(days=14)),
        ("2w", timedelta(days=14)),
        ("1.5h", timedelta(minutes=90)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("parse", "text", "amount"),
    [
        (parse_size, "64 MiB", 64 * 2**20),
        (parse_size, "2 GB", 2 * 10**9),
        (parse_size, "0 B", 0),
        (parse_size, 0, 0),
        (parse_rate, "50 MiB/s", 50 * 2**20),
        (parse_distance, "500 km", 500_000.0),
        (parse_distance, "300 mi", 482_803.2),
        (parse_share, "30 %", 0.3),
        (parse_share, "100%", 1.0),
        (parse_share, "0 %", 0.0),
    ],
)
def test_a_quantity_is_read(parse: Callable[[object], float], text: object, amount: float) -> None:
    assert parse(text) == pytest.approx(amount)


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (parse_duration, 15, "a duration needs a unit: write 15s, 15m or 15h"),
        (parse_duration, "15", "a duration needs a unit: write 15s, 15m or 15h"),
        (parse_duration, "15 min", "min is no unit of a duration: write 15m"),
        (parse_duration, "3 fortnights", "fortnights is no unit of a duration: write one of ms, s, m, h, d, w, y"),
        (parse_duration, "1h 30", "a duration needs a unit: write 1h 30m"),
        (parse_duration, "soon", "a duration is written like 30s, 15m, 2h or 7d"),
        (parse_duration, "", "a duration is written like 30s, 15m, 2h or 7d"),
        (parse_duration, True, "a duration is written like 30s, 15m, 2h or 7d"),
        (parse_duration, ["15m"], "a duration is written like 30s, 15m, 2h or 7d"),
        (parse_duration, "36526d", "a duration is at most a hundred years: write 36525d or less"),
        (parse_size, 64, "a size needs a unit: write 64 MiB"),
        (parse_size, "64 mib", "mib is no unit of a size: write 64 MiB"),
        (parse_size, "1 GiB 5 MiB", "a size is written like 64 MiB or 2 GB"),
        (parse_size, "99999999 TiB", "a size is less than 8 EiB: write a smaller one"),
        (parse_rate, "50 MiB", "MiB is no unit of a rate: write 50 MiB/s"),
        (parse_distance, 500, "a distance needs a unit: write 500 km"),
        (parse_distance, 500.5, "a distance needs a unit: write 500.5 km"),
        (parse_share, 30, "a share needs a unit: write 30 %"),
        (parse_share, 0.3, "a share needs a unit: write 0.3 %"),
        (parse_share, "130 %", "a share is at most 100 %: write 30 %"),
    ],
)
def test_what_is_wrong_says_what_to_write(parse: Callable[[object], object], text: object, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 — the whole sentence is compared
        parse(text)

    assert str(raised.value) == sentence


@given(st.integers(min_value=0, max_value=36_525 * 86_400_000).map(lambda count: timedelta(milliseconds=count)))
def test_a_duration_that_was_written_is_read_again(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.lists(st.text())))
def test_nothing_but_a_value_error_comes_of_any_value(value: object) -> None:
    for parse in (parse_duration, parse_size, parse_rate, parse_distance, parse_share):
        with suppress(ValueError):
            assert parse(value) is not None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1023, "0.999 KiB"),
        (1024, "1 KiB"),
        (99.96 * 2**10, "100 KiB"),
        (999.4 * 2**10, "999 KiB"),
        (1010 * 2**10, "0.986 MiB"),
        (1.25 * 2**30, "1.25 GiB"),
        (-3 * 2**30, "-3 GiB"),
        (5 * 2**50, "5120 TiB"),
    ],
)
def test_a_size_is_shown_in_binary_units(amount: float, text: str) -> None:
    assert format_size(amount) == text


def test_a_duration_that_was_read_already_is_taken_as_it_is() -> None:
    assert parse_duration(timedelta(minutes=3)) == timedelta(minutes=3)


def test_a_duration_of_nothing_is_refused_where_there_has_to_be_some() -> None:
    waits = TypeAdapter(PositiveDuration)
    assert waits.validate_python("3m") == timedelta(minutes=3)
    with pytest.raises(ValidationError, match="longer than nothing: write a duration like 15m"):
        waits.validate_python("0s")
