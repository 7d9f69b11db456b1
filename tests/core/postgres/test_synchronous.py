"""`synchronous_standby_names` as PostgreSQL reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from drd.core.postgres.synchronous import NewSet, for_new_primary, quorum_of, says, setting_of, with_member
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
    assert quorum_of(setting) == Quorum(needed, named, is_ranked=not setting.startswith("any"))


def test_a_star_is_any_standby_and_nothing_is_nobody() -> None:
    found = quorum_of("FIRST 1 (*)", ("batch",))

    assert found is not None
    assert found.is_any
    assert found.lowered_by == ("batch",)
    assert quorum_of("  ") is None


def test_what_is_not_understood_is_said() -> None:
    with pytest.raises(ValueError, match="not understood"):
        quorum_of('"two')


NAMES = some.lists(some.text(some.characters(codec="ascii", exclude_categories=["C"]), min_size=1), min_size=1)


@given(NAMES, some.integers(1, 5), some.booleans())
def test_what_is_written_is_read_as_it_was(names: list[str], needed: int, is_ranked: bool) -> None:
    named = tuple(dict.fromkeys(name.casefold() for name in names))
    quorum = Quorum(needed, named, "*" in named, is_ranked=is_ranked)
    assert quorum_of(setting_of(quorum)) == quorum
    assert says(setting_of(quorum), quorum)
    assert setting_of(None) == ""


TWO = Quorum(2, ("two", "three"), is_ranked=False)


def test_a_new_primary_waits_for_those_that_are_there_and_says_what_lacks() -> None:
    assert for_new_primary(None, ["three"]) == NewSet(None)
    assert for_new_primary(TWO, ["three", "Four"]).quorum == Quorum(2, ("four", "three"), is_ranked=False)
    one = for_new_primary(TWO, ["three"])
    assert setting_of(one.quorum) == 'ANY 1 ("three")'
    assert one.note == "commits wait for 1 members instead of 2 until more are back"
    assert for_new_primary(quorum_of("*"), ["three"]).quorum == Quorum(1, ("three",))
    nobody = for_new_primary(TWO, [])
    assert (nobody.quorum, nobody.note.partition(":")[0]) == (None, "no other member is there")


def test_a_member_that_is_back_is_waited_for_again() -> None:
    first = with_member(None, TWO, "One")
    assert setting_of(first) == 'ANY 1 ("one")'
    assert with_member(first, TWO, "three") == Quorum(2, ("one", "three"), is_ranked=False)
    assert with_member(quorum_of("*"), TWO, "three").named == ("three",)


def test_settings_are_compared_by_what_they_ask_for() -> None:
    assert says("two", Quorum(1, ("two",)))
    assert says("", None)
    assert says("0 (two)", None)
    assert not says("*", Quorum(1, ("two",)))
    assert not says("two three", None)
