"""What a full disk keeps off the record, in a command without a daemon."""

import asyncio

import pytest

from drd.core.events import RunFinished, RunStarted, StoreWentAway
from drd.daemon.startup import PAY_SECONDS, keep_paying
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime


async def a_house_that_owes() -> FakeHouse:
    """A run whose end, and a store whose going, found no room."""
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    running = asyncio.create_task(house.run(run="01RUN"))
    await asyncio.sleep(1)
    house.journal.is_full = True
    await house.stores.went_away("offsite", "unplugged")
    await running
    assert house.backup.outbox.owed
    return house


async def test_what_is_owed_is_on_record_soon_after_there_is_room() -> None:
    house = await a_house_that_owes()
    paying = asyncio.create_task(keep_paying(house.house))
    await asyncio.sleep(10 * PAY_SECONDS)
    assert house.journal.of(RunFinished) == []
    house.journal.is_full = False
    await asyncio.sleep(PAY_SECONDS + 1)
    assert (len(house.journal.of(RunStarted)), len(house.journal.of(RunFinished))) == (1, 1)
    assert len(house.journal.of(StoreWentAway)) == 1
    paying.cancel()


async def test_what_is_owed_is_tried_once_more_at_the_end() -> None:
    house = await a_house_that_owes()
    paying = asyncio.create_task(keep_paying(house.house))
    await asyncio.sleep(1)
    house.journal.is_full = False
    paying.cancel()
    await asyncio.gather(paying, return_exceptions=True)
    assert len(house.journal.of(RunFinished)) == 1


async def test_an_end_without_room_is_no_error_of_its_own() -> None:
    house = await a_house_that_owes()
    paying = asyncio.create_task(keep_paying(house.house))
    await asyncio.sleep(1)
    paying.cancel()
    [ended] = await asyncio.gather(paying, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)
    assert house.backup.outbox.owed
