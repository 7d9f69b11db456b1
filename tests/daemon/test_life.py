"""The life of the process: start, serve, reload, drain, leave."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import Busy, StateFull, UsageError
from drd.core.events import (
    BugFound,
    ConfigurationLoaded,
    ConfigurationRefused,
    DaemonStopped,
    PolicyAdded,
    PolicyRemoved,
    RestoreFinished,
    RunFinished,
    RunStarted,
    WalInterrupted,
    WalShipped,
)
from drd.core.policy import Cause, Mode, Outcome
from drd.daemon.life import Daemon, Liveness
from drd.engines.restore_request import RestoreRequest
from drd.ports.configuration import Configuration
from tests.fakes.api import FakeApi
from tests.fakes.house import FakeHouse, a_configuration, a_policy, a_store, protected
from tests.fakes.postgres import FakeCluster, FakePostgres
from tests.fakes.postgres_tools import FakeTools
from tests.fakes.repository import FakePlace
from tests.fakes.spool import StreamedSource
from tests.fakes.supervisor import FakeSupervisor


def a_house(every: str = "1h", **plan: Any) -> FakeHouse:
    return FakeHouse(protected(a_policy(full={"every": every}, **plan)))


@dataclass
class Living:
    """A daemon under way, and all that it says."""

    house: FakeHouse
    api: FakeApi = field(default_factory=FakeApi)
    supervisor: FakeSupervisor = field(default_factory=FakeSupervisor)
    said: list[str] = field(default_factory=list)
    liveness: Liveness = field(default_factory=Liveness)
    answer: Configuration | Exception | None = None

    def __post_init__(self) -> None:
        self.daemon = Daemon(self.house.house, self.house.journal, self.supervisor, self._read, self.liveness)
        self.house.tick.call = self.daemon.tick
        self.task = asyncio.create_task(self.daemon.run(self.api, self.said.append))

    async def _read(self) -> Configuration:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or self.house.in_force()

    async def leave(self) -> None:
        self.daemon.stop()
        await self.task


@asynccontextmanager
async def living(house: FakeHouse, seconds: float = 10) -> AsyncIterator[Living]:
    """A daemon that has lived so long, and that leaves at the end."""
    life = Living(house)
    await asyncio.sleep(seconds)
    try:
        yield life
    finally:
        if not life.task.done():
            life.daemon.stop()
            life.daemon.stop()
        await asyncio.gather(life.task, return_exceptions=True)


def kinds(house: FakeHouse) -> list[str]:
    return [event.body.KIND for event in house.journal.events]


@pytest.mark.looptime
async def test_it_starts_in_a_written_order_and_says_when_it_is_ready() -> None:
    house = a_house()
    await house.journal.append(RunStarted("orders", Mode.FULL, Cause.SCHEDULE, None), run="01CUT")
    async with living(house) as life:
        assert kinds(house)[1:6] == [
            "daemon-started",
            "configuration-loaded",
            "policy-added",
            "run-finished",
            "run-started",
        ]
        assert life.said == [
            "the run of orders that began at 2026-03-02 08:00:00+00:00 was interrupted",
            "ready: 1 policy, 2 stores",
        ]
        assert life.supervisor.told == ["ready: 1 policy, 2 stores"]
        assert life.api.life == ["serving"]


@pytest.mark.looptime
async def test_a_new_policy_is_soon_in_both_stores() -> None:
    async with living(a_house(), 120) as life:
        [point] = await life.house.journal.points("orders")
        assert point.stores == ("local", "offsite")


@pytest.mark.looptime
async def test_it_leaves_in_a_written_order() -> None:
    async with living(a_house()) as life:
        await life.leave()
        assert life.supervisor.told[-1] == "stopping"
        assert life.said[-2:] == ["stopping: runs under way may finish; ask again to cut them short", "stopped"]
        assert life.api.life == ["serving", "stopped"]
        assert isinstance(life.house.journal.events[-1].body, DaemonStopped)


@pytest.mark.looptime
async def test_asked_to_stop_it_lets_a_run_finish() -> None:
    house = a_house()
    house.repository("local").seconds["save"] = 40
    async with living(house) as life:
        await life.leave()
        assert asyncio.get_running_loop().time() >= 40
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.SUCCEEDED]


@pytest.mark.looptime
async def test_a_run_that_takes_too_long_is_cancelled_after_its_grace() -> None:
    house = a_house()
    house.repository("local").seconds["save"] = 7200
    async with living(house) as life:
        await life.leave()
        assert 60 <= asyncio.get_running_loop().time() < 80
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.CANCELLED]


@pytest.mark.looptime
async def test_asked_twice_it_hurries() -> None:
    house = a_house()
    house.repository("local").seconds["save"] = 7200
    async with living(house) as life:
        life.daemon.stop()
        await asyncio.sleep(5)
        assert not life.task.done()
        life.daemon.stop()
        await life.task
        assert asyncio.get_running_loop().time() < 16
    assert [fact.outcome for fact in house.journal.of(RunFinished)] == [Outcome.CANCELLED]
    assert isinstance(house.journal.events[-1].body, DaemonStopped)


@pytest.mark.looptime
async def test_while_it_leaves_its_supervisor_hears_that_it_lives() -> None:
    house = a_house()
    house.repository("local").seconds["save"] = 7200
    async with living(house) as life:
        before = life.supervisor.pings
        await life.leave()
        assert life.supervisor.pings - before >= 55


async def test_a_restore_is_waited_for(tmp_path: Any) -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    await house.run()
    house.repository("local").seconds["restore"] = 0.5
    async with living(house, 0.1) as life:
        task = house.restore.start("09R", RestoreRequest("orders", None, str(tmp_path / "target")))
        await asyncio.sleep(0.1)
        await life.leave()
        assert task.done()
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.SUCCEEDED]


async def test_a_restore_is_cut_short_when_it_is_asked_twice(tmp_path: Any) -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    await house.run()
    house.repository("local").seconds["restore"] = 60
    async with living(house, 0.1) as life:
        task = house.restore.start("09R", RestoreRequest("orders", None, str(tmp_path / "target")))
        await asyncio.sleep(0.1)
        life.daemon.stop()
        await life.leave()
        assert task.cancelled()
    assert [fact.outcome for fact in house.journal.of(RestoreFinished)] == [Outcome.CANCELLED]
    assert list(tmp_path.iterdir()) == []


async def test_sigterm_ends_it() -> None:
    async with living(FakeHouse(protected(a_policy(to=("local",)))), 0.1) as life:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(life.task, 10)
        assert life.said[-1] == "stopped"


async def test_sighup_reads_everything_again() -> None:
    async with living(FakeHouse(protected(a_policy(to=("local",)))), 0.1) as life:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while "reloaded: nothing changed" not in life.said:
                await asyncio.sleep(0.01)


@pytest.mark.looptime
async def test_a_reload_puts_what_is_new_in_force_and_says_what_changed() -> None:
    async with living(a_house(), 60) as life:
        attic = FakePlace("attic")
        store = a_store(attic)
        life.house.know(store)
        life.answer = a_configuration(
            (life.house.in_force().stores["local"], store),
            protected(a_policy("logs", to=("local", "attic"), full={"every": "1h"})),
            digest="2",
        )
        changes = await life.daemon.reload()
        assert changes == (
            "policy logs added",
            "policy orders removed",
            "store attic added",
            "store offsite removed",
        )
        await asyncio.sleep(60)
        assert [fact.policy for fact in life.house.journal.of(PolicyAdded)] == ["orders", "logs"]
        assert [fact.policy for fact in life.house.journal.of(PolicyRemoved)] == ["orders"]
        [point] = await life.house.journal.points("logs")
        assert point.stores == ("local", "attic")
        assert not life.house.copy.is_served("offsite")
        assert life.liveness.last_reload_succeeded


@pytest.mark.looptime
async def test_a_reload_says_what_takes_effect_only_at_the_next_start() -> None:
    async with living(a_house()) as life:
        life.answer = replace(life.house.in_force(), state=Path("/srv/drd"), listen=("127.0.0.1", 9477))
        assert await life.daemon.reload() == (
            "state: takes effect at the next start of the daemon",
            "http.listen: takes effect at the next start of the daemon",
        )
        assert await life.daemon.reload() != ()
        assert life.house.in_force().listen is None


@pytest.mark.looptime
async def test_a_store_that_a_reload_adds_is_filled_without_waiting_for_a_run() -> None:
    async with living(FakeHouse(protected(a_policy(to=("local",), full={"every": "24h"}))), 60) as life:
        life.answer = a_configuration(
            tuple(life.house.in_force().stores.values()), protected(a_policy(full={"every": "24h"})), digest="2"
        )
        await life.daemon.reload()
        await asyncio.sleep(60)
        [point] = await life.house.journal.points("orders")
        assert point.stores == ("local", "offsite")


@pytest.mark.looptime
async def test_a_reload_that_is_refused_changes_nothing_and_says_so() -> None:
    async with living(a_house()) as life:
        before = life.house.in_force()
        life.answer = UsageError("policies/orders.yaml:3:5: unknown key", "write every:")
        with pytest.raises(UsageError):
            await life.daemon.reload()
        assert life.house.in_force() is before
        assert life.house.journal.of(ConfigurationRefused)[0].first == "policies/orders.yaml:3:5: unknown key"
        assert len(life.house.journal.of(ConfigurationLoaded)) == 1
        assert not life.liveness.last_reload_succeeded
        assert life.supervisor.told[-1].endswith("the last reload was refused")


@pytest.mark.looptime
async def test_a_bug_in_a_reload_fails_the_reload_and_not_the_daemon() -> None:
    async with living(a_house()) as life:
        life.answer = KeyError("a mistake")
        with pytest.raises(UsageError, match="a mistake in drd ended the reload: KeyError"):
            await life.daemon.reload()
        assert [fact.unit for fact in life.house.journal.of(BugFound)] == ["reload"]
        life.answer = None
        assert await life.daemon.reload() == ()
        assert not life.task.done()


@pytest.mark.looptime
async def test_two_reloads_at_once_come_one_after_the_other() -> None:
    async with living(a_house()) as life:
        assert await asyncio.gather(life.daemon.reload(), life.daemon.reload()) == [(), ()]


@pytest.mark.looptime
async def test_a_full_disk_is_told_once_while_everything_goes_on_and_its_end_too() -> None:
    house = a_house("1m")
    async with living(house, 30) as life:
        house.journal.is_full = True
        await asyncio.sleep(120)
        assert not life.task.done()
        told = [line for line in life.said if "is full" in line]
        assert told == [
            "the disk of the state folder is full: runs fail until there is room (free some space below /var/lib/drd)"
        ]
        assert life.supervisor.told[-1] == "status: the disk of the state folder is full"
        house.journal.is_full = False
        await asyncio.sleep(125)
        assert life.said[-1] == "the disk of the state folder has room again"
        assert (await house.journal.points("orders"))[-1].stores == ("local", "offsite")
        assert await house.journal.unfinished() == ()


@pytest.mark.looptime
async def test_a_journal_that_another_process_locks_ends_nothing() -> None:
    house = a_house("1m")
    async with living(house, 30) as life:
        house.journal.is_locked = True
        await asyncio.sleep(4000)
        assert not life.task.done()
        assert [line for line in life.said if "locked" in line] == [
            "another process keeps the journal locked: runs fail until it is free (fuser -v /var/lib/drd/journal.db)"
        ]
        house.journal.is_locked = False
        await asyncio.sleep(1000)
        assert (await house.journal.points("orders"))[-1].stores == ("local", "offsite")
        assert await house.journal.unfinished() == ()


@pytest.mark.looptime
async def test_a_journal_whose_disk_fails_is_told_and_the_daemon_goes_on() -> None:
    house = a_house("1h")
    house.repository("local").seconds["save"] = 60
    async with living(house, 30) as life:
        house.journal.is_failing = True
        await asyncio.sleep(4000)
        assert not life.task.done()
        assert [line for line in life.said if "I/O" in line] == [
            "/var/lib/drd/journal.db cannot be used: disk I/O error: runs fail until it can be used again (dmesg)"
        ]
        assert life.supervisor.told[-1] == "status: /var/lib/drd/journal.db cannot be used: disk I/O error"
        house.journal.is_failing = False
        await asyncio.sleep(1000)
        assert "the journal can be used again" in life.said
        assert house.journal.of(RunFinished)[0].outcome is Outcome.SUCCEEDED
        assert await house.journal.unfinished() == ()


@pytest.mark.looptime
async def test_a_run_that_ends_while_the_disk_is_full_is_put_on_record_by_the_tick() -> None:
    house = a_house("24h")
    house.repository("local").seconds["save"] = 60
    async with living(house, 30):
        house.journal.is_full = True
        await asyncio.sleep(60)
        assert house.backup.outbox.owed >= 1
        house.journal.is_full = False
        await asyncio.sleep(15)
        assert house.backup.outbox.owed == 0
        assert [fact.outcome for fact in house.journal.of(RunFinished)][:1] == [Outcome.SUCCEEDED]


@pytest.mark.looptime
async def test_it_leaves_also_while_the_disk_is_full() -> None:
    house = a_house()
    async with living(house, 60) as life:
        house.journal.is_full = True
        await life.leave()
        assert life.said[-1] == "stopped"
        assert "could not record the stop" in life.said[-2]


@pytest.mark.looptime
async def test_it_marks_its_life_every_ten_seconds() -> None:
    async with living(a_house(), 101) as life:
        assert 9 <= life.house.journal.marks <= 11
        assert life.liveness.last_tick is not None
        assert life.supervisor.pings >= 100


@pytest.mark.looptime
async def test_an_address_that_is_taken_ends_it_with_its_own_words() -> None:
    life = Living(a_house(), api=FakeApi(error=Busy("port 9476 is taken by nginx (pid 1)", "write http: listen:")))
    with pytest.raises(Busy, match="taken by nginx"):
        await life.task


@pytest.mark.looptime
async def test_a_disk_that_is_full_at_the_start_ends_it_with_its_own_words() -> None:
    house = a_house()
    house.journal.is_full = True
    with pytest.raises(StateFull, match="is full"):
        await Living(house).task


@pytest.mark.looptime
async def test_a_bug_in_a_loop_ends_the_process() -> None:
    async def broken() -> None:
        raise KeyError("a mistake in the tick")

    life = Living(a_house())
    life.house.tick.call = broken
    with pytest.raises(BaseExceptionGroup):
        await life.task
    assert life.house.journal.of(DaemonStopped) == []


def a_database(tmp_path: Path) -> tuple[FakeHouse, StreamedSource]:
    places = [FakePlace(name) for name in ("local", "offsite", "local.wal", "offsite.wal")]
    server, tools = FakePostgres(None), FakeTools(None)  # type: ignore[arg-type]
    source = StreamedSource(server=server, tools=tools)
    policy = protected(a_policy(full={"every": "24h"}), main=source)
    house = FakeHouse(policy, stores=tuple(map(a_store, places)), spool=tmp_path)
    server.cluster = tools.cluster = FakeCluster(house.clock)
    return house, source


@pytest.mark.looptime
async def test_wal_of_a_policy_that_a_reload_changes_goes_on_being_received(tmp_path: Path) -> None:
    house, source = a_database(tmp_path)
    async with living(house, 60) as life:
        assert house.receiving.is_served("orders")
        for every in ("12h", "6h"):
            changed = replace(protected(a_policy(full={"every": every}), main=source), digest=every)
            life.answer = a_configuration(tuple(house.in_force().stores.values()), changed, digest=every)
            await life.daemon.reload()
        await asyncio.sleep(30)
        assert house.receiving.is_served("orders")
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert names.count("ship WAL of orders") == names.count("receive WAL of orders") == 1
        assert not house.journal.of(WalInterrupted)


@pytest.mark.looptime
async def test_a_slot_that_a_reload_leaves_on_the_server_is_told(tmp_path: Path) -> None:
    house, _ = a_database(tmp_path)
    async with living(house, 60) as life:
        stores = tuple(house.in_force().stores.values())
        life.answer = a_configuration(stores, protected(a_policy(full={"every": "24h"})), digest="2")
        await life.daemon.reload()
        await life.daemon.reload()
        [told] = house.journal.of(WalInterrupted)
        assert told.message == "slot drd_orders is left on the server of orders, which keeps all WAL for it"
        assert told.hint.endswith("SELECT pg_drop_replication_slot('drd_orders');")
        assert f"{told.message}: {told.hint}" in life.said


@pytest.mark.looptime
async def test_a_slot_that_was_left_while_drd_was_down_is_told_once(tmp_path: Path) -> None:
    house, _ = a_database(tmp_path)
    shipped = WalShipped("payments", "local.wal", "1f", "73", "0" * 24, 2**20, "0/100000", None, ())
    await house.journal.append(PolicyAdded("payments"), PolicyAdded("uploads"), shipped)
    for _ in range(2):
        async with living(house, 30):
            pass
        [told] = house.journal.of(WalInterrupted)
        assert told.message == "slot drd_payments is left on the server of payments, which keeps all WAL for it"
