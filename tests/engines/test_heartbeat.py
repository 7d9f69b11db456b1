"""The heartbeat of a protected database, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from drd.core.events import HeartbeatInterrupted, HeartbeatKept
from drd.core.postgres.heartbeat import Beat, Heartbeat, newest
from drd.engines.heartbeat import LOOK_SECONDS, Means
from tests.fakes.house import DAEMON, FakeHouse, a_policy, protected
from tests.fakes.postgres import FakeCluster, FakePostgres
from tests.fakes.servers import DatabaseSource, FakeServers, StreamedDatabase

pytestmark = pytest.mark.looptime


@dataclass
class Kept:
    """A house with a policy that protects a database."""

    house: FakeHouse
    cluster: FakeCluster
    servers: FakeServers

    def told(self) -> list[str]:
        """What the journal says of it, in order."""
        events = [event.body for event in self.house.journal.events]
        return [body.KIND for body in events if isinstance(body, HeartbeatKept | HeartbeatInterrupted)]


def furnished(
    *, may_beat: bool = True, streams: bool = True, is_standby: bool = False, wants: bool = True, **more: object
) -> Kept:
    server = FakePostgres(None, is_standby=is_standby)  # type: ignore[arg-type]
    servers = FakeServers({"": server}, wants_heartbeat=wants)
    source = StreamedDatabase(given=servers) if streams else DatabaseSource(given=servers)
    house = FakeHouse(protected(a_policy("orders", objectives={"rpo": "25s"}, **more), main=source))
    server.cluster = FakeCluster(house.clock, may_beat=may_beat)
    return Kept(house, server.cluster, servers)


@asynccontextmanager
async def serving(it: Kept) -> AsyncIterator[None]:
    work = asyncio.create_task(it.house.heartbeats.serve("orders"))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_it_is_written_five_times_within_the_rpo() -> None:
    it = furnished()
    async with serving(it):
        await asyncio.sleep(101)
        [row] = it.cluster.heartbeats.values()
        assert (row.beat.policy, row.beat.daemon, row.beat.term, row.beat.sequence) == ("orders", DAEMON, 0, 21)
        assert (it.house.clock.now() - row.written).total_seconds() <= 5
        line = it.house.heartbeats.line("orders")
        assert (line.means, line.problem, line.written) == (Means.ROW, "", row.written)
        assert str(line) == "a row every 5s"
    assert it.told() == ["heartbeat-kept"]


async def test_it_is_written_often_enough_for_the_disaster_that_may_lose_least() -> None:
    it = furnished(disasters={"hardware": {"runbook": "r", "rpo": "1s"}, "site": {"runbook": "s", "rpo": "1m"}})
    async with serving(it):
        await asyncio.sleep(4.1)
        [row] = it.cluster.heartbeats.values()
        assert row.beat.sequence == 21
        assert str(it.house.heartbeats.line("orders")) == "a row every 200ms"


async def test_without_the_right_the_marks_of_wal_stand_in_until_it_is_granted() -> None:
    it = furnished(may_beat=False)
    async with serving(it):
        await asyncio.sleep(5 * LOOK_SECONDS)
        assert it.house.heartbeats.line("orders").means is Means.MARKS
        [fact] = it.house.journal.of(HeartbeatKept)
        assert (fact.means, fact.hint) == ("marks", "drd grants orders")
        assert "drd.heartbeat is not there, or may not be written" in fact.message
        it.cluster.may_beat = True
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert newest(it.cluster.heartbeats.values(), "orders") is not None
    assert [fact.means for fact in it.house.journal.of(HeartbeatKept)] == ["marks", "row"]


async def test_a_standby_alone_has_marks_and_where_no_wal_is_received_nothing_stands_in() -> None:
    for streams, means in ((True, Means.MARKS), (False, Means.NONE)):
        it = furnished(streams=streams, is_standby=True)
        async with serving(it):
            await asyncio.sleep(200)
            assert it.house.heartbeats.line("orders").means is means
        assert it.told() == ["heartbeat-kept"]


async def test_who_wants_none_gets_none() -> None:
    it = furnished(wants=False)
    async with serving(it):
        await asyncio.sleep(200)
    assert it.cluster.heartbeats == {}
    assert it.told() == ["heartbeat-kept"]
    assert str(it.house.heartbeats.line("orders")) == "marks: heartbeat: false"


async def test_a_server_that_is_away_is_told_once_and_beats_again_within_seconds() -> None:
    it = furnished()
    async with serving(it):
        await asyncio.sleep(30)
        it.cluster.away = "Connection refused"
        await asyncio.sleep(600)
        assert "Connection refused" in it.house.heartbeats.line("orders").problem
        assert it.told() == ["heartbeat-kept", "heartbeat-interrupted"]
        it.cluster.away = ""
        await asyncio.sleep(11)
        [row] = it.cluster.heartbeats.values()
        assert (it.house.clock.now() - row.written).total_seconds() <= 5
    assert it.told() == ["heartbeat-kept", "heartbeat-interrupted", "heartbeat-kept"]


async def test_after_a_failover_it_is_written_on_the_new_primary() -> None:
    it = furnished()
    old, new = FakePostgres(it.cluster), FakePostgres(it.cluster, is_standby=True)
    it.servers.nodes = {"orders-1": old, "orders-2": new}
    async with serving(it):
        await asyncio.sleep(12)
        it.cluster.replay()
        it.cluster.promote()
        old.is_standby, new.is_standby = True, False
        survived = newest(it.cluster.heartbeats.values(), "orders")
        await asyncio.sleep(12)
        found = newest(it.cluster.heartbeats.values(), "orders")
        assert survived is not None
        assert found is not None
        assert found.beat.sequence > survived.beat.sequence


async def test_rows_of_daemons_that_are_gone_go_and_those_of_others_stay() -> None:
    it = furnished()
    now = it.house.clock.now()
    for policy, daemon, days in (("orders", "gone", 40), ("orders", "stopped", 29.9), ("payments", "gone", 40)):
        beat = Heartbeat(Beat(policy, daemon), now - timedelta(days=days), it.cluster.written)
        it.cluster.heartbeats[policy, daemon] = beat
    async with serving(it):
        await asyncio.sleep(10)
        assert it.cluster.heartbeats.keys() == {("orders", "stopped"), ("payments", "gone"), ("orders", DAEMON)}
        await asyncio.sleep(86400)
        assert it.cluster.heartbeats.keys() == {("payments", "gone"), ("orders", DAEMON)}
