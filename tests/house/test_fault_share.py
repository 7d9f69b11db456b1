"""The share of fault tests that a run draws."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fault_share import drawn

CASES = st.lists(st.text(max_size=8), unique=True, min_size=1, max_size=40)
SHARES = st.floats(min_value=0, max_value=1)


@given(cases=CASES, share=SHARES, seed=st.text(max_size=8))
def test_at_least_one_case_of_each_test_is_drawn_and_none_is_made_up(cases: list[str], share: float, seed: str) -> None:
    assert set() < drawn(cases, share, seed) <= set(cases)


@given(cases=CASES, share=SHARES, seed=st.text(max_size=8))
def test_the_order_of_collection_does_not_change_the_draw(cases: list[str], share: float, seed: str) -> None:
    assert drawn(cases, share, seed) == drawn(cases[::-1], share, seed)


@given(cases=CASES, seed=st.text(max_size=8))
def test_a_whole_share_draws_everything(cases: list[str], seed: str) -> None:
    assert drawn(cases, 1.0, seed) == set(cases)


def test_another_seed_draws_other_cases() -> None:
    cases = [f"case-{number}" for number in range(100)]

    assert drawn(cases, 0.2, "one commit") != drawn(cases, 0.2, "the next")
