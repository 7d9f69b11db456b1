"""Other daemons that keep the heartbeat of the same policy."""

from drd.core.decision import Rival
from drd.core.probing import Beat
from drd.core.rivals import rivals


def test_a_row_about_as_young_as_this_daemons_own_is_that_of_a_living_rival() -> None:
    found = rivals([Beat("me", 0, 100.0), Beat("other", 3, 110.0), Beat("gone", 1, 4000.0)], "me")

    assert found == (Rival("other", 3),)


def test_this_daemons_own_rows_are_no_rivals() -> None:
    assert rivals([Beat("me", 0, 1.0), Beat("me/probe", 0, 0.1), Beat("me verify", 0, 9.0)], "me") == ()
    assert rivals([], "me") == ()


def test_a_rival_is_named_once_with_its_greatest_term() -> None:
    assert rivals([Beat("other", 4, 2.0), Beat("other/probe", 0, 1.0)], "me") == (Rival("other", 4),)
