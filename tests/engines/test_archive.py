"""WAL from a server through the spool into the stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drd.core.errors import TransientError
from drd.core.events import WalForgotten, WalInterrupted, WalResumed, WalShipped
from drd.core.postgres.archive import Archive as KeptWal
from drd.core.postgres.groups import archive_of, marks_of, read_group, wal_tags
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Slot, WalStatus
from drd.core.postgres.timeline import History
from drd.daemon.status import status
from drd.engines.archive import BATCH_SECONDS, TIDY_FROM, Archive
from drd.engines.spool_room import LEAST_FREE_BYTES
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.postgres import BEGINNING, FakeCluster, FakePostgres
from tests.fakes.postgres_tools import FakeTools
from tests.fakes.repository import FakePlace
from tests.fakes.spool import DirectSpools, StreamedSource

pytestmark = pytest.mark.looptime
MEBIBYTE = 2**20


@dataclass
class Postgres:
    """A house with a policy whose WAL is received."""

    house: FakeHouse
    cluster: FakeCluster
    tools: FakeTools
    spools: DirectSpools
    archive: Archive
    places: dict[str, FakePlace]

    async def wal(self, store: str) -> KeptWal:
        found = [each for each in await self.house.journal.wal("orders") if each.store == store]
        return archive_of(found, MEBIBYTE)

    async def reach(self, store: str) -> Lsn:
        return (await self.wal(store)).reach(History(self.cluster.facts.timeline), BEGINNING)

    @property
    def groups(self) -> list[str]:
        return sorted(path.name for path in self.spools.root.glob("orders/*/groups/*"))


def furnished(tmp_path: Path) -> Postgres:
    places = {name: FakePlace(name) for name in ("local", "offsite", "local.wal", "offsite.wal")}
    server = FakePostgres(None)  # type: ignore[arg-type]
    tools = FakeTools(None)  # type: ignore[arg-type]
    source = StreamedSource(server=server, tools=tools)
    stores = tuple(a_store(place) for place in places.values())
    house = FakeHouse(protected(a_policy("orders"), main=source), stores=stores, spool=tmp_path)
    cluster = server.cluster = tools.cluster = FakeCluster(house.clock)
    return Postgres(house, cluster, tools, house.spools, house.archive, places)


@asynccontextmanager
async def serving(it: Postgres) -> AsyncIterator[None]:
    works = [
        asyncio.create_task(it.archive.serve("orders")),
        asyncio.create_task(it.house.copy.serve("offsite.wal")),
    ]
    try:
        yield
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def test_what_is_written_is_in_every_store_within_a_batch_and_what_carries_it(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        await asyncio.sleep(1)
        it.cluster.write(5_000_000)
        written = it.cluster.written
        await asyncio.sleep(2 * BATCH_SECONDS + 6)
        assert await it.reach("local.wal") == written
        assert await it.reach("offsite.wal") == written
    [*_, newest] = await it.house.repository("offsite.wal").snapshots(wal_tags("orders"))
    group = read_group(newest.tags)
    assert group is not None
    assert group.through == written
    assert {path.rsplit("/", 1)[1] for path in it.places["offsite.wal"].trees[newest.id]} == {
        *(segment.name for segment in group.whole),
        f"{group.partial.name}.partial" if group.partial else "",
        "drd-marks.json",
    }


async def test_a_mark_never_says_more_than_the_wal_beside_it(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    truth = []
    async with serving(it):
        for _ in range(40):
            it.cluster.write(70_000)
            truth.append((it.house.clock.now(), it.cluster.written))
            await asyncio.sleep(3)
        for mark in marks_of(await it.house.journal.wal("orders")):
            before = [lsn for at, lsn in truth if at < mark.moment]
            assert mark.lsn >= max(before, default=BEGINNING)
            assert mark.lsn <= await it.reach("local.wal")


async def test_while_nothing_is_written_a_batch_a_minute_says_so(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        await asyncio.sleep(60)
        before = len([each for each in it.house.journal.of(WalShipped) if each.store == "local.wal"])
        await asyncio.sleep(600)
        after = [each for each in it.house.journal.of(WalShipped) if each.store == "local.wal"]
        assert 8 <= len(after) - before <= 10
        assert (it.house.clock.now() - max(each.moment for each in after if each.moment)).total_seconds() < 80


async def test_a_group_leaves_the_spool_when_every_store_has_it_and_not_before(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    it.places["offsite.wal"].away = "the line is cut"
    async with serving(it):
        await asyncio.sleep(1)
        it.cluster.write(12 * MEBIBYTE)
        await asyncio.sleep(60)
        assert len(it.groups) == 2
        it.places["offsite.wal"].away = ""
        await asyncio.sleep(1000)
        it.cluster.write(100)
        await asyncio.sleep(60)
        assert len(it.groups) == 1
        assert await it.reach("offsite.wal") == it.cluster.written


async def test_superseded_batches_are_forgotten_many_at_once_and_stay_few(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        for _ in range(150):
            it.cluster.write(1000)
            await asyncio.sleep(BATCH_SECONDS)
        for store in ("local.wal", "offsite.wal"):
            assert len(it.places[store].snapshots) <= TIDY_FROM + 15
        forgotten = it.house.journal.of(WalForgotten)
        assert 2 <= len(forgotten) <= 2 * 150 / TIDY_FROM
        await asyncio.sleep(2 * BATCH_SECONDS)
        assert await it.reach("offsite.wal") == it.cluster.written


async def test_while_the_first_store_is_away_the_next_one_gets_wal_from_the_spool(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        it.cluster.write(1000)
        await asyncio.sleep(60)
        it.places["local.wal"].away = "unplugged"
        it.cluster.write(3 * MEBIBYTE)
        await asyncio.sleep(60)
        assert await it.reach("offsite.wal") == it.cluster.written
        it.places["local.wal"].away = ""
        it.cluster.write(1000)
        await asyncio.sleep(120)
        assert await it.reach("local.wal") == it.cluster.written
        assert await it.reach("offsite.wal") == it.cluster.written


async def test_a_server_that_is_away_is_told_once_and_received_from_without_a_gap_when_it_is_back(
    tmp_path: Path,
) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        it.cluster.write(1000)
        await asyncio.sleep(60)
        it.cluster.away = "it is being restarted"
        await asyncio.sleep(600)
        [warning] = (await status(it.house.house, "1", it.house.clock.now())).wal[0].needs
        assert "no WAL of orders is received" in warning
        assert "it is being restarted" in warning
        it.cluster.away = ""
        it.cluster.write(4 * MEBIBYTE)
        await asyncio.sleep(120)
        assert await it.reach("local.wal") == it.cluster.written
    assert len(it.house.journal.of(WalInterrupted)) == 1
    assert len(it.house.journal.of(WalResumed)) == 2
    assert not it.archive.line("orders").why_not


async def test_after_a_restart_in_the_middle_nothing_is_missing(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    for _ in range(12):
        async with serving(it):
            it.cluster.write(300_000)
            await asyncio.sleep(4.3)
        it.cluster.write(900_000)
    async with serving(it):
        await asyncio.sleep(60)
        assert await it.reach("local.wal") == it.cluster.written
        assert await it.reach("offsite.wal") == it.cluster.written


async def test_a_slot_that_lost_its_wal_is_told_with_what_to_type_and_replaced(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        it.cluster.write(1000)
        await asyncio.sleep(60)
        slot = it.cluster.slots["drd_orders"]
        it.cluster.slots["drd_orders"] = replace(slot, restart=None, wal_status=WalStatus.LOST)
        await asyncio.sleep(60)
        assert it.cluster.slots["drd_orders"].restart is not None
        it.cluster.write(2 * MEBIBYTE)
        await asyncio.sleep(60)
    lost = [each for each in it.house.journal.of(WalInterrupted) if each.is_lost]
    assert lost
    assert lost[0].hint.startswith("drd makes a new base backup by itself")
    assert (await it.wal("local.wal")).written(1) == it.cluster.written


async def test_rounds_at_once_make_each_batch_once_and_nobody_moves_the_same_files_beside_another(
    tmp_path: Path,
) -> None:
    it = furnished(tmp_path)
    it.spools.moving.seconds = 0.5
    async with serving(it):
        await asyncio.sleep(1)
        it.cluster.write(5_000_000)
        await asyncio.sleep(2 * BATCH_SECONDS)
        it.cluster.write(5_000_000)
        await asyncio.sleep(0.1)
        before = len(it.house.journal.of(WalShipped))
        await asyncio.gather(*(it.archive.bring("orders", "local.wal") for _ in range(3)))
        made = [(each.store, each.group, each.through) for each in it.house.journal.of(WalShipped)[before:]]
        assert made
        assert len(set(made)) == len(made)
        # Receiving begins anew while rounds are made without a pause.
        slot = it.cluster.slots["drd_orders"]
        it.cluster.slots["drd_orders"] = replace(slot, restart=None, wal_status=WalStatus.LOST)
        for _ in range(30):
            await it.archive.ship("orders")
    assert [each for each in it.house.journal.of(WalInterrupted) if each.is_lost]
    assert it.spools.moving.most_at_once == 1


async def test_what_another_store_has_is_brought_although_nothing_new_can_be_saved_and_that_is_told_each_time(
    tmp_path: Path,
) -> None:
    it = furnished(tmp_path)
    receiving = asyncio.create_task(it.house.receiving.serve("orders"))
    local = it.house.repository("local.wal")

    def refuse(work: str) -> None:
        if work == "save":
            raise TransientError("no room there", "make some")

    try:
        await asyncio.sleep(1)
        it.cluster.write(5_000_000)
        await asyncio.sleep(10)
        await it.archive.ship("orders")
        shipped = await it.reach("local.wal")
        assert shipped > BEGINNING
        for times in (1, 2):
            local.before = refuse
            it.cluster.write(5_000_000)
            await asyncio.sleep(10)
            for _ in range(2):
                await it.archive.bring("orders", "offsite.wal")
            assert await it.reach("offsite.wal") == shipped
            told = [each.message for each in it.house.journal.of(WalInterrupted)]
            assert told == ["no room there"] * times
            local.before = lambda work: None
            await it.archive.bring("orders", "offsite.wal")
            shipped = await it.reach("offsite.wal")
            assert shipped == it.cluster.written
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def test_a_segment_of_another_cluster_is_refused_and_named(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        it.cluster.write(1000)
        await asyncio.sleep(20)
        [partial] = it.spools.root.glob("orders/*/received/*.partial")
        content = partial.read_bytes()
        partial.write_bytes(content[:24] + b"\0" * 8 + content[32:])
        it.cluster.write(3 * MEBIBYTE)
        await asyncio.sleep(60)
    [told] = [each for each in it.house.journal.of(WalInterrupted) if each.is_lost]
    assert partial.name.removesuffix(".partial") in told.message
    [gap] = (await it.wal("local.wal")).gaps(History(1), BEGINNING, it.cluster.written)
    assert gap.first.name == partial.name.removesuffix(".partial")


async def test_a_full_disk_of_the_spool_stops_receiving_and_not_the_journal(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        await asyncio.sleep(30)
        it.spools.free = LEAST_FREE_BYTES - 1
        await asyncio.sleep(30)
        assert "free" in it.archive.line("orders").why_not
        it.cluster.write(2 * MEBIBYTE)
        it.spools.free = 2**40
        await asyncio.sleep(120)
        assert await it.reach("local.wal") == it.cluster.written


async def test_a_new_timeline_begins_a_new_group_behind_the_whole_of_the_old_one(tmp_path: Path) -> None:
    it = furnished(tmp_path)
    async with serving(it):
        it.cluster.write(2_500_000)
        await asyncio.sleep(60)
        it.cluster.promote()
        it.cluster.slots["drd_orders"] = Slot("drd_orders", True, it.cluster.written, WalStatus.RESERVED, None)
        it.cluster.write(2_500_000)
        await asyncio.sleep(120)
        groups = {each.group.first.timeline: each.group for each in await it.house.journal.wal("orders")}
    assert set(groups) == {1, 2}
    assert groups[2].through == it.cluster.written
