"""Packs on their way to further stores while the backup that writes them still runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drd.core.errors import StoreAway
from drd.core.events import CopyCreated
from drd.engines.sending_ahead import AFTER_SECONDS, AGAIN_SECONDS
from drd.engines.work_queues import JobClass
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace

pytestmark = pytest.mark.looptime

TO_OFFSITE = [("local", "offsite")]
LONG = AFTER_SECONDS + 1
AGAIN = AGAIN_SECONDS[0] + 1


@asynccontextmanager
async def served(house: FakeHouse, store: str = "offsite") -> AsyncIterator[None]:
    """A worker for a store that is a mirror already, under way."""
    await house.run(run="00RUN")
    await house.copy.fill(store)
    worker = asyncio.create_task(house.copy.serve(store))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        assert house.carrier.ahead == []


async def test_while_a_long_run_saves_packs_go_and_its_end_ends_that() -> None:
    house = FakeHouse()
    async with served(house):
        house.repository("local").seconds["save"] = 10 * LONG
        saving = asyncio.create_task(house.run(run="01RUN"))
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == TO_OFFSITE
        await saving
        house.copy.want_behind("orders")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == []
        assert set(house.offsite.snapshots) == set(house.local.snapshots)


async def test_it_ends_with_the_last_run_also_where_no_round_follows() -> None:
    house = FakeHouse()
    async with served(house):
        with house.ahead.beside("local"):
            with house.ahead.beside("local"):
                await asyncio.sleep(LONG)
            await asyncio.sleep(1)
            assert house.carrier.ahead == TO_OFFSITE
        await asyncio.sleep(1)
        assert house.carrier.ahead == []
        with house.ahead.beside("local"):
            await asyncio.sleep(LONG)
            assert house.carrier.ahead == TO_OFFSITE


async def test_for_a_short_run_no_process_is_started() -> None:
    house = FakeHouse()
    async with served(house):
        with house.ahead.beside("local"):
            await asyncio.sleep(AFTER_SECONDS / 2)
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == []


async def test_a_round_for_another_policy_comes_between_and_packs_go_on_behind_it() -> None:
    house = FakeHouse(protected(a_policy("orders")), protected(a_policy("carts")))
    async with served(house):
        ahead_of_round: list[list[tuple[str, str]]] = []
        house.carrier.before = lambda: ahead_of_round.append(list(house.carrier.ahead))
        with house.ahead.beside("local"):
            await asyncio.sleep(LONG)
            assert house.carrier.ahead == TO_OFFSITE
            await house.run("carts")
            house.copy.want_behind("carts")
            await asyncio.sleep(LONG)
            assert ahead_of_round == [[]]
            assert house.carrier.ahead == TO_OFFSITE


async def test_whoever_has_work_in_the_mirror_comes_first_and_packs_go_on_behind_it() -> None:
    house = FakeHouse()
    async with served(house):
        for job in (JobClass.PRUNE, JobClass.BACKUP, JobClass.RESTORE):
            with house.ahead.beside("local"):
                await asyncio.sleep(AGAIN)
                assert house.carrier.ahead == TO_OFFSITE
                async with house.queues.take("offsite", job, 2):
                    await asyncio.sleep(AGAIN)
                    assert house.carrier.ahead == []
                await asyncio.sleep(AGAIN_SECONDS[1])
                assert house.carrier.ahead == TO_OFFSITE, job


async def test_a_mirror_that_does_not_answer_for_a_while_gets_the_rest_when_it_does_again() -> None:
    house = FakeHouse()
    async with served(house):
        house.carrier.away_ahead = StoreAway("store offsite is away", "look at it")
        with house.ahead.beside("local"):
            await asyncio.sleep(LONG)
            house.carrier.away_ahead = None
            await asyncio.sleep(AGAIN)
            assert house.carrier.ahead == TO_OFFSITE


async def test_a_mirror_that_was_never_filled_is_made_by_a_round_alone() -> None:
    house = FakeHouse()
    worker = asyncio.create_task(house.copy.serve("offsite"))
    await asyncio.sleep(0)
    with house.ahead.beside("local"):
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == []
        assert house.journal.of(CopyCreated) == []
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def test_where_files_do_not_go_as_they_are_nothing_goes_ahead() -> None:
    local, offsite = FakePlace("local"), FakePlace("offsite")
    copied = FakeHouse(stores=(a_store(local), a_store(offsite, independent=True)))
    turned = FakeHouse(protected(a_policy(to=("offsite", "local"))))
    for house in (copied, turned):
        async with served(house):
            with house.ahead.beside("local"):
                await asyncio.sleep(LONG)
                assert house.carrier.ahead == []


async def test_a_mistake_in_it_is_no_secret() -> None:
    house = FakeHouse()
    async with served(house):
        house.carrier.away_ahead = ZeroDivisionError()
        worker = asyncio.create_task(house.copy.serve("offsite"))
        await asyncio.sleep(0)
        with house.ahead.beside("local"), pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(worker, LONG)
