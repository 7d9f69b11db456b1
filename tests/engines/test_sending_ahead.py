"""Packs on their way to further stores while the backup that writes them still runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drd.core.errors import StoreAway
from drd.engines.sending_ahead import AFTER_SECONDS
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace

pytestmark = pytest.mark.looptime

TO_OFFSITE = [("local", "offsite")]
LONG = AFTER_SECONDS + 1


@asynccontextmanager
async def served(house: FakeHouse, store: str = "offsite") -> AsyncIterator[None]:
    """A worker for a store, under way."""
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
        house.copy.run_started("orders")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == TO_OFFSITE
        await house.run(run="01RUN")
        house.copy.run_ended("orders")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == []
        assert set(house.offsite.snapshots) == set(house.local.snapshots)


async def test_for_a_short_run_no_process_is_started() -> None:
    house = FakeHouse()
    async with served(house):
        house.copy.run_started("orders")
        await asyncio.sleep(AFTER_SECONDS / 2)
        house.copy.run_ended("orders")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == []


async def test_a_round_for_another_policy_comes_between_and_packs_go_on_behind_it() -> None:
    house = FakeHouse(protected(a_policy("orders")), protected(a_policy("carts")))
    ahead_of_round: list[list[tuple[str, str]]] = []
    house.carrier.before = lambda: ahead_of_round.append(list(house.carrier.ahead))
    async with served(house):
        house.copy.run_started("orders")
        house.copy.run_started("carts")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == TO_OFFSITE
        await house.run("carts")
        house.copy.run_ended("carts")
        await asyncio.sleep(LONG)
        assert ahead_of_round == [[]]
        assert house.carrier.ahead == TO_OFFSITE


async def test_a_mirror_that_does_not_answer_is_left_to_the_round_and_tried_with_the_next_run() -> None:
    house = FakeHouse(protected(a_policy("orders")), protected(a_policy("carts")))
    house.carrier.away_ahead = StoreAway("store offsite is away", "look at it")
    async with served(house):
        house.copy.run_started("orders")
        await asyncio.sleep(LONG)
        house.carrier.away_ahead = None
        await asyncio.sleep(10 * LONG)
        assert house.carrier.ahead == []
        house.copy.run_started("carts")
        await asyncio.sleep(LONG)
        assert house.carrier.ahead == TO_OFFSITE


async def test_where_files_do_not_go_as_they_are_nothing_goes_ahead() -> None:
    local, offsite = FakePlace("local"), FakePlace("offsite")
    copied = FakeHouse(stores=(a_store(local), a_store(offsite, independent=True)))
    turned = FakeHouse(protected(a_policy(to=("offsite", "local"))), protected(a_policy("carts")))
    without = FakeHouse()
    for house, policy in ((copied, "orders"), (turned, "orders"), (without, "unknown")):
        async with served(house):
            house.copy.run_started(policy)
            await asyncio.sleep(LONG)
            assert house.carrier.ahead == [], policy
