"""Runs over a source that somebody destroys: what is held then, and what a person says about it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from drd.core.errors import RefusedByGuard, UsageError
from drd.core.events import PolicyAdded, RetentionHeld, RunFinished, SuspicionRaised, SuspicionReleased
from drd.core.policy import Mode, Outcome
from drd.core.suspicion import FEWEST_RUNS
from drd.daemon.control import HouseControl
from tests.fakes.house import FakeHouse, a_policy, protected

pytestmark = pytest.mark.looptime

FILES = 40
A_FILE_BYTES = 8192


class Shop:
    """Files of which one or two change a day, in words that compress."""

    def __init__(self, house: FakeHouse, seed: int = 1) -> None:
        self.house = house
        self.draw = Random(seed)
        self.day = 0
        self.files = house.disk.folders["/srv"]
        self.files.clear()
        for number in range(FILES):
            self.files[f"{number}.csv"] = self.words(number)

    def words(self, number: int) -> bytes:
        self.day += 1
        return (f"order {number} of day {self.day}\n" * A_FILE_BYTES)[:A_FILE_BYTES].encode()

    async def a_day(self, run: str | None = None, mode: Mode = Mode.INCREMENTAL) -> Outcome:
        for number in self.draw.sample(range(FILES), self.draw.choice((1, 2))):
            self.files[f"{number}.csv"] = self.words(number)
        return await self.backup(run, mode)

    async def backup(self, run: str | None = None, mode: Mode = Mode.INCREMENTAL) -> Outcome:
        await asyncio.sleep(24 * 3600)
        return (await self.house.run(run=run, mode=mode)).outcome

    def encrypt(self) -> None:
        for name in self.files:
            self.files[name] = self.draw.randbytes(A_FILE_BYTES)


async def a_shop(days: int = FEWEST_RUNS + 2, mode: Mode = Mode.INCREMENTAL, **plan: object) -> Shop:
    """A shop that was backed up for so many days; the first run has nothing to compare with."""
    shop = Shop(FakeHouse(protected(a_policy(to=("local", "offsite"), **plan))))
    await shop.house.journal.append(PolicyAdded("orders"))
    for _ in range(days):
        assert await shop.a_day(mode=mode) is Outcome.SUCCEEDED
        await shop.house.copy.fill("offsite")
    return shop


@asynccontextmanager
async def controlled(house: FakeHouse) -> AsyncIterator[HouseControl]:
    async def reload() -> tuple[str, ...]:
        return ()

    yield HouseControl(house.house, None, reload)


async def test_ordinary_days_raise_no_suspicion() -> None:
    shop = await a_shop(40)
    assert shop.house.journal.of(SuspicionRaised) == []


@pytest.mark.parametrize("mode", list(Mode))
async def test_encrypted_files_raise_a_suspicion_with_the_run_that_saw_them(mode: Mode) -> None:
    shop = await a_shop(mode=mode)
    shop.encrypt()
    assert await shop.backup("66RUN", mode) is Outcome.SUCCEEDED
    [raised] = shop.house.journal.of(SuspicionRaised)
    assert "it looks encrypted" in raised.message
    assert "of the data is new" in raised.message
    assert ("of the files changed" in raised.message) is (mode is Mode.INCREMENTAL)
    record = await shop.house.journal.policy("orders")
    assert record is not None
    assert record.suspicion is not None
    assert record.suspicion.run == "66RUN"
    finished = shop.house.journal.of(RunFinished)[-1]
    assert finished.message.startswith("this run is suspected: ")
    assert finished.hint == "when you know why, type: drd release --policy orders"


async def test_while_a_suspicion_stands_backups_go_on_and_nothing_is_forgotten_anywhere_also_by_a_person() -> None:
    shop = await a_shop(keep={"last": 2})
    house = shop.house
    good = (await house.journal.points("orders"))[-1].run
    shop.encrypt()
    for _ in range(30):
        assert await shop.a_day() is Outcome.SUCCEEDED
        await house.copy.fill("offsite")
        for store in ("local", "offsite"):
            assert await house.retain.forget("orders", store, "schedule") == ()
    assert len(house.journal.of(SuspicionRaised)) == 1
    assert {held.store for held in house.journal.of(RetentionHeld)} == {"local", "offsite"}
    for store in ("local", "offsite"):
        with pytest.raises(RefusedByGuard, match=r"is suspected: .* it looks encrypted") as refused:
            await house.retain.forget("orders", store, "anna", by_a_person=True)
        assert refused.value.hint == "when you know why, type: drd release --policy orders"
    kept = {point.run: point.stores for point in await house.journal.points("orders")}
    assert kept[good] == ("local", "offsite")


async def test_files_that_are_deleted_raise_a_suspicion_although_the_run_fails_for_what_it_shrank_by() -> None:
    shop = await a_shop()
    for name in list(shop.files)[:30]:
        del shop.files[name]
    assert await shop.backup() is Outcome.FAILED
    [raised] = shop.house.journal.of(SuspicionRaised)
    assert raised.message == "75 % of the files are gone, usual is 0 %"


async def test_a_person_releases_a_suspicion_and_the_same_is_not_asked_again() -> None:
    shop = await a_shop(keep={"last": 2})
    house = shop.house
    async with controlled(house) as control:
        with pytest.raises(UsageError, match="no run of orders is suspected"):
            await control.release_policy("orders", "anna")
        with pytest.raises(UsageError, match="there is no policy"):
            await control.release_policy("order", "anna")
        shop.encrypt()
        await shop.backup()
        assert "it looks encrypted" in await control.release_policy("orders", "anna")
    assert house.journal.of(SuspicionReleased) == [SuspicionReleased("orders", "anna")]
    shop.encrypt()
    assert await shop.backup() is Outcome.SUCCEEDED
    assert len(house.journal.of(SuspicionRaised)) == 1
    assert await house.retain.forget("orders", "local", "anna", by_a_person=True) != ()


async def test_what_is_told_of_a_suspected_policy() -> None:
    shop = await a_shop()
    shop.encrypt()
    await shop.backup()
    async with controlled(shop.house) as control:
        [policy] = (await control.status()).policies
        assert policy.state == "suspect"
        assert "nothing of it is forgotten" in policy.note
        explained = "\n".join(await control.explain("orders"))
        assert "nothing of it is forgotten in any store: the run of" in explained


async def test_too_little_history_is_not_judged() -> None:
    shop = await a_shop(FEWEST_RUNS)
    shop.encrypt()
    await shop.backup()
    assert shop.house.journal.of(SuspicionRaised) == []


async def test_a_first_run_into_an_empty_store_is_not_suspected_for_what_is_new_to_it() -> None:
    shop = Shop(FakeHouse(protected(a_policy())))
    for _ in range(FEWEST_RUNS + 2):
        assert await shop.a_day() is Outcome.SUCCEEDED
    await shop.house.stores.open("offsite", may_make=True)
    shop.house.local.away = "the disk is unplugged"
    assert await shop.a_day() is Outcome.SUCCEEDED
    shop.house.local.away = ""
    assert await shop.a_day() is Outcome.SUCCEEDED
    stores = [point.stores for point in await shop.house.journal.points("orders")]
    assert stores[-2:] == [("offsite",), ("local",)]
    assert shop.house.journal.of(SuspicionRaised) == []
