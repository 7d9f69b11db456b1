"""Stretches of numbers behave as the sets that they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.stretches import Stretch, Stretches

NUMBERS = st.sets(st.integers(0, 30))


@given(NUMBERS, NUMBERS)
def test_they_are_joined_cut_and_shared_as_sets_are(one: set[int], other: set[int]) -> None:
    first, second = Stretches.of(one), Stretches.of(other)
    assert list(first | second) == sorted(one | other)
    assert list(first - second) == sorted(one - other)
    assert list(first & second) == sorted(one & other)
    assert first.count == len(one)
    assert bool(first) is bool(one)


@given(NUMBERS, st.integers(0, 30))
def test_the_stretch_around_a_number_is_the_longest(numbers: set[int], number: int) -> None:
    stretch = Stretches.of(numbers).around(number)
    assert (stretch is not None) is (number in numbers) is (number in Stretches.of(numbers))
    if stretch is not None:
        assert set(range(stretch.first, stretch.last + 1)) <= numbers
        assert stretch.first - 1 not in numbers
        assert stretch.last + 1 not in numbers


def test_two_sets_of_the_same_numbers_are_equal() -> None:
    joined = Stretches.joined([Stretch(5, 9), Stretch(1, 3), Stretch(4, 4), Stretch(8, 12), Stretch(20, 19)])
    assert joined == Stretches((Stretch(1, 12),))
