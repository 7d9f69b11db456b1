"""Distances along the great circle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.geography import EARTH_RADIUS_METRES, format_away, great_circle_metres

LATITUDES = st.floats(min_value=-90, max_value=90)
LONGITUDES = st.floats(min_value=-180, max_value=180)
HALF_WAY_ROUND = 3.1415927 * EARTH_RADIUS_METRES


@pytest.mark.parametrize(
    ("one", "other", "kilometres"),
    [
        ((30.25, 120.17), (34.34, 108.94), 1148),  # Hangzhou to Xi'an
        ((52.52, 13.405), (48.137, 11.576), 504),  # Berlin to Munich
        ((0, 179.5), (0, -179.5), 111.2),  # over the date line
        ((90, 0), (-90, 0), 20015),
        ((10, 20), (10, 20), 0),
    ],
)
def test_known_distances_are_within_a_percent(
    one: tuple[float, float], other: tuple[float, float], kilometres: float
) -> None:
    assert great_circle_metres(*one, *other) / 1000 == pytest.approx(kilometres, rel=0.01, abs=0.001)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_the_way_back_is_as_far_and_never_more_than_half_way_round(a: float, b: float, c: float, d: float) -> None:
    there = great_circle_metres(a, b, c, d)

    assert there == pytest.approx(great_circle_metres(c, d, a, b), abs=0.1)
    assert 0 <= there <= HALF_WAY_ROUND


@pytest.mark.parametrize(
    ("metres", "words"),
    [
        (0, "here"),
        (0.4, "here"),
        (420, "420 m away"),
        (9_999, "9 999 m away"),
        (12_300, "12 km away"),
        (1_148_000, "1 148 km away"),
    ],
)
def test_a_distance_is_told_so_that_nothing_is_zero_kilometres_away(metres: float, words: str) -> None:
    assert format_away(metres) == words
