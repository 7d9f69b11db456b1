"""The same slot on every node, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from drd.core.errors import PermanentError
from drd.core.events import StandbySlotFailed
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Slot, WalStatus
from drd.engines.standby_slots import LOOK_SECONDS
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.postgres import BEGINNING, FACTS, FakeCluster, FakePostgres
from tests.fakes.servers import FakeServers, StreamedDatabase

pytestmark = pytest.mark.looptime
SLOT = "drd_orders"


@dataclass
class Pair:
    """A primary that WAL is received from, and a standby with slots of its own."""

    house: FakeHouse
    standby: FakePostgres

    @property
    def slot(self) -> Slot | None:
        return self.standby.cluster.slots.get(SLOT)


def furnished() -> Pair:
    source = StreamedDatabase(given=None)
    house = FakeHouse(protected(a_policy("orders"), main=source))
    first, second = FakeCluster(house.clock), FakeCluster(house.clock)
    servers = FakeServers({"orders-1": FakePostgres(first), "orders-2": FakePostgres(second, is_standby=True)})
    house = FakeHouse(protected(a_policy("orders"), main=StreamedDatabase(given=servers)))
    line = house.receiving.line("orders")
    line.node, line.timeline, line.why_not = "orders-1", 1, ""
    line.system_identifier = FACTS.system_identifier
    return Pair(house, servers.nodes["orders-2"])


@asynccontextmanager
async def serving(it: Pair) -> AsyncIterator[None]:
    work = asyncio.create_task(it.house.standby_slots.serve("orders"))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_a_standby_holds_back_what_is_not_safe_yet_and_no_more() -> None:
    it = furnished()
    async with serving(it):
        await asyncio.sleep(1)
        assert it.slot is None
        it.house.receiving.line("orders").flushed = BEGINNING
        await asyncio.sleep(LOOK_SECONDS)
        assert it.slot is not None
        assert it.slot.restart == BEGINNING
        it.standby.cluster.written = it.standby.cluster.replayed = Lsn(BEGINNING.value + 9000)
        it.house.receiving.line("orders").flushed = Lsn(BEGINNING.value + 5000)
        await asyncio.sleep(LOOK_SECONDS)
        assert it.slot.restart == Lsn(BEGINNING.value + 5000)


async def test_a_new_primary_is_noticed_while_the_old_one_still_answers() -> None:
    it = furnished()
    async with serving(it):
        await asyncio.sleep(1)
        it.standby.is_standby = False
        it.standby.cluster.promote()
        await asyncio.sleep(LOOK_SECONDS)
        assert it.house.receiving.line("orders").turned == "orders-2 is the primary now, on timeline 2"


async def test_a_server_of_another_cluster_is_left_alone() -> None:
    it = furnished()
    it.standby.cluster.facts = replace(FACTS, system_identifier="7")
    it.house.receiving.line("orders").flushed = BEGINNING
    async with serving(it):
        await asyncio.sleep(LOOK_SECONDS)
    assert it.slot is None


async def test_while_nothing_is_received_a_slot_goes_before_it_fills_a_disk() -> None:
    it = furnished()
    line = it.house.receiving.line("orders")
    line.flushed = BEGINNING
    async with serving(it):
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert it.slot is not None
        line.flushed = None
        await asyncio.sleep(LOOK_SECONDS)
        assert it.slot is not None
        it.standby.cluster.slots[SLOT] = replace(it.slot, wal_status=WalStatus.EXTENDED)
        await asyncio.sleep(LOOK_SECONDS)
        assert it.slot is None


async def test_what_keeps_a_slot_from_being_made_is_told_once_and_who_is_away_is_not() -> None:
    it = furnished()
    it.standby.cluster.away = "Connection refused"
    it.house.receiving.line("orders").flushed = BEGINNING
    async with serving(it):
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert it.house.journal.of(StandbySlotFailed) == []
        it.standby.cluster.away = ""

        async def none_is_free(name: str) -> Slot:
            raise PermanentError("standby has no free replication slot", "raise max_replication_slots there")

        it.standby.create_slot = none_is_free  # type: ignore[method-assign]
        await asyncio.sleep(3 * LOOK_SECONDS)
        [fact] = it.house.journal.of(StandbySlotFailed)
        assert (fact.node, fact.hint) == ("orders-2", "raise max_replication_slots there")
