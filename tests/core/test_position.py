"""Positions of copies of a database, across promotions."""

from hypothesis import given
from hypothesis import strategies as st

from drd.core.position import Order, Position

OPPOSITE = {Order.AHEAD: Order.BEHIND, Order.BEHIND: Order.AHEAD, Order.EQUAL: Order.EQUAL}
positions = st.builds(
    Position,
    st.integers(1, 4),
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), max_size=3).map(tuple),
)


def test_on_one_timeline_the_greater_offset_is_ahead() -> None:
    assert Position(1, 20).compare(Position(1, 10)) is Order.AHEAD
    assert Position(1, 10).compare(Position(1, 20)) is Order.BEHIND
    assert Position(1, 10).compare(Position(1, 10)) is Order.EQUAL


def test_a_promoted_copy_is_ahead_of_all_that_lies_before_its_fork() -> None:
    promoted = Position(2, 40, ((1, 30),))

    assert promoted.compare(Position(1, 30)) is Order.AHEAD
    assert Position(1, 25).compare(promoted) is Order.BEHIND


def test_what_was_written_beyond_the_fork_has_diverged() -> None:
    assert Position(2, 40, ((1, 30),)).compare(Position(1, 31)) is Order.DIVERGED
    assert Position(1, 31).compare(Position(2, 40, ((1, 30),))) is Order.DIVERGED


def test_two_promotions_from_one_parent_have_the_same_number_and_have_diverged() -> None:
    assert Position(2, 40, ((1, 30),)).compare(Position(2, 40, ((1, 35),))) is Order.DIVERGED


def test_a_later_timeline_whose_past_is_not_known_counts_as_diverged() -> None:
    assert Position(2, 40).compare(Position(1, 10)) is Order.DIVERGED


@given(positions, positions)
def test_two_positions_see_one_another_the_other_way_round(one: Position, other: Position) -> None:
    assert other.compare(one) is OPPOSITE.get(one.compare(other), Order.DIVERGED)
