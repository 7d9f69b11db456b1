"""Receiving WAL from real servers: what was committed is here within a moment, and no end of a program makes a gap."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres_tools import ProgramsOfPostgres
from drd.core.errors import StateFull, TransientError
from drd.core.postgres.errors import LoginRefused, ServerAway, SlotMissing, WalGone
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Segment, gaps, needed
from drd.ports.postgres_tools import ReceiveRequest, WalNews, WalStep
from tests.clients.postgres.conftest import AWKWARD
from tests.postgres_lab import Cluster, Lab, children
from tests.system.disks import small_disk
from tests.waiting import until

pytestmark = pytest.mark.slow

SIZE = 2**20


@dataclass
class Receiving:
    """A folder into which WAL comes."""

    request: ReceiveRequest
    task: asyncio.Task[None]
    news: list[WalNews] = field(default_factory=list)

    async def streams(self) -> None:
        await until(lambda: bool(self.news) or self.task.done(), "it streams")
        assert self.news, self.task.exception()

    def holds(self, content: str) -> bool:
        files = self.request.folder.glob("0*")
        return any(content.encode() in _read(file) for file in files)

    def children(self) -> list[int]:
        return [pid for pid in children(os.getpid()) if b"pg_receivewal" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _read(file: Path) -> bytes:
    # A partial file gets its name when it is whole, which may be just now.
    with suppress(FileNotFoundError):
        return file.read_bytes()
    return b""


@asynccontextmanager
async def receiving(tools: ProgramsOfPostgres, request: ReceiveRequest) -> AsyncIterator[Receiving]:
    request.folder.mkdir(exist_ok=True)
    news: list[WalNews] = []
    running = Receiving(request, asyncio.create_task(tools.receive_wal(request, news.append)), news)
    try:
        await running.streams()
        yield running
    finally:
        running.task.cancel()
        with suppress(asyncio.CancelledError, TransientError):
            await running.task


@pytest.fixture
async def server(shop: Cluster) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(Dsn.parse(shop.dsn()))
    yield server
    await server.close()


@pytest.fixture
async def spool(shop: Cluster, server: PostgresServer, tmp_path: Path) -> AsyncIterator[ReceiveRequest]:
    await server.create_slot("drd_orders")
    yield ReceiveRequest(shop.dsn("drd", AWKWARD), tmp_path / "spool", "drd_orders")
    await until(lambda: not shop.value("SELECT active FROM pg_replication_slots"), "the slot is free")
    await server.drop_slot("drd_orders")


def order(cluster: Cluster, number: int, rows: int = 1) -> str:
    """Commit an order that can be found again in the WAL."""
    word = f"order-{number:06}-{os.urandom(4).hex()}"
    cluster.execute(f"INSERT INTO orders SELECT {number}, '{word}' || repeat('y', 900) FROM generate_series(1, {rows})")
    return word


async def test_each_committed_row_is_in_the_folder_within_a_moment(
    shop: Cluster, tools: ProgramsOfPostgres, spool: ReceiveRequest
) -> None:
    async with receiving(tools, spool) as running:
        for number in range(20):
            word = order(shop, number)
            await until(lambda word=word: running.holds(word), f"order {number} comes", seconds=5)
        assert running.news[0].step is WalStep.STREAMING


async def test_a_segment_that_is_whole_is_told(
    shop: Cluster, tools: ProgramsOfPostgres, server: PostgresServer, spool: ReceiveRequest
) -> None:
    async with receiving(tools, spool) as running:
        order(shop, 1)
        end = await server.switch_wal()
        segment = Segment.at(1, Lsn(end.value - 1), SIZE)
        finished = WalNews(WalStep.FINISHED, segment.end, 1)
        await until(lambda: finished in running.news, "it is told")
        assert (spool.folder / segment.name).stat().st_size == SIZE


async def test_killed_again_and_again_it_goes_on_without_a_gap(
    shop: Cluster, tools: ProgramsOfPostgres, server: PostgresServer, spool: ReceiveRequest
) -> None:
    slot = await server.slot("drd_orders")
    assert slot is not None
    assert slot.restart is not None
    words = []
    for round_number in range(3):
        async with receiving(tools, spool) as running:
            words.append(order(shop, round_number, rows=2000))
            await until(lambda: running.holds(words[-1]), "the order comes")
            for pid in running.children():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(TransientError, match="killed by signal 9"):
                await running.task
        words.append(order(shop, round_number + 100, rows=2000))  # while nobody receives
        await until(lambda: not shop.value("SELECT active FROM pg_replication_slots"), "the server has noticed")
    async with receiving(tools, spool) as running:
        await until(lambda: all(running.holds(word) for word in words), "all orders are here")
        end = await server.switch_wal()
        last = Segment.at(1, Lsn(end.value - 1), SIZE)
        await until((spool.folder / last.name).exists, "the last segment is whole")
    present = frozenset(filter(None, (Segment.parse(path.name, SIZE) for path in spool.folder.iterdir())))
    whole = {segment for segment in present if (spool.folder / segment.name).exists()}
    assert not gaps(needed(History(1), slot.restart, last.end, SIZE), frozenset(whole))


async def test_killed_while_it_padded_a_segment_it_goes_on(
    shop: Cluster, tools: ProgramsOfPostgres, server: PostgresServer, spool: ReceiveRequest
) -> None:
    async with receiving(tools, spool) as running:
        order(shop, 1)
        end = await server.switch_wal()
        before = Segment.at(1, Lsn(end.value - 1), SIZE)
        await until((spool.folder / before.name).exists, "the segment is whole")
    after = spool.folder / f"{Segment(1, before.number + 1, SIZE).name}.partial"
    after.unlink(missing_ok=True)
    after.write_bytes(bytes(679_936))
    async with receiving(tools, spool) as running:
        word = order(shop, 2)
        await until(lambda: running.holds(word), "the next order comes")
    assert after.stat().st_size == SIZE


async def test_a_folder_that_cannot_be_read_is_told_as_ours(
    shop: Cluster, tools: ProgramsOfPostgres, spool: ReceiveRequest
) -> None:
    spool.folder.mkdir()
    (spool.folder / "000000010000000000000001.partial").mkdir()
    with pytest.raises(TransientError, match=r"spool .* cannot be used"):
        await tools.receive_wal(spool, lambda _: None)


async def test_cancelled_it_ends_and_the_slot_is_free(
    shop: Cluster, tools: ProgramsOfPostgres, server: PostgresServer, spool: ReceiveRequest
) -> None:
    async with receiving(tools, spool) as running:
        order(shop, 1)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
    assert running.children() == []


async def test_it_ends_at_a_position_that_was_asked_for(
    shop: Cluster, tools: ProgramsOfPostgres, server: PostgresServer, spool: ReceiveRequest
) -> None:
    spool.folder.mkdir()
    word = order(shop, 1)
    end = (await server.positions()).newest
    order(shop, 2)
    request = ReceiveRequest(spool.dsn, spool.folder, spool.slot, until=end)
    await asyncio.wait_for(tools.receive_wal(request, lambda _: None), 20)
    assert any(word.encode() in file.read_bytes() for file in spool.folder.iterdir())


async def test_a_server_that_dies_is_away_and_what_it_committed_comes_when_it_is_back(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    cluster = postgres_lab.new("dying", segment_mib=1, is_durable=True)
    cluster.execute("CREATE TABLE orders (number int, filler text)")
    server = PostgresServer(Dsn.parse(cluster.dsn()))
    await server.create_slot("drd_orders")
    await server.close()
    request = ReceiveRequest(cluster.dsn(), tmp_path / "spool", "drd_orders")
    async with receiving(tools, request) as running:
        words = [order(cluster, 1, rows=2000)]
        await until(lambda: running.holds(words[0]), "the order comes")
        cluster.kill()
        with pytest.raises(ServerAway):
            await running.task
    with pytest.raises(ServerAway):
        await tools.receive_wal(request, lambda _: None)
    cluster.start()
    words.append(order(cluster, 2, rows=2000))
    async with receiving(tools, request) as running:
        await until(lambda: all(running.holds(word) for word in words), "all orders are here")


async def test_a_promoted_standby_goes_on_with_its_history(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    primary = postgres_lab.new("primary", segment_mib=1)
    standby = postgres_lab.standby(primary, "second")
    server = PostgresServer(Dsn.parse(standby.dsn()))
    await server.create_slot("drd_orders")
    await server.close()
    primary.execute("CREATE TABLE orders (number int, filler text)")
    async with receiving(tools, ReceiveRequest(standby.dsn(), tmp_path / "spool", "drd_orders")) as running:
        before = order(primary, 1)
        await until(lambda: running.holds(before), "what the primary committed comes by the standby")
        primary.kill()
        standby.promote()
        after = order(standby, 2)
        await until(lambda: running.holds(after), "what the new primary committed comes")
        await until(
            lambda: (WalStep.SWITCHED, 2) in [(news.step, news.timeline) for news in running.news], "it is told"
        )
        assert (tmp_path / "spool" / "00000002.history").exists()


async def test_a_slot_that_was_dropped_is_told(shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path) -> None:
    with pytest.raises(SlotMissing, match="drd_nowhere"):
        await tools.receive_wal(ReceiveRequest(shop.dsn(), tmp_path, "drd_nowhere"), lambda _: None)


async def test_a_slot_that_is_in_use_is_waited_for(
    shop: Cluster, tools: ProgramsOfPostgres, spool: ReceiveRequest, tmp_path: Path
) -> None:
    async with receiving(tools, spool):
        with pytest.raises(TransientError, match="active"):
            await tools.receive_wal(ReceiveRequest(spool.dsn, tmp_path, spool.slot), lambda _: None)


async def test_wal_that_the_server_has_removed_is_gone(
    postgres_lab: Lab, tools: ProgramsOfPostgres, tmp_path: Path
) -> None:
    limits = {"max_slot_wal_keep_size": "2MB", "max_wal_size": "2MB", "min_wal_size": "2MB"}
    cluster = postgres_lab.new("limited", segment_mib=1, settings=limits)
    server = PostgresServer(Dsn.parse(cluster.dsn()))
    await server.create_slot("drd_shop")
    await server.close()
    cluster.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 8000)")
    cluster.execute("CHECKPOINT")
    await until(lambda: cluster.value("SELECT wal_status FROM pg_replication_slots") == "lost", "the slot is lost")
    with pytest.raises(WalGone):
        await tools.receive_wal(ReceiveRequest(cluster.dsn(), tmp_path, "drd_shop"), lambda _: None)


async def test_a_wrong_password_is_told(shop: Cluster, tools: ProgramsOfPostgres, tmp_path: Path) -> None:
    with pytest.raises(LoginRefused, match="refuses the password"):
        await tools.receive_wal(ReceiveRequest(shop.dsn("drd", "wrong"), tmp_path, "drd_orders"), lambda _: None)


async def test_a_full_spool_is_told_as_ours(shop: Cluster, tools: ProgramsOfPostgres, spool: ReceiveRequest) -> None:
    with small_disk(spool.folder, 3):
        async with receiving(tools, spool) as running:
            order(shop, 1, rows=8000)
            with pytest.raises(StateFull, match="finds no room"):
                await asyncio.wait_for(running.task, 20)
