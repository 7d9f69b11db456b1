"""Reading all of a store in rotation."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.catalogue import StoreRecord
from drd.core.rotation import MOST_PARTS, Part, divided, division, holds, next_part, read_part

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = 30 * DAY
PACKS = range(256)
"""The first bytes of the ids of packs, which is all that tells them apart here."""


def record(read: list[datetime | None] | None = None, seconds: float = 0.0, known: datetime = NOON) -> StoreRecord:
    return StoreRecord(
        "local", "id", None, None, None, None, None, None,
        known_since=known, parts_read=tuple(read or ()), part_seconds=seconds,
    )  # fmt: skip


def part_of(pack: int, parts: int) -> int:
    return pack % parts


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 9).map(lambda days: NOON - days * DAY)), min_size=1, max_size=40),
    st.integers(1, MOST_PARTS),
)
def test_no_pack_counts_as_read_later_than_it_was(read: list[datetime | None], parts: int) -> None:
    known = divided(read, parts)
    assert len(known) == parts
    for pack in PACKS:
        before, after = read[part_of(pack, len(read))], known[part_of(pack, parts)]
        assert after is None or (before is not None and after <= before)


@given(st.integers(1, 32), st.integers(1, 8), st.data())
def test_smaller_parts_know_all_that_was_known(parts: int, times: int, data: st.DataObject) -> None:
    read = data.draw(st.lists(st.one_of(st.none(), st.just(NOON)), min_size=parts, max_size=parts))
    known = divided(read, parts * times)
    assert all(known[part_of(pack, parts * times)] == read[part_of(pack, parts)] for pack in PACKS)


@given(st.integers(1, MOST_PARTS), st.integers(1, MOST_PARTS), st.data())
def test_a_subset_holds_another_when_it_has_all_its_packs(first: int, second: int, data: st.DataObject) -> None:
    one = Part(data.draw(st.integers(1, first)), first)
    other = Part(data.draw(st.integers(1, second)), second)
    packs = [{pack for pack in PACKS if part_of(pack, each.of) == each.number - 1} for each in (one, other)]
    if holds(str(one), str(other)):
        assert packs[1] <= packs[0]


@pytest.mark.parametrize(("subset", "other"), [("3/24", ""), ("1/1", "restore"), ("100%", "3/24"), ("2/8", "10/16")])
def test_what_a_sound_check_takes_back(subset: str, other: str) -> None:
    assert holds(subset, other)


@pytest.mark.parametrize(("subset", "other"), [("", "3/24"), ("3/24", "restore"), ("3/24", "4/24"), ("10/16", "2/8")])
def test_what_a_sound_check_does_not_take_back(subset: str, other: str) -> None:
    assert not holds(subset, other)


@pytest.mark.parametrize("subset", ["", "0/3", "4/3", "1/257", "restore", "3"])
def test_what_names_no_part(subset: str) -> None:
    assert read_part(subset) is None


def test_a_month_is_divided_into_a_part_a_day_with_days_to_spare() -> None:
    assert division(record(), MONTH, 120) == 24
    assert division(record(), DAY, 120) == 1
    assert division(record(), 10 * 365 * DAY, 120) == MOST_PARTS


def test_parts_that_take_too_long_are_halved_and_joined_again_when_they_are_short() -> None:
    assert division(record([NOON] * 24, seconds=121), MONTH, 120) == 48
    assert division(record([NOON] * 48, seconds=61), MONTH, 120) == 48
    assert division(record([NOON] * 48, seconds=29), MONTH, 120) == 24
    assert division(record([NOON] * 192, seconds=999), MONTH, 120) == 192


def test_all_is_read_within_the_time_and_goes_on_where_it_was() -> None:
    now, read = NOON, list[datetime | None]()
    while now < NOON + 3 * MONTH:
        part = next_part(record(read), MONTH, 120, now, is_dear=False)
        if part is not None:
            read = divided(read, part.of)
            read[part.number - 1] = now
        since = record(read).unread_since
        assert since is not None
        assert now - since <= MONTH
        now += timedelta(minutes=30)
    assert None not in read


def test_dear_hours_are_left_alone_until_it_is_urgent() -> None:
    read: list[datetime | None] = [NOON - 2 * DAY] * 24
    assert next_part(record(read), MONTH, 120, NOON, is_dear=False) == Part(1, 24)
    assert next_part(record(read), MONTH, 120, NOON, is_dear=True) is None
    read[5] = NOON - 28 * DAY
    assert next_part(record(read), MONTH, 120, NOON, is_dear=True) == Part(6, 24)


def test_a_clock_that_was_set_back_does_not_stop_the_rotation() -> None:
    read: list[datetime | None] = [NOON + DAY] * 24
    assert next_part(record(read), MONTH, 120, NOON, is_dear=False) == Part(1, 24)
