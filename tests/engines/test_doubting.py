"""Work that stands still: its store is looked at, and only a store that does not answer ends it."""

import asyncio

import pytest

from drd.core.errors import StoreAway
from drd.engines.doubting import DOUBT_SECONDS, unless_away
from drd.ports.repository import Progress
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime


async def test_work_that_stands_still_in_a_store_that_answers_goes_on() -> None:
    house = FakeHouse()
    assert await unless_away(_slow(3600), "local", house.stores, lambda: None) == "done"


async def test_work_that_stands_still_in_a_store_that_is_away_is_stopped() -> None:
    house = FakeHouse()
    house.local.away = "unplugged"
    with pytest.raises(StoreAway, match="unplugged"):
        await unless_away(_slow(900), "local", house.stores, lambda: None)
    assert asyncio.get_running_loop().time() < 2 * DOUBT_SECONDS


async def test_work_that_moves_is_not_doubted() -> None:
    house = FakeHouse()
    loop = asyncio.get_running_loop()
    await unless_away(_slow(3600), "local", house.stores, lambda: Progress(done_bytes=int(loop.time())))
    assert house.local.looks == 0


async def test_its_failure_is_raised_as_it_is() -> None:
    async def failing() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await unless_away(failing(), "local", FakeHouse().stores, lambda: None)


async def test_whoever_cancels_waits_until_the_work_has_cleaned_up() -> None:
    cleaned: list[float] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(900)
        finally:
            await asyncio.sleep(7)
            cleaned.append(asyncio.get_running_loop().time())

    task = asyncio.ensure_future(unless_away(careful(), "local", FakeHouse().stores, lambda: None))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [8.0]


async def _slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"
