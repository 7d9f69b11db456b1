"""`synchronous_standby_names` as PostgreSQL reads it."""

import pytest

from drd.core.postgres.synchronous import quorum_of
from drd.core.probing import Quorum


@pytest.mark.parametrize(
    ("setting", "needed", "named"),
    [
        ("two", 1, ("two",)),
        ("two, three", 1, ("two", "three")),
        ("FIRST 1 (two, three)", 1, ("two", "three")),
        ("any 2 (two, three, four)", 2, ("two", "three", "four")),
        ("2 (two, three)", 2, ("two", "three")),
        ('FIRST 1 ("Two ""a""", three)', 1, ('two "a"', "three")),
        ("orders-2", 1, ("orders-2",)),
    ],
)
def test_how_many_of_which_confirm(setting: str, needed: int, named: tuple[str, ...]) -> None:
    assert quorum_of(setting) == Quorum(needed, named)


def test_a_star_is_any_standby_and_nothing_is_nobody() -> None:
    found = quorum_of("FIRST 1 (*)", ("batch",))

    assert found is not None
    assert found.is_any
    assert found.lowered_by == ("batch",)
    assert quorum_of("  ") is None


def test_what_is_not_understood_is_said() -> None:
    with pytest.raises(ValueError, match="not understood"):
        quorum_of('"two')
