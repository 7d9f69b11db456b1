"""Identifiers that sort by time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.ulid import RANDOM_BYTES, ulid

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def test_it_is_written_as_the_specification_says() -> None:
    # By hand: 1469918176385 ms is the specification's own example of the time part, 01ARYZ6S41.
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1469918176385)
    assert ulid(moment, bytes(10)) == "01ARYZ6S41" + 16 * "0"
    assert ulid(moment, b"\xff" * 10) == "01ARYZ6S41" + 16 * "Z"


@given(moments, randoms)
def test_it_has_26_characters_of_crockfords_alphabet(moment: datetime, randomness: bytes) -> None:
    text = ulid(moment, randomness)
    assert len(text) == 26
    assert set(text) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@given(moments, moments, randoms, randoms)
def test_a_later_millisecond_sorts_later(one: datetime, other: datetime, first: bytes, second: bytes) -> None:
    if other - one >= timedelta(milliseconds=1):
        assert ulid(one, first) < ulid(other, second)


@given(moments, randoms, randoms)
def test_other_randomness_is_another_identifier(moment: datetime, first: bytes, second: bytes) -> None:
    assert (ulid(moment, first) == ulid(moment, second)) == (first == second)
