"""The receiving side of WAL: what it notices of the server, and what follows by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.cli.wal_push import push
from drd.core.events import (
    Body,
    NewBaseWanted,
    PolicyAdded,
    RunFinished,
    RunStarted,
    SnapshotCreated,
    WalGapClosed,
    WalGapFound,
    WalHeldBack,
    WalInterrupted,
)
from drd.core.policy import Cause, Mode, Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.holding import WhenFull
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, WalStatus
from drd.core.postgres.wal import Segment
from drd.daemon.following import Following
from drd.daemon.status import status
from drd.daemon.wal import newest_points
from drd.engines.archive import BATCH_SECONDS
from drd.engines.renewing import AGAIN_SECONDS
from drd.engines.spool_room import LEAST_FREE_BYTES
from drd.ports.control import Status
from drd.ports.repository import FilesToSave
from drd.ports.source import Prepared
from drd.ports.wal import SpoolRules
from drd.ports.world import World
from drd.reports.metrics_of_wal import families_of_wal
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.postgres import FakeCluster, FakePostgres
from tests.fakes.postgres_tools import FakeTools, wal_of
from tests.fakes.repository import FakePlace
from tests.fakes.spool import StreamedSource

pytestmark = pytest.mark.looptime
MEBIBYTE = 2**20
SLOT = "drd_orders"


class BasedSource(StreamedSource):
    """Its base backups tell of which state of the cluster they are."""

    behind: dict[str, int] = {}
    """How many bytes ago the standby was that they are made of."""

    @asynccontextmanager
    async def opened(self, world: World) -> AsyncIterator[Prepared]:
        facts = await self.server.facts()
        behind = self.behind.get("bytes", 0)
        start = Lsn((await self.server.positions()).newest.value - behind)
        self.server.cluster.write(200)
        at = world.clock.now()
        end = Lsn((await self.server.positions()).newest.value - behind)
        size = facts.segment_bytes
        base = BaseRecord(
            facts.system_identifier, facts.version, facts.timeline, start, end, at, size, True, (), facts.has_checksums
        )
        yield Prepared(FilesToSave((Path(self.path),)), "", at, base.tags())


@dataclass
class Shop:
    """A house with a policy whose WAL is received and whose runs are scheduled."""

    house: FakeHouse
    cluster: FakeCluster
    places: dict[str, FakePlace]
    source: BasedSource

    def told(self, kind: type[Body]) -> list[Any]:
        return list(self.house.journal.of(kind))  # type: ignore[type-var]

    @property
    def runs(self) -> list[tuple[Mode, Cause]]:
        return [(each.mode, each.cause) for each in self.told(RunStarted)]

    async def status(self) -> Status:
        return await status(self.house.house, "1", self.house.clock.now())


def furnished(tmp_path: Path, kind: type[FakePostgres] = FakePostgres, **rules: Any) -> Shop:
    places = {name: FakePlace(name) for name in ("local", "offsite", "local.wal", "offsite.wal")}
    server = kind(None)
    tools = FakeTools(None)  # type: ignore[arg-type]
    source = BasedSource(server=server, tools=tools, rules=SpoolRules(**rules))
    policy = a_policy("orders", full={"every": "24h"}, incremental={"every": "12h"}, objectives={"rpo": "4m"})
    stores = tuple(a_store(place) for place in places.values())
    house = FakeHouse(protected(policy, main=source), stores=stores, spool=tmp_path / "spool")
    cluster = server.cluster = tools.cluster = FakeCluster(house.clock)
    return Shop(house, cluster, places, source)


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[None]:
    house = shop.house
    if not shop.told(PolicyAdded):
        await house.journal.append(PolicyAdded("orders"))
    await house.scheduler.load(house.dispatch)
    works = [
        asyncio.create_task(house.scheduler.serve()),
        asyncio.create_task(house.archive.serve("orders")),
        asyncio.create_task(house.copy.serve("offsite")),
        asyncio.create_task(house.copy.serve("offsite.wal")),
    ]
    try:
        yield
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def test_after_a_change_of_timeline_a_full_is_made_by_itself_and_only_one(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(60)
        assert shop.runs == [(Mode.FULL, Cause.SCHEDULE)]
        shop.cluster.write(2 * MEBIBYTE)
        shop.cluster.promote()
        shop.cluster.write(MEBIBYTE)
        await asyncio.sleep(150)
        assert shop.runs == [(Mode.FULL, Cause.SCHEDULE), (Mode.FULL, Cause.NEW_BASE)]
    [wanted] = shop.told(NewBaseWanted)
    assert wanted.message == "the server went over from timeline 1 to 2"


async def test_a_primary_that_leads_for_less_than_a_minute_is_asked_for_no_base_backup(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(60)
        for _ in range(2):
            shop.cluster.write(MEBIBYTE)
            shop.cluster.promote()
            shop.cluster.write(MEBIBYTE)
            await asyncio.sleep(45)
            assert not shop.told(NewBaseWanted)
        await asyncio.sleep(60)
    [wanted] = shop.told(NewBaseWanted)
    assert wanted.message == "the server went over from timeline 1 to 3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"has_checksums": False}, "page checksums were switched off"),
        ({"system_identifier": "7000000000000000009"}, "the server is another cluster now"),
    ],
)
async def test_after_checksums_were_toggled_or_another_cluster_came_a_full_is_made_by_itself(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(60)
        shop.cluster.away = "it is restarted"
        await asyncio.sleep(10)
        shop.cluster.facts = replace(shop.cluster.facts, **change)
        shop.cluster.away = ""
        await asyncio.sleep(150)
        assert shop.runs == [(Mode.FULL, Cause.SCHEDULE), (Mode.FULL, Cause.NEW_BASE)]
    [wanted] = shop.told(NewBaseWanted)
    assert wanted.message.startswith(said)


async def lose_wal(shop: Shop, segments: int = 5) -> None:
    """While nobody receives, the slot loses what is written."""
    async with serving(shop):
        shop.cluster.write(MEBIBYTE)
        await asyncio.sleep(90)
    shop.cluster.write(segments * MEBIBYTE)
    slot = shop.cluster.slots[SLOT]
    shop.cluster.slots[SLOT] = replace(slot, restart=None, wal_status=WalStatus.LOST)


async def test_wal_that_is_lost_is_named_once_and_stepped_over_by_a_full(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    await lose_wal(shop)
    async with serving(shop):
        await asyncio.sleep(150)
        assert shop.runs == [(Mode.FULL, Cause.SCHEDULE), (Mode.FULL, Cause.NEW_BASE)]
        [gap] = shop.told(WalGapFound)
        assert gap.count in (4, 5)
        [wal] = (await shop.status()).wal
        assert wal.lost
        assert {store.segments["lost"] for store in wal.stores} == {gap.count}
        assert not wal.needs
    record = await shop.house.journal.policy("orders")
    assert record is not None
    assert [each.first for each in record.lost_wal] == [gap.first]
    async with serving(shop):
        await asyncio.sleep(200)
    assert len(shop.told(WalGapFound)) == len(shop.told(NewBaseWanted)) == 1


async def test_a_slot_that_went_back_to_wal_that_is_gone_is_made_anew_and_a_full_leads_on(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        shop.cluster.write(MEBIBYTE)
        await asyncio.sleep(90)
    shop.cluster.write(5 * MEBIBYTE)
    del shop.cluster.slots[SLOT]
    shop.cluster.removed = shop.cluster.written
    shop.cluster.write(MEBIBYTE)
    async with serving(shop):
        await asyncio.sleep(150)
        assert shop.cluster.slots[SLOT].is_active
        assert shop.runs == [(Mode.FULL, Cause.SCHEDULE), (Mode.FULL, Cause.NEW_BASE)]
    assert len(shop.told(WalGapFound)) == 1


async def test_as_long_as_the_full_fails_status_says_why_it_is_needed_and_it_is_tried_again(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    await lose_wal(shop)
    async with serving(shop):
        shop.places["local"].away = shop.places["offsite"].away = "unplugged"
        await asyncio.sleep(200)
        [wal] = (await shop.status()).wal
        [(sentence, hint)] = wal.needs.items()
        assert "orders needs a new base backup, because WAL is lost" in sentence
        assert "drd explain orders" in hint
        assert len(shop.told(NewBaseWanted)) == 1
        assert [cause for _, cause in shop.runs[1:]] == [Cause.NEW_BASE] * (len(shop.runs) - 1)
        assert len(shop.runs) > 2
        shop.places["local"].away = shop.places["offsite"].away = ""
        await asyncio.sleep(150)
        assert not (await shop.status()).wal[0].needs
    assert shop.told(RunFinished)[-1].outcome is Outcome.SUCCEEDED


async def test_a_full_that_did_not_step_over_the_gap_is_followed_by_one_more_and_no_loop(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    await lose_wal(shop)
    shop.source.behind["bytes"] = 5 * MEBIBYTE
    async with serving(shop):
        await asyncio.sleep(150)
    assert len(shop.told(NewBaseWanted)) == 1
    assert shop.runs == [(Mode.FULL, Cause.SCHEDULE), (Mode.FULL, Cause.NEW_BASE)]
    shop.source.behind.clear()
    for _ in range(2):
        await asyncio.sleep(AGAIN_SECONDS)
        async with serving(shop):
            await asyncio.sleep(150)
        assert len(shop.told(NewBaseWanted)) == 2
        assert shop.runs[2:] == [(Mode.FULL, Cause.NEW_BASE)]


async def test_an_incremental_run_reads_a_base_backup_while_wal_leads_on_from_none(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    await lose_wal(shop)
    shop.source.behind["bytes"] = 5 * MEBIBYTE
    async with serving(shop):
        await asyncio.sleep(150)
        assert not await shop.house.standing.may(shop.house.policy())
        before = len(shop.told(SnapshotCreated))
        shop.source.behind.clear()
        result = await shop.house.run(mode=Mode.INCREMENTAL, cause=Cause.MANUAL)
        assert result.outcome is Outcome.SUCCEEDED
        assert len(shop.told(SnapshotCreated)) > before
        assert await shop.house.standing.may(shop.house.policy())


async def test_no_wal_is_received_from_a_standby(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    shop.source.server.is_standby = True
    async with serving(shop):
        await asyncio.sleep(60)
        line = shop.house.archive.line("orders")
        assert line.why_not.endswith("is a standby, and WAL is received from the primary only")
        assert "nodes:" in line.why_hint
        assert line.seen is None
    assert SLOT not in shop.cluster.slots


async def test_marks_that_wait_for_lost_wal_go_with_it(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    await lose_wal(shop)
    line = shop.house.archive.line("orders")
    mark = replace(line.seen, lsn=Lsn(shop.cluster.written.value - 2 * MEBIBYTE)) if line.seen else None
    assert mark is not None
    line.pending.append(mark)
    receiving = asyncio.create_task(shop.house.receiving.serve("orders"))
    await asyncio.sleep(30)
    assert not line.why_not
    assert line.pending
    assert mark not in line.pending
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)


async def test_a_mark_lies_behind_commits_that_wait_for_no_disk(tmp_path: Path) -> None:
    class Lazy(FakePostgres):
        async def positions(self) -> Positions:
            found = await super().positions()
            return replace(found, inserted=found.newest + 80)

    shop = furnished(tmp_path, Lazy)
    async with serving(shop):
        await asyncio.sleep(120)
        line = shop.house.archive.line("orders")
        assert line.seen is not None
        assert line.seen.lsn == shop.cluster.written + 80
        assert line.behind_bytes == 0
        assert not line.why_not
        assert line.restarts == 0


async def test_lost_wal_that_arrives_by_the_other_path_closes_the_gap(tmp_path: Path) -> None:
    incoming, pg_wal = tmp_path / "incoming", tmp_path / "pg_wal"
    incoming.mkdir()
    pg_wal.mkdir()
    shop = furnished(tmp_path, incoming=incoming)
    await lose_wal(shop)
    async with serving(shop):
        await asyncio.sleep(120)
        [gap] = shop.told(WalGapFound)
        first, last = Segment.parse(gap.first, MEBIBYTE), Segment.parse(gap.last, MEBIBYTE)
        assert first is not None
        assert last is not None
        for number in range(first.number, last.number + 1):
            path = pg_wal / Segment(1, number, MEBIBYTE).name
            path.write_bytes(wal_of(Segment(1, number, MEBIBYTE), shop.cluster.facts.system_identifier))
            push(str(path), str(incoming))
        await asyncio.sleep(120)
        [closed] = shop.told(WalGapClosed)
        assert (closed.first, closed.last, closed.has_arrived) == (gap.first, gap.last, True)
        assert not (await shop.status()).wal[0].lost
        assert {path.name for path in incoming.iterdir()} == {"cluster"}
    record = await shop.house.journal.policy("orders")
    assert record is not None
    assert record.lost_wal == ()


async def test_a_second_server_that_pushes_there_is_refused_and_told(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    shop = furnished(tmp_path, incoming=incoming)
    async with serving(shop):
        await asyncio.sleep(60)
        (incoming / Segment(1, 90, MEBIBYTE).name).write_bytes(wal_of(Segment(1, 90, MEBIBYTE), "9"))
        await asyncio.sleep(60)
    assert any("of the cluster 9" in each.message for each in shop.told(WalInterrupted))


async def test_a_folder_for_pushed_wal_that_lacks_is_told_once_and_receiving_goes_on(tmp_path: Path) -> None:
    shop = furnished(tmp_path, incoming=tmp_path / "nowhere")
    async with serving(shop):
        await asyncio.sleep(300)
        assert not shop.house.archive.line("orders").why_not
    [told] = shop.told(WalInterrupted)
    assert "install -d -o postgres" in told.hint


async def test_an_incremental_run_reads_nothing_and_stands_when_the_wal_does(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(60)
        shop.cluster.write(100_000)
        began, written = shop.house.clock.now(), shop.cluster.written
        steps = [step async for step in Following(shop.house.house).backup(shop.house.policy(), full=False)]
        assert steps[-1].exit_code == 0, steps[-1]
        assert shop.house.clock.now() - began < timedelta(seconds=2 * BATCH_SECONDS)
        newest = await newest_points(shop.house.house)
        assert newest["orders", "local"].moment >= began
        assert newest["orders", "offsite"].moment >= began
        wal = await shop.house.journal.wal("orders")
        assert max(each.group.through for each in wal) >= written
    assert len({each.snapshot_id for each in shop.told(SnapshotCreated)}) == 1
    assert shop.told(RunFinished)[-1].message.startswith("WAL up to ")


async def test_an_incremental_run_fails_with_the_reason_while_no_wal_is_received(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(60)
        shop.cluster.away = "it is being restarted"
        await asyncio.sleep(60)
        result = await shop.house.run(mode=Mode.INCREMENTAL, cause=Cause.MANUAL)
    assert result.outcome is Outcome.FAILED
    assert "it is being restarted" in result.message


async def test_the_rpo_is_kept_by_wal_and_missed_when_it_stays_away(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(420)
        [policy] = (await shop.status()).policies
        assert policy.state == "ok", policy.note
        shop.cluster.away = "unplugged"
        await asyncio.sleep(400)
        shown = await shop.status()
        assert shown.policies[0].state == "late"
        assert any("no WAL of orders is received" in need for need in shown.wal[0].needs)


async def test_each_state_of_the_slot_is_told_once_and_its_end_too(tmp_path: Path) -> None:
    shop = furnished(tmp_path)

    def set_slot(state: WalStatus, safe: int | None) -> None:
        shop.cluster.slots[SLOT] = replace(shop.cluster.slots[SLOT], wal_status=state, safe_bytes=safe)

    async with serving(shop):
        await asyncio.sleep(60)
        for state, safe in ((WalStatus.EXTENDED, None), (WalStatus.UNRESERVED, 0), (WalStatus.RESERVED, 2**30)):
            set_slot(state, safe)
            await asyncio.sleep(60)
            if state is WalStatus.EXTENDED:
                [(sentence, hint)] = (await shop.status()).wal[0].needs.items()
                assert "nothing limits it: its disk may fill" in sentence
                assert "max_slot_wal_keep_size" in hint
    assert [each.status for each in shop.told(WalHeldBack)] == ["extended", "unreserved", "reserved"]


@pytest.mark.parametrize(
    ("rule", "limit", "is_dropped"),
    [
        (WhenFull.LET_GO, 2**30, True),
        (WhenFull.STOP, None, False),
        (None, None, True),
        (None, 2**30, False),
    ],
)
async def test_when_the_spool_is_full_the_slot_goes_only_where_that_is_the_rule(
    tmp_path: Path, rule: WhenFull | None, limit: int | None, is_dropped: bool
) -> None:
    shop = furnished(tmp_path, when_full=rule)
    shop.cluster.facts = replace(shop.cluster.facts, max_slot_wal_keep_bytes=limit)
    async with serving(shop):
        await asyncio.sleep(60)
        shop.house.spools.free = LEAST_FREE_BYTES - 1
        shop.cluster.write(3 * MEBIBYTE)
        await asyncio.sleep(120)
        assert SLOT in shop.cluster.slots, "the server keeps no more than it would by itself"
        shop.cluster.slots[SLOT] = replace(shop.cluster.slots[SLOT], wal_status=WalStatus.EXTENDED)
        await asyncio.sleep(180)
        assert (SLOT not in shop.cluster.slots) is is_dropped
        assert any("256.0 MiB free" in need or "free" in need for need in (await shop.status()).wal[0].needs)
        shop.house.spools.free = 2**40
        await asyncio.sleep(300)
        assert not shop.house.archive.line("orders").why_not
    told = [each.message for each in shop.told(WalInterrupted)]
    assert any("was dropped before the server's disk is full" in message for message in told) is is_dropped
    assert len(told) <= 3


async def test_a_spool_that_holds_all_it_may_takes_no_more_until_stores_have_it(tmp_path: Path) -> None:
    shop = furnished(tmp_path, most_bytes=24 * MEBIBYTE)
    async with serving(shop):
        await asyncio.sleep(60)
        shop.places["offsite.wal"].away = "unplugged"
        for _ in range(40):
            shop.cluster.write(MEBIBYTE)
            await asyncio.sleep(10)
        line = shop.house.archive.line("orders")
        assert "wait in the spool" in line.why_not
        assert line.spool_bytes < 32 * MEBIBYTE
        shop.places["offsite.wal"].away = ""
        await asyncio.sleep(400)
        assert not line.why_not
        assert line.spool_bytes < 12 * MEBIBYTE
    assert len([each for each in shop.told(WalInterrupted) if "wait in the spool" in each.message]) == 1


async def test_wal_that_is_older_than_an_hour_in_a_store_needs_a_person(tmp_path: Path) -> None:
    shop = furnished(tmp_path)

    async def late() -> list[str]:
        return [need for need in (await shop.status()).wal[0].needs if need.startswith("WAL of orders in")]

    async with serving(shop):
        await asyncio.sleep(60)
        shop.places["offsite.wal"].away = "unplugged"
        shop.cluster.write(MEBIBYTE)
        await asyncio.sleep(3000)
        assert not await late()
        await asyncio.sleep(900)
        [told] = await late()
        assert told.startswith("WAL of orders in offsite is 1h ")
        shop.places["offsite.wal"].away = ""
        await asyncio.sleep(1200)
        assert not await late()


async def test_metrics_tell_how_old_wal_is_where(tmp_path: Path) -> None:
    shop = furnished(tmp_path)
    async with serving(shop):
        await asyncio.sleep(200)
        found = {family.name: family for family in families_of_wal((await shop.status()).wal)}
    now = shop.house.clock.now().timestamp()
    [(_, received)] = found["drd_wal_received_timestamp_seconds"].samples
    assert now - received < 12
    shipped = {dict(labels)["store"]: value for labels, value in found["drd_wal_shipped_timestamp_seconds"].samples}
    assert set(shipped) == {"local", "offsite"}
    assert all(now - value < 90 for value in shipped.values())
    assert found["drd_wal_receiving"].samples == (((("policy", "orders"),), 1.0),)
    assert {dict(labels)["state"] for labels, _ in found["drd_wal_gaps"].samples} == {"uploading", "delayed", "lost"}
    assert not found["drd_wal_slot_safe_bytes"].samples, "nothing limits it"
