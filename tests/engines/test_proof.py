"""Checks of stores: what is found is on record at once, without what lies inside a source."""

import asyncio

import pytest

from drd.core.errors import StateFull, StoreAway
from drd.core.events import DamageFound, HoldPlaced, StoreChecked
from drd.engines.doubting import DOUBT_SECONDS
from drd.engines.work_queues import JobClass
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime


async def checked(*damage: str) -> FakeHouse:
    house = FakeHouse()
    await house.run()
    house.local.damage = damage
    await house.proof.check("local")
    return house


@pytest.mark.parametrize(
    ("finding", "journaled"),
    [
        ("pack 1f2e does not match its name", "pack 1f2e does not match its name"),
        (
            'tree 1f2e: file "salaries.ods" blob 0 size could not be found',
            'tree 1f2e: file "…" blob 0 size could not be found',
        ),
        (r'node "a\"b\\" of "c"', 'node "…" of "…"'),
        ('the line ends in file "half a na', 'the line ends in file "…"'),
        ('the line ends in file "half\\', 'the line ends in file "…"'),
    ],
)
async def test_damage_is_on_record_without_the_names_of_files_and_in_the_log_with_them(
    finding: str, journaled: str
) -> None:
    house = await checked(finding, "another")
    assert [(fact.sound, fact.errors, fact.first) for fact in house.journal.of(StoreChecked)] == [(False, 2, journaled)]
    assert house.log == [f"check of local: {finding}", "check of local: another"]


async def test_the_log_is_not_flooded() -> None:
    house = await checked(*(f"pack {each}" for each in range(1000)))
    assert len(house.log) == 20
    assert house.journal.of(StoreChecked)[0].errors == 1000


async def test_a_sound_store_is_on_record_and_says_nothing() -> None:
    house = await checked()
    assert [(fact.sound, fact.first) for fact in house.journal.of(StoreChecked)] == [(True, "")]
    assert (house.journal.of(HoldPlaced), house.log) == ([], [])


async def test_a_check_of_a_store_that_goes_away_holds_nobody_up() -> None:
    house = FakeHouse()
    await house.run()
    house.repository("local").seconds["check"] = 900
    checking = asyncio.create_task(house.proof.check("local"))
    await asyncio.sleep(10)
    house.local.away = "unplugged"
    async with house.queues.take("local", JobClass.WAL, 1):
        assert asyncio.get_running_loop().time() < 2 * DOUBT_SECONDS
    with pytest.raises(StoreAway, match="unplugged"):
        await checking
    assert house.stores.why_away("local")


async def test_damage_and_the_hold_that_it_causes_are_on_record_together_or_not_at_all() -> None:
    house = await checked("pack 1f2e")
    assert [type(event.body) for event in house.journal.events[-3:]] == [StoreChecked, DamageFound, HoldPlaced]
    written = len(house.journal.events)
    append, house.journal.is_full = house.journal.append, False
    appended = 0

    async def once(*bodies, run=None):  # type: ignore[no-untyped-def]
        nonlocal appended
        appended += 1
        house.journal.is_full = appended > 1
        return await append(*bodies, run=run)

    house.journal.append = once  # type: ignore[method-assign]
    await house.proof.check("local")
    assert len(house.journal.events) == written + 3
    house.journal.is_full = True
    with pytest.raises(StateFull):
        await house.proof.check("local")
