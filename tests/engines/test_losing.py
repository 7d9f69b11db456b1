"""What a failover has lost, measured beside its run, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from drd.core.events import Body, IncidentStarted, LossMeasured, StepAnswered, StepChecked, StepFinished, StepStarted
from drd.core.health import Hysteresis
from drd.core.policy import Cause
from drd.core.probing import Failure
from drd.core.runbook_step import Answer, Choice, Doing, StepOutcome
from drd.engines.losing import HEARTBEAT_PATIENCE_SECONDS
from drd.ports.probe import Target, Watch
from tests.core.watched import primary, standby
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.postgres import FakeCluster, FakePostgres
from tests.fakes.probe import Answers, FakeProbe
from tests.fakes.servers import FakeServers, StreamedDatabase

pytestmark = pytest.mark.looptime
RUN = "01RUN"
PROMOTE = StepStarted("recover", "Promote", Doing.APPLY, "postgres_promote", "")
FENCED = StepFinished("Fence", Doing.APPLY, StepOutcome.SUCCEEDED, facts={"fenced": "one"})
PROMOTED = StepFinished("Promote", Doing.APPLY, StepOutcome.SUCCEEDED, facts={"new_primary": "two"})


@dataclass
class Shop:
    """Two nodes with a database that beats every second, and the daemon that watches them."""

    house: FakeHouse
    cluster: FakeCluster
    servers: FakeServers

    async def begin(self, *steps: Body) -> None:
        now, names = self.house.clock.now(), ("one", "two")
        start = IncidentStarted(
            "orders", "loss", "hardware", "5e", "{}", Cause.HEALTH, "drd", "", now, False, names, {}
        )
        await self.house.journal.append(start, *(steps or (PROMOTE,)), run=RUN)

    def die(self) -> None:
        self.cluster.away = "Connection refused"

    def promote(self, left_at: int) -> None:
        """The standby has replayed all that it received, and leads."""
        old, new = self.servers.nodes["one"], self.servers.nodes["two"]
        self.cluster.away = ""
        self.cluster.promote()
        old.is_standby, new.is_standby = True, False
        FakeProbe.ANSWERS["two"].seen = primary(9000, timeline=2, forks=((1, left_at),))

    async def measured(self, seconds: float = 60) -> LossMeasured:
        async with asyncio.timeout(seconds):
            while not self.house.journal.of(LossMeasured):
                await asyncio.sleep(0.05)
        [found] = self.house.journal.of(LossMeasured)
        return found

    def ago(self, found: LossMeasured) -> float:
        """How many seconds ago the newest record was written that survived, by drd's own clock."""
        assert found.newest is not None
        return (self.house.clock.now() - found.newest).total_seconds()


@asynccontextmanager
async def a_shop(*, may_beat: bool = True, after: Shop | None = None) -> AsyncIterator[Shop]:
    """`after` is the shop whose daemon was killed; this one's goes on with its journal."""
    if after is None:
        FakeProbe.ANSWERS.clear()
        FakeProbe.ANSWERS.update({"one": Answers(primary(5000)), "two": Answers(standby(4000))})
    servers = FakeServers({}) if after is None else after.servers
    targets = tuple(Target("orders", name, "127.0.0.1") for name in FakeProbe.ANSWERS)
    policy = protected(a_policy("orders", objectives={"rpo": "5s"}), main=StreamedDatabase(given=servers))
    watched = replace(policy, watch=Watch(targets, (FakeProbe(),), Hysteresis(1.0, 0.5)))
    house = FakeHouse(watched, after=None if after is None else after.house)
    cluster = FakeCluster(house.clock, may_beat=may_beat) if after is None else after.cluster
    if after is None:
        servers.nodes = {"one": FakePostgres(cluster), "two": FakePostgres(cluster, is_standby=True)}
    await house.losing.resume()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(house.watching.serve("orders")),
            group.create_task(house.heartbeats.serve("orders")),
            group.create_task(house.losing.serve()),
        ]
        yield Shop(house, cluster, servers)
        for task in tasks:
            task.cancel()


async def test_what_survived_is_what_the_new_primary_had_when_it_had_replayed_all() -> None:
    async with a_shop() as it:
        await asyncio.sleep(10.5)
        it.cluster.replay()  # the newest row was written half a second ago
        await asyncio.sleep(3)
        it.die()
        await it.begin()
        await asyncio.sleep(2)
        it.promote(left_at=4200)
        await it.house.journal.append(PROMOTED, run=RUN)
        found = await it.measured()
        assert (found.policy, found.node, found.lost_bytes, found.every_seconds) == ("orders", "two", 800, 1.0)
        # Three more rows came after it; how long the outage lasted has nothing to do with what was lost.
        assert it.house.heartbeats.survived("orders", "one", 0.0) is None
        survived = it.house.heartbeats.survived("orders", "two", 0.0)
        assert survived is not None
        assert survived.written == pytest.approx(10.0, abs=0.1)
        assert it.ago(found) == pytest.approx(asyncio.get_running_loop().time() - 10.0, abs=0.2)


async def test_late_replay_is_no_loss_and_the_clocks_of_two_machines_are_never_compared() -> None:
    async with a_shop() as it:
        await asyncio.sleep(10.5)
        it.die()
        await it.begin()
        it.cluster.replay()  # all that was received is replayed now, long after it was written
        await asyncio.sleep(2)
        it.cluster.clock = AnHourAhead(it.house)  # type: ignore[assignment]
        it.promote(left_at=5000)
        await it.house.journal.append(PROMOTED, run=RUN)
        found = await it.measured()
        assert found.lost_bytes == 0
        survived = it.house.heartbeats.survived("orders", "two", 0.0)
        assert survived is not None
        assert survived.written == pytest.approx(10.0, abs=0.1)
        assert it.ago(found) < 20


@dataclass
class AnHourAhead:
    """The clock of the new primary's machine."""

    house: FakeHouse

    def now(self):  # type: ignore[no-untyped-def]
        return self.house.clock.now() + timedelta(hours=1)


@pytest.mark.parametrize(
    "done",
    [
        StepChecked("Promote", Doing.APPLY, Answer.DONE, {"new_primary": "two"}),
        StepAnswered("Promote", Choice.DONE, "ann", "by hand", {"new_primary": "two"}),
    ],
    ids=["found done", "done by hand"],
)
async def test_a_promotion_that_was_found_done_is_measured_too(done: Body) -> None:
    async with a_shop() as it:
        await asyncio.sleep(10.5)
        it.cluster.replay()
        it.die()
        await it.begin()
        failed = StepFinished("Promote", Doing.APPLY, StepOutcome.FAILED, "it took longer than 15s")
        await it.house.journal.append(failed, run=RUN)
        it.promote(left_at=4200)
        await it.house.journal.append(done, run=RUN)
        assert (await it.measured()).lost_bytes == 800


@pytest.mark.parametrize("moment", ["fenced", "promoting", "promoted"])
async def test_a_daemon_that_takes_the_run_up_after_another_measures_by_what_that_one_has_seen(moment: str) -> None:
    async with a_shop() as killed:
        await asyncio.sleep(10.5)
        killed.cluster.replay()  # the newest row was written half a second ago
        await asyncio.sleep(3)
        killed.die()
        FakeProbe.ANSWERS["one"].failure = Failure.REFUSED
        await killed.begin(*(() if moment != "fenced" else (FENCED,)))
        await asyncio.sleep(1)
        if moment == "promoted":
            await killed.house.journal.append(PROMOTED, run=RUN)
            killed.cluster.away = "not at once"  # killed before it reaches the new primary
    async with a_shop(after=killed) as it:
        await asyncio.sleep(1)
        if moment == "fenced":
            await it.house.journal.append(PROMOTE, run=RUN)
        it.promote(left_at=4200)
        if moment != "promoted":
            await it.house.journal.append(PROMOTED, run=RUN)
        found = await it.measured()
        assert (found.policy, found.node, found.lost_bytes, found.every_seconds) == ("orders", "two", 800, 1.0)
        assert it.ago(found) == pytest.approx(asyncio.get_running_loop().time() - 10.0, abs=0.2)


async def test_without_a_heartbeat_only_bytes_are_told_and_nothing_is_waited_for() -> None:
    async with a_shop(may_beat=False) as it:
        await asyncio.sleep(10.5)
        await it.begin()
        it.promote(left_at=4200)
        await it.house.journal.append(PROMOTED, run=RUN)
        found = await it.measured(5)
        assert (found.lost_bytes, found.newest, found.every_seconds) == (800, None, None)


async def test_a_heartbeat_that_is_not_written_on_the_new_primary_is_not_waited_for_for_ever() -> None:
    async with a_shop() as it:
        await asyncio.sleep(10.5)
        it.die()
        await it.begin()
        FakeProbe.ANSWERS["two"].seen = primary(9000, timeline=2, forks=((1, 4200),))
        await it.house.journal.append(PROMOTED, run=RUN)
        found = await it.measured(HEARTBEAT_PATIENCE_SECONDS + 5)
        assert (found.lost_bytes, found.newest) == (800, None)


async def test_a_new_primary_that_does_not_tell_its_timeline_at_once_is_asked_again() -> None:
    async with a_shop(may_beat=False) as it:
        await asyncio.sleep(10.5)
        await it.begin()
        it.promote(left_at=4200)
        FakeProbe.ANSWERS["two"].seen = primary(9000, timeline=1)
        await it.house.journal.append(PROMOTED, run=RUN)
        await asyncio.sleep(3)
        it.promote(left_at=4200)
        assert (await it.measured(5)).lost_bytes == 800


async def test_a_drill_and_a_step_of_another_kind_lose_nothing() -> None:
    async with a_shop() as it:
        await asyncio.sleep(3)
        await it.house.journal.append(replace(PROMOTE, action="command"), PROMOTED, run=RUN)
        await asyncio.sleep(HEARTBEAT_PATIENCE_SECONDS + 60)
        assert it.house.journal.of(LossMeasured) == []
