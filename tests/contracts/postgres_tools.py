"""What PostgreSQL's programs keep to, the real ones and those in memory: subclass it with a fixture `bench`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.errors import ServerAway, SlotMissing
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment
from drd.ports.postgres import Postgres
from drd.ports.postgres_tools import (
    BaseProgress,
    BaseRequest,
    PostgresTools,
    ReceiveRequest,
    WalNews,
    WalStep,
    WalWith,
)
from tests.waiting import until, until_true


@dataclass
class Bench:
    """Programs with a server that they work on."""

    tools: PostgresTools
    server: Postgres
    dsn: bytes
    write: Callable[[], None]
    """The platform commits something."""
    away: Callable[[], tuple[PostgresTools, bytes]]
    """Programs and a server that they cannot reach."""


@asynccontextmanager
async def receiving(bench: Bench, request: ReceiveRequest) -> AsyncIterator[list[WalNews]]:
    """Receives while the context lasts, from when it streams."""
    news: list[WalNews] = []
    task = asyncio.create_task(bench.tools.receive_wal(request, news.append))
    try:
        await until(lambda: bool(news) or task.done(), "it streams")
        yield news
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DrdError):
            await task


class PostgresToolsContract:
    """The tests; each may find what the others have left on the server, and has a folder and a slot of its own."""

    @pytest.fixture
    def base(self, bench: Bench, tmp_path: Path) -> BaseRequest:
        return BaseRequest(bench.dsn, tmp_path / "base", WalWith.NONE, "drd shop", is_synced=False)

    @pytest.fixture
    async def spool(self, bench: Bench, tmp_path: Path) -> AsyncIterator[ReceiveRequest]:
        (tmp_path / "spool").mkdir()
        await bench.server.create_slot("drd_contract")
        yield ReceiveRequest(bench.dsn, tmp_path / "spool", "drd_contract")
        await self.free(bench)
        await bench.server.drop_slot("drd_contract")

    async def free(self, bench: Bench) -> None:
        async def is_free() -> bool:
            slot = await bench.server.slot("drd_contract")
            return slot is None or not slot.is_active

        await until_true(is_free, "nobody receives by the slot")

    async def test_a_base_backup_is_whole_and_tells_what_it_is(self, bench: Bench, base: BaseRequest) -> None:
        samples: list[BaseProgress] = []
        made = await bench.tools.base_backup(base, samples.append)
        facts = await bench.server.facts()
        assert (made.system_identifier, made.timeline) == (facts.system_identifier, facts.timeline)
        assert made.start < made.end <= (await bench.server.positions()).newest
        assert made.total_bytes == samples[-1].done_bytes > 0
        assert (await bench.tools.verify(made.folder)).is_sound
        assert (await bench.tools.control_data(made.folder)).system_identifier == facts.system_identifier

    async def test_a_place_that_is_taken_is_left_alone(self, bench: Bench, base: BaseRequest) -> None:
        base.folder.mkdir()
        with pytest.raises(PermanentError, match="is there already"):
            await bench.tools.base_backup(base, lambda _: None)
        assert list(base.folder.iterdir()) == []

    async def test_a_file_that_changed_is_found(self, bench: Bench, base: BaseRequest) -> None:
        made = await bench.tools.base_backup(base, lambda _: None)
        (made.folder / "PG_VERSION").write_text("1\n")
        [problem] = (await bench.tools.verify(made.folder)).problems
        assert "PG_VERSION" in problem

    async def test_an_empty_folder_is_no_data_directory(self, bench: Bench, tmp_path: Path) -> None:
        with pytest.raises(PermanentError):
            await bench.tools.control_data(tmp_path)

    async def test_segments_come_as_they_are_written_and_the_newest_is_partial(
        self, bench: Bench, spool: ReceiveRequest
    ) -> None:
        async with receiving(bench, spool) as news:
            bench.write()
            end = await bench.server.switch_wal()
            segment = Segment.at(1, Lsn(end.value - 1), (await bench.server.facts()).segment_bytes)
            finished = WalNews(WalStep.FINISHED, segment.end, 1)
            await until(lambda: finished in news, "the segment is whole")
            assert (spool.folder / segment.name).stat().st_size == segment.size
            bench.write()
            partial = spool.folder / f"{segment.following.name}.partial"
            await until(partial.exists, "the next one begins")

    async def test_received_again_it_goes_on_where_it_ended(self, bench: Bench, spool: ReceiveRequest) -> None:
        for _ in range(2):
            async with receiving(bench, spool) as news:
                bench.write()
                end = await bench.server.switch_wal()
                bench.write()
                await until(lambda end=end, news=news: any(each.lsn >= end for each in news[1:]), "it is here")
            await self.free(bench)
            bench.write()
        size = (await bench.server.facts()).segment_bytes
        numbers = [each.number for path in spool.folder.iterdir() if (each := Segment.parse(path.name, size))]
        assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1))

    async def test_it_ends_where_it_was_told_to(self, bench: Bench, spool: ReceiveRequest) -> None:
        bench.write()
        until_here = (await bench.server.positions()).newest
        bench.write()
        await asyncio.wait_for(bench.tools.receive_wal(replace(spool, until=until_here), lambda _: None), 20)

    async def test_a_slot_serves_one_receiver_at_a_time(
        self, bench: Bench, spool: ReceiveRequest, tmp_path: Path
    ) -> None:
        async with receiving(bench, spool):
            with pytest.raises(TransientError, match="active"):
                await bench.tools.receive_wal(replace(spool, folder=tmp_path), lambda _: None)

    async def test_without_its_slot_nothing_is_received(self, bench: Bench, tmp_path: Path) -> None:
        with pytest.raises(SlotMissing):
            await bench.tools.receive_wal(ReceiveRequest(bench.dsn, tmp_path, "drd_nowhere"), lambda _: None)

    async def test_a_server_that_is_not_there_is_away(self, bench: Bench, base: BaseRequest) -> None:
        tools, dsn = bench.away()
        with pytest.raises(ServerAway):
            await tools.base_backup(replace(base, dsn=dsn), lambda _: None)
        with pytest.raises(ServerAway):
            await tools.receive_wal(ReceiveRequest(dsn, base.folder.parent, "drd_contract"), lambda _: None)
        assert not base.folder.exists()
